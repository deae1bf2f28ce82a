"""Handlers that end their process, are killed, or leave something behind."""

from __future__ import annotations

from tests.parity.cases import Case, Cases, Handler

SHARED = """
    class Base(BaseException): pass
    def alarm(number, frame): raise TimeoutError(f"signal {number}")
    def leave(code): os._exit(code)
"""

PLAIN: dict[str, Cases] = {
    "exits": {
        "os exit": "os._exit(3)",
        "os exit 0": "os._exit(0)",
        "between": "return 'between'",
        "system exit": "sys.exit()",
        "system exit with text": "sys.exit('text')",
        "last": "return 'last'",
    },
    "more_exits": {
        "raised system exit": "raise SystemExit(0)",
        "keyboard interrupt": "raise KeyboardInterrupt",
        "exit": "exit(2)",
        "caught system exit": """
            try:
                sys.exit(1)
            except SystemExit as error:
                return error.code
        """,
        "exec": "os.execv('/bin/true', ['true'])",
        "last": "return 'last'",
    },
    "kills": {
        "kill": "os.kill(os.getpid(), signal.SIGKILL)",
        "segmentation fault": "os.kill(os.getpid(), signal.SIGSEGV)",
        "abort": "os.abort()",
        "alarm": "signal.alarm(1); time.sleep(3); return 'slept'",
        "last": "return 'last'",
    },
    "asks_to_end": {
        "terminate": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.3); return 'after SIGTERM'",
        "between": "return 'between'",
        "interrupt": "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.3); return 'after SIGINT'",
        "last": "return 'last'",
    },
    "signals": {
        "alarm raises": "signal.signal(signal.SIGALRM, alarm); signal.alarm(1); time.sleep(5)",
        "alarm is handled": """
            told = []
            signal.signal(signal.SIGALRM, lambda *_: told.append("alarm"))
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            time.sleep(0.3)
            return told
        """,
        "user signal": """
            told = []
            signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
            os.kill(os.getpid(), signal.SIGUSR1)
            return told
        """,
        "dispositions": """
            return [str(signal.getsignal(one)) if isinstance(signal.getsignal(one), signal.Handlers) else "own"
                    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)]
        """,
        "blocked": "return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
        "in a thread": """
            problems = []
            def install():
                try:
                    signal.signal(signal.SIGALRM, alarm)
                except ValueError as error:
                    problems.append(str(error))
            thread = threading.Thread(target=install)
            thread.start()
            thread.join()
            return problems
        """,
        "ignores terminate": """
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.kill(os.getpid(), signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)
            return "ignored"
        """,
        "last": "return 'last'",
    },
    "threads": {
        "daemon left behind": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); return 'left'",
        "thread left behind": "threading.Thread(target=time.sleep, args=(5,)).start(); return 'left'",
        "thread raises": """
            def fail(): raise ValueError("in a thread")
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
            return "fine"
        """,
        "thread exits": """
            thread = threading.Thread(target=sys.exit)
            thread.start()
            thread.join()
            return "fine"
        """,
        "thread kills": """
            thread = threading.Thread(target=leave, args=(3,))
            thread.start()
            thread.join()
            return "never"
        """,
        "pool": """
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(3) as pool:
                return list(pool.map(str, range(5)))
        """,
    },
    "children": {
        "subprocess": "return subprocess.run(['echo', 'hello'], capture_output=True, text=True).stdout",
        "shell": "return os.system('exit 3') >> 8",
        "to our output": "return subprocess.run(['echo', 'hello ☃']).returncode",
        "left behind": "subprocess.Popen(['sleep', '60']); return 'left'",
        "fork": """
            pid = os.fork()
            if pid == 0:
                os._exit(7)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """,
        # No pool of forked workers: its threads deadlock now and then in either kind of worker, which has threads too.
        "forks": """
            children = []
            for n in range(3):
                pid = os.fork()
                if pid == 0:
                    os._exit(n)
                children.append(pid)
            return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        """,
        "parent killed by child": """
            subprocess.run([sys.executable, "-c", f"import os, signal; os.kill({os.getpid()}, signal.SIGKILL)"])
            return "never"
        """,
        "failing": "subprocess.run(['false'], check=True)",
        "missing program": "subprocess.run(['/no/such/program'])",
        "last": "return 'last'",
    },
}

HANDLERS = (
    *(Handler(name, cases, head=SHARED) for name, cases in PLAIN.items()),
    Handler(
        "exits_in_streams",
        {
            "os exit": "yield 'a'; time.sleep(0.3); os._exit(3)",
            "system exit": "yield 'a'; sys.exit(1)",
            "between": "yield 'between'",
            "keyboard interrupt": "yield 'a'; raise KeyboardInterrupt",
            "last": "yield 'last'",
        },
        kind="generator",
        config="'return_aggregate_stream': True",
    ),
    Handler(
        "exits_in_async",
        {
            "system exit": "await asyncio.sleep(0.1); sys.exit(1)",
            "stops the loop": "asyncio.get_running_loop().stop(); await asyncio.sleep(5); return 'never'",
            "between": "return 'between'",
            "exit in a task": """
                async def leave(): sys.exit(2)
                asyncio.create_task(leave())
                await asyncio.sleep(1)
                return "never"
            """,
            "last": "return 'last'",
        },
        kind="async",
    ),
    Handler(
        "timeouts",
        {
            "blocks": Case("time.sleep(8); return 'late'", request={"policy": {"executionTimeout": 5000}}),
            "after it": "return 'on'",
        },
    ),
    Handler(
        "timeouts_async",
        {
            "sleeps": Case(
                """
                try:
                    await asyncio.sleep(20)
                except asyncio.CancelledError:
                    note(job, "told")
                    raise
                """,
                request={"policy": {"executionTimeout": 5000}},
            ),
            "after it": "return notes(job, 1)",
        },
        kind="async",
    ),
    Handler(
        "lives_on",
        {
            "first": "note(job, 'ran'); return {'refresh_worker': True, 'pid': len(notes(job, 1))}",
            "second": "return notes(job, 3)",
        },
        kind="own",
        guarded=False,
        head="""
            def handler(job):
                if job["input"]["case"] == "first":
                    NOTES.append(os.path.dirname(job["input"]["gate"]))
                    atexit.register(note, job, "atexit")
                    STARTED.append(job)
                    return {"refresh_worker": True, "first": 1}
                return notes(job, 2)

            NOTES, STARTED = [], []
            runpod.serverless.start({"handler": handler})
            for job in STARTED:
                note(job, "after start")
        """,
    ),
    Handler(
        "spoilt_jobs",
        {
            "id gone": Case("del job['id']; return 'x'", request={"policy": {"executionTimeout": 5000}}),
            "after it": "return 'on'",
        },
    ),
    Handler(
        "renamed_jobs",
        {
            "other id": Case("job['id'] = 'other'; return 'x'", request={"policy": {"executionTimeout": 5000}}),
            "after it": "return 'on'",
        },
    ),
    Handler(
        "changed_jobs",
        {
            "emptied input": "job['input'].clear(); return job['input']",
            "other input": "job['input'] = 7; return job['input']",
            "more keys": "job['extra'] = {1}; job['webhook'] = None; return 'x'",
        },
    ),
)
