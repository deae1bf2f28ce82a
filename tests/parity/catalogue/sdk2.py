"""What only SDK 2.0 does: prestart hooks, and output in errors."""

from __future__ import annotations

from tests.parity.cases import Handler

NEXT = ("2.0",)
ALL = {"RUNPOD_LOG_CAPTURE": "all"}
QUIET = {"RUNPOD_LOG_LEVEL": "ERROR"}

PASSING = """
    ran = []

    @runpod.serverless.register_prestart_hook
    def first(): ran.append(["first", threading.current_thread().name, threading.current_thread().daemon])

    @runpod.serverless.register_prestart_hook
    async def second():
        await asyncio.sleep(0.01)
        ran.append(["second", threading.current_thread() is threading.main_thread()])

    @runpod.serverless.register_prestart_hook
    def third():
        async def later(): ran.append("third")
        return later()

    class Hook:
        async def __call__(self): ran.append("object")
    runpod.serverless.register_prestart_hook(Hook())
    ran.append("loaded")
"""

PAUSE = "time.sleep(0.5)"
"""Before a hook fails: a poll that is given up while its answer is on the way would lose the job at times."""
ASYNC_PAUSE = "await asyncio.sleep(0.5)"

FAILING = {
    "raises": "print('about to fail ☃'); raise ValueError('no model')",
    "chained": """
        try:
            {}["missing"]
        except KeyError as error:
            raise RuntimeError("outer") from error
    """,
    "system_exit": "print('leaving', file=sys.stderr); sys.exit(3)",
    "cancelled": "raise asyncio.CancelledError('by myself')",
    "long_text": "raise ValueError('a' * 10_000 + 'b' * 10_000)",
    "long_output": "print('x' * 20_000 + 'end'); raise ValueError('x')",
    "lone_surrogate": "raise ValueError('\\ud800')",
    "too_slow": "time.sleep(5)",
    "stop_iteration": "raise StopIteration('x')",
    "no_such_name": "no_such_name()",
    "raw_output": "os.write(1, b'not captured\\n'); sys.stdout.writelines(['a\\n', 'b\\n']); raise ValueError('x')",
}
ASYNC_FAILING = {
    "raises": "raise ValueError('no model')",
    "system_exit": "sys.exit('text')",
    "cancelled": "raise asyncio.CancelledError",
    "too_slow": "print('waiting'); await asyncio.sleep(5)",
    "stubborn": """
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
    """,
}
JOBS = {"one": "return 1", "two": "return 2"}
TIMEOUT = "'prestart_timeout': 1"


def _failing(kind: str, bodies: dict[str, str]) -> list[Handler]:
    found = []
    for name, body in bodies.items():
        lines = body.strip("\n").split("\n")
        margin = len(lines[0]) - len(lines[0].lstrip())
        text = "\n    ".join(line[margin:] for line in lines)
        pause = ASYNC_PAUSE if "async" in kind else PAUSE
        head = f"@runpod.serverless.register_prestart_hook\n{kind} hook():\n    {pause}\n    {text}"
        found.append(
            Handler(f"prestart_{'async_' if 'async' in kind else ''}{name}", JOBS, head=head, config=TIMEOUT, sdks=NEXT)
        )
    return found


CAPTURED = {
    "raised": "print('before ☃'); print('to stderr', file=sys.stderr); raise ValueError('x')",
    "raised silently": "raise ValueError('x')",
    "returned": "print('before'); return 1",
    "error": "print('before'); return {'error': 'e'}",
    "long": "print('x' * 20_000 + 'end'); raise ValueError('x')",
    "descriptor": "os.write(1, b'raw\\n'); raise ValueError('x')",
    "thread": """
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        raise ValueError("x")
    """,
    "subprocess": "subprocess.run(['echo', 'hello']); raise ValueError('x')",
    "lone surrogate": "print('\\ud800'); raise ValueError('x')",
    "without an end": "print('no end', end=''); raise ValueError('x')",
    "pieces": "print('a', 'b', 1, sep='-', end='!\\n'); sys.stdout.writelines(['c', 'd']); raise ValueError('x')",
    "logged": "runpod.RunPodLogger().error('logged'); raise ValueError('x')",
    "kind of stream": "return [sys.stdout.encoding, sys.stdout.fileno(), isinstance(sys.stdout, io.TextIOBase)]",
}
STREAMED = {
    "raised": "print('before'); yield 1; print('after'); raise ValueError('x')",
    "error": "print('before'); yield {'error': 'e'}",
    "returned": "print('before'); yield 1",
}
ASYNC_CAPTURED = {
    "to thread": "await asyncio.to_thread(print, 'from to_thread'); raise ValueError('x')",
    "task": "await asyncio.create_task(asyncio.sleep(0, print('in it'))); raise ValueError('x')",
    "raised": "print('before'); await asyncio.sleep(0.1); print('after'); raise ValueError('x')",
}
AGGREGATE = "'return_aggregate_stream': True"

HANDLERS = (
    Handler("prestart_passes", {"hooks": "return ran", "hooks again": "return len(ran)"}, head=PASSING, sdks=NEXT),
    Handler(
        "prestart_in_time",
        {"one": "return ran"},
        head="ran = []\n@runpod.serverless.register_prestart_hook\ndef hook():\n    time.sleep(0.3)\n    ran.append(1)",
        config="'prestart_timeout': 5",
        sdks=NEXT,
    ),
    Handler(
        "prestart_second_fails",
        JOBS,
        head="""
            @runpod.serverless.register_prestart_hook
            def good(): print("good")
            @runpod.serverless.register_prestart_hook
            async def bad():
                await asyncio.sleep(0.5)
                raise ValueError("bad")
            @runpod.serverless.register_prestart_hook
            def never(): print("never")
        """,
        sdks=NEXT,
    ),
    Handler(
        "prestart_uncaptured",
        JOBS,
        head="""
            @runpod.serverless.register_prestart_hook
            def hook():
                print("not told")
                time.sleep(0.5)
                raise ValueError("x")
        """,
        environment={"RUNPOD_LOG_CAPTURE": "off"},
        sdks=NEXT,
    ),
    *_failing("def", FAILING),
    *_failing("async def", ASYNC_FAILING),
    Handler("captured", CAPTURED, environment=ALL, sdks=NEXT),
    Handler("captured_quietly", CAPTURED, environment=ALL | QUIET, sdks=NEXT),
    Handler("captured_oddly", {"raised": CAPTURED["raised"]}, environment={"RUNPOD_LOG_CAPTURE": " All "}, sdks=NEXT),
    Handler("not_captured", {"raised": CAPTURED["raised"]}, environment={"RUNPOD_LOG_CAPTURE": "some"}, sdks=NEXT),
    Handler("captured_chunks", STREAMED, kind="generator", environment=ALL, config=AGGREGATE, sdks=NEXT),
    Handler(
        "captured_chunks_quietly", STREAMED, kind="generator", environment=ALL | QUIET, config=AGGREGATE, sdks=NEXT
    ),
    Handler("captured_async", ASYNC_CAPTURED, kind="async", environment=ALL | QUIET, sdks=NEXT),
)
