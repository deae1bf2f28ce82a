"""Progress: whatever is reported, from wherever; each update waits until the client has seen it."""

from __future__ import annotations

from tests.parity.cases import Case, Handler

SHARED = """
    def child(job, text):
        runpod.serverless.progress_update(job, text)
        time.sleep(0.5)

    def after(job):
        gate(job)
        return "after"
"""

SCRIPT = (
    "import json, sys, time; import runpod; job = json.loads(sys.argv[1]); "
    "runpod.serverless.progress_update(job, {'from': 'a script'}); time.sleep(1)"
)

COMMON = {
    "dict": "runpod.serverless.progress_update(job, {'pct': 50, 'text': 'half ☃'}); return after(job)",
    "text": "runpod.serverless.progress_update(job, '50 %'); return after(job)",
    "list": "runpod.serverless.progress_update(job, [1, None]); return after(job)",
    "null": "runpod.serverless.progress_update(job, None); return after(job)",
    "falsy": """
        runpod.serverless.progress_update(job, 0)
        gate(job, 1)
        runpod.serverless.progress_update(job, "")
        gate(job, 2)
        runpod.serverless.progress_update(job, False)
        gate(job, 3)
        return "after"
    """,
    "several": """
        for number in range(1, 4):
            runpod.serverless.progress_update(job, {"step": number})
            gate(job, number)
        return "after"
    """,
    "error look-alike": "runpod.serverless.progress_update(job, {'error': 'x'}); return after(job)",
    "then raised": "runpod.serverless.progress_update(job, 1); after(job); raise ValueError('x')",
    "then an error": "runpod.serverless.progress_update(job, 1); after(job); return {'error': 'e'}",
    "megabyte": "runpod.serverless.progress_update(job, 'x' * 1_000_000); return after(job)",
    "a copy of the job": "runpod.serverless.progress_update({'id': job['id']}, 1); return after(job)",
    "a job of nobody": "runpod.serverless.progress_update({'id': 'nobody'}, 1); time.sleep(0.5); return 'after'",
    "no job": "runpod.serverless.progress_update({}, 1); return 'after'",
    "not a job": "runpod.serverless.progress_update(None, 1); return 'after'",
    "imported name": """
        from runpod.serverless import progress_update
        progress_update(job, "imported")
        return after(job)
    """,
    "module of the sdk": """
        from runpod.serverless.modules.rp_progress import progress_update
        progress_update(job, "module")
        return after(job)
    """,
    "thread": """
        thread = threading.Thread(target=child, args=(job, "from a thread"))
        thread.start()
        thread.join()
        return after(job)
    """,
    "only on the platform": """
        if os.environ.get("RUNPOD_WEBHOOK_GET_JOB"):
            runpod.serverless.progress_update(job, {"pct": 40})
            gate(job)
        return "after"
    """,
}

HANDLERS = (
    Handler(
        "progress",
        COMMON
        | {
            "keywords": "runpod.serverless.progress_update(job=job, progress='named'); return after(job)",
            "pool": """
                with contextlib.closing(asyncio.new_event_loop()):
                    from concurrent.futures import ThreadPoolExecutor
                    with ThreadPoolExecutor(1) as pool:
                        pool.submit(child, job, "from a pool").result()
                return after(job)
            """,
        },
        head=SHARED,
    ),
    Handler("progress_async", COMMON, kind="async", head=SHARED),
    Handler(
        "progress_unsendable",
        {
            "set": "runpod.serverless.progress_update(job, {1}); time.sleep(0.5); return 'after'",
            "nan": "runpod.serverless.progress_update(job, float('nan')); time.sleep(0.5); return 'after'",
            "lone surrogate": "runpod.serverless.progress_update(job, '\\ud800'); time.sleep(0.5); return 'after'",
            "unshowable": """
                class Unshowable:
                    def __repr__(self): raise RuntimeError("no repr")
                runpod.serverless.progress_update(job, Unshowable())
                return "after"
            """,
            "late": """
                threading.Timer(1.5, runpod.serverless.progress_update, (job, "late")).start()
                return "before"
            """,
            "meanwhile": "time.sleep(2.5); return 'a later job'",
        },
    ),
    Handler(
        "progress_of_children",
        {
            "spawned": """
                spawn = multiprocessing.get_context("spawn")
                process = spawn.Process(target=child, args=(job, "from a spawned child"))
                process.start()
                process.join()
                gate(job)
                return process.exitcode
            """,
            "forked": """
                process = multiprocessing.get_context("fork").Process(target=child, args=(job, "from a forked child"))
                process.start()
                process.join()
                gate(job)
                return process.exitcode
            """,
            "script": f"""
                script = {SCRIPT!r}
                done = subprocess.run([sys.executable, "-c", script, json.dumps(job)], capture_output=True, text=True)
                gate(job)
                return [done.returncode, done.stderr]
            """,
            "local test": """
                script = "from runpod.serverless.modules.worker_state import IS_LOCAL_TEST; print(IS_LOCAL_TEST)"
                done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
                return done.stdout.splitlines()[-1]
            """,
        },
        head=SHARED,
        guarded=True,
    ),
    Handler(
        "progress_async_only",
        {
            "in a task": """
                async def report():
                    runpod.serverless.progress_update(job, "from a task")
                await asyncio.create_task(report())
                return after(job)
            """,
            "to thread": "await asyncio.to_thread(child, job, 'from to_thread'); return after(job)",
            "cancelled after it": Case(
                """
                runpod.serverless.progress_update(job, "cancel me")
                try:
                    await asyncio.sleep(20)
                except asyncio.CancelledError:
                    note(job, "told")
                    raise
                return "never"
                """,
                client="cancel",
            ),
            "who was told": "return [notes(job, 1)]",
            "cancelled, answers": Case(
                """
                runpod.serverless.progress_update(job, "cancel me")
                try:
                    await asyncio.sleep(20)
                except asyncio.CancelledError:
                    return "all the same"
                """,
                client="cancel",
            ),
            "goes on": "return 'on'",
        },
        kind="async",
        head=SHARED,
    ),
    Handler(
        "cancelled_plain",
        {
            "blocking": Case(
                "runpod.serverless.progress_update(job, 'cancel me'); time.sleep(3); note(job, 'slept'); return 'late'",
                client="cancel",
            ),
            "after it": "return 'on'",
        },
    ),
    Handler(
        "cancelled_generator",
        {
            "sleeping": Case(
                """
                yield "one"
                try:
                    await asyncio.sleep(20)
                finally:
                    note(job, "cleaned")
                yield "two"
                """,
                client="cancel",
            ),
            "after it": "yield notes(job, 1)",
        },
        kind="async generator",
    ),
)
