"""What a handler sees around itself: variables, paths, modules, streams, threads, event loops."""

from __future__ import annotations

from tests.parity.cases import Case, Handler

SHARED = """
    SEEN = {"name": __name__, "file": __file__, "argv": list(sys.argv), "spec": str(__spec__), "package": __package__}
    HIDDEN = ("RUNPOD_AI_API_KEY", "RUNPOD_PING_INTERVAL")
    async def answer(): return "answer"
"""

HANDLERS = (
    Handler(
        "variables",
        {
            "names": "return sorted(name for name in os.environ if name.startswith('RUNPOD_'))",
            "values": """
                return {name: value for name, value in sorted(os.environ.items())
                        if name.startswith("RUNPOD_") and name not in HIDDEN}
            """,
            "hidden ones": "return [bool(os.environ.get(name)) for name in HIDDEN]",
            "others": """
                return {name: value for name, value in sorted(os.environ.items())
                        if not name.startswith("RUNPOD_") and name not in ("_", "LC_CTYPE")}
            """,
            "of the endpoint": "return [os.environ.get('MODEL'), os.environ.get('ODD ☃')]",
            "of children": """
                script = "import os; print(sorted(name for name in os.environ if name.startswith('RUNPOD_')))"
                return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
            """,
        },
        head=SHARED,
        environment={"MODEL": "tiny ☃", "RUNPOD_LOG_LEVEL": "INFO", "RUNPOD_INIT_TIMEOUT": "60"},
        sample=True,
    ),
    Handler(
        "places",
        {
            "module": "return SEEN",
            "main": "main = sys.modules['__main__']; return [main.__file__, main.__name__, hasattr(main, 'handler')]",
            "folder": "return os.getcwd()",
            "path": "return sys.path[:2]",
            "arguments": "return sys.argv",
            "executable": "return [sys.executable, sys.prefix, sys.version]",
            "flags": "return str(sys.flags)",
            "umask": "mask = os.umask(0o22); os.umask(mask); return mask",
            "limits": "import resource; return [resource.getrlimit(resource.RLIMIT_NOFILE), sys.getrecursionlimit()]",
            "leads a session": "return [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()]",
            "changes folder": "os.chdir('/'); return os.getcwd()",
            "still there": "return os.getcwd()",
            "descriptors": "return sorted(int(name) for name in os.listdir('/proc/self/fd') if int(name) < 3)",
            "pickles": "import pickle; return pickle.loads(pickle.dumps(answer)).__name__",
            "source": "return inspect.getsource(answer)",
            "hash seed": "return os.environ.get('PYTHONHASHSEED')",
        },
        head=SHARED,
    ),
    Handler(
        "the_sdk",
        {
            "version": "return [runpod.__version__, runpod.serverless.runpod_version]",
            "base url": "return runpod.endpoint_url_base",
            "key": "return [bool(runpod.api_key), bool(os.environ['RUNPOD_API_KEY'])]",
            "file": "return [runpod.__file__, runpod.serverless.__file__, runpod.__name__]",
            "is it local": """
                from runpod.serverless.modules.worker_state import IS_LOCAL_TEST
                return IS_LOCAL_TEST
            """,
            "worker id": """
                from runpod.serverless.modules.worker_state import WORKER_ID
                return WORKER_ID == os.environ["RUNPOD_POD_ID"]
            """,
            "jobs in progress": """
                from runpod.serverless.modules.worker_state import JobsProgress
                return JobsProgress().get_job_list() == job["id"]
            """,
            "logger": """
                runpod.RunPodLogger().info("a message", job["id"])
                from runpod import RunPodLogger
                RunPodLogger().error("☃")
                return "logged"
            """,
            "validator": """
                from runpod.serverless.utils.rp_validator import validate
                return validate({"a": 1}, {"a": {"type": int, "required": True}, "b": {"type": str, "required": True}})
            """,
            "cuda": "from runpod.serverless.utils import rp_cuda; return rp_cuda.is_available()",
            "cleanup": "from runpod.serverless.utils.rp_cleanup import clean; return clean()",
            "names": "return sorted(name for name in dir(runpod.serverless) if not name.startswith('_'))",
            "exported": "return sorted(runpod.serverless.__all__)",
            "no such name": "return runpod.serverless.no_such_name",
            "calls an endpoint": """
                os.environ.setdefault("RUNPOD_ENDPOINT_BASE_URL", "none")
                return runpod.Endpoint("nobody", api_key="any-key").endpoint_id
            """,
        },
    ),
    Handler(
        "streams_of_the_process",
        {
            "standard input": "return [sys.stdin.read(), sys.stdin.isatty()]",
            "input": "return input()",
            "standard output": """
                return [[one.encoding, one.errors, one.fileno(), one.isatty(), one.name, one.mode]
                        for one in (sys.stdout, sys.stderr)]
            """,
            "line buffering": "return [sys.stdout.line_buffering, sys.stdout.writable(), sys.stdout.readable()]",
            "original output": "return [sys.__stdout__ is sys.stdout, sys.__stderr__ is sys.stderr]",
            "captured": """
                with contextlib.redirect_stdout(io.StringIO()) as text:
                    print("caught ☃")
                return text.getvalue()
            """,
            "encoding": "import locale; return [locale.getpreferredencoding(), sys.getfilesystemencoding()]",
        },
    ),
    Handler(
        "loops_in_plain",
        {
            "run": "return asyncio.run(answer())",
            "run until complete": "return asyncio.new_event_loop().run_until_complete(answer())",
            "running loop": "return asyncio.get_running_loop().is_running()",
            "event loop": "return asyncio.get_event_loop() is asyncio.get_running_loop()",
            "current task": "return asyncio.current_task() is not None",
            "run in a thread": """
                found = []
                thread = threading.Thread(target=lambda: found.append(asyncio.run(answer())))
                thread.start()
                thread.join()
                return found
            """,
            "task left behind": "asyncio.get_running_loop().create_task(answer()); return 'left'",
            "never awaited": "answer(); return 'forgotten'",
            "returns a task": "return asyncio.get_running_loop().create_task(answer())",
            "threadsafe": """
                asyncio.run_coroutine_threadsafe(answer(), asyncio.get_running_loop())
                return "asked"
            """,
            "main thread": "return threading.current_thread() is threading.main_thread()",
            "policy": "return type(asyncio.get_event_loop_policy()).__name__",
            "blocks": "time.sleep(1); return 'slept'",
        },
        head=SHARED,
    ),
    Handler(
        "loops_in_async",
        {
            "awaits": "return await answer()",
            "sleeps": "await asyncio.sleep(0.1); return 'slept'",
            "gathers": "return await asyncio.gather(answer(), answer())",
            "timeout": "await asyncio.wait_for(asyncio.sleep(5), 0.1)",
            "timeout block": """
                async with asyncio.timeout(0.1):
                    await asyncio.sleep(5)
            """,
            "task group": """
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(answer())
                return task.result()
            """,
            "failing group": """
                async def fail(): raise ValueError("in a group")
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
            """,
            "thread": "return await asyncio.to_thread(lambda: threading.current_thread() is threading.main_thread())",
            "executor": "return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2])",
            "run": "return asyncio.run(answer())",
            "subprocess": """
                process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
                return (await process.communicate())[0].decode()
            """,
            "left behind": "asyncio.create_task(asyncio.sleep(60)); return 'left'",
            "fails behind": """
                async def fail(): raise ValueError("behind")
                asyncio.create_task(fail())
                await asyncio.sleep(0.1)
                return "fine"
            """,
            "returns a coroutine": "return answer()",
            "async context": """
                @contextlib.asynccontextmanager
                async def context():
                    yield "context"
                async with context() as value:
                    return value
            """,
            "context variables": """
                import contextvars
                variable = contextvars.ContextVar("variable", default="unset")
                before = variable.get()
                variable.set("set")
                return [before, variable.get()]
            """,
        },
        kind="async",
        head=SHARED,
    ),
    Handler(
        "requests",
        {
            "keys": "return sorted(job)",
            "s3 settings": Case(
                "return job['s3Config']",
                request={"s3Config": {"bucketName": "b", "accessId": "a", "accessSecret": "s", "endpointUrl": "u"}},
            ),
            "policy": Case("return sorted(job)", request={"policy": {"ttl": 60000, "lowPriority": True}}),
            "numbers": Case(
                "return job['input']['numbers']", {"numbers": [1.0, 1, -0.0, 1e22, 10**30, 1e-7, 123456789012345678]}
            ),
            "texts": Case("return job['input']['texts']", {"texts": ["☃", "\u2028", '"', "\\", "\x00", "😀", ""]}),
            "deep": Case("return job['input']['deep']", {"deep": [[[[[[[[[[{"a": [None, True]}]]]]]]]]]]}),
            "large": Case("return len(job['input']['large'])", {"large": "ü" * 1_000_000}),
            "reserved": Case("return job['input']['reserved']", {"reserved": {"refresh_worker": True, "error": "e"}}),
            "unknown key": Case("return sorted(job)", request={"somethingElse": 1}),
        },
    ),
    Handler(
        "empty_inputs",
        {
            "empty": Case(request={"input": {}}),
            "empty again": Case(request={"input": {}}),
            "after it": Case("return 'on'"),
        },
    ),
)
