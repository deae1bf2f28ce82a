"""The debugger of the SDK, fitness checks that pass, and arguments for `start`."""

from __future__ import annotations

from tests.parity.cases import Handler

TIMERS = """
    from runpod.serverless.utils import rp_debugger

    @rp_debugger.FunctionTimer
    def load(): return "loaded"

    @rp_debugger.FunctionTimer
    async def later(): return "later"
"""

CHECKS = """
    ran = []

    @runpod.serverless.register_fitness_check
    def first(): ran.append("first")

    @runpod.serverless.register_fitness_check
    async def second():
        await asyncio.sleep(0.01)
        ran.append("second")

    runpod.serverless.register_fitness_check(lambda: ran.append("third"))

    @runpod.serverless.register_fitness_check
    @runpod.serverless.register_fitness_check
    def twice(): ran.append("twice")

    ran.append("loaded")
"""

HANDLERS = (
    Handler(
        "timers",
        {
            "function": "return load()",
            "function again": "return load()",
            "function twice": "return [load(), load()]",
            "after that": "return load()",
            "line": """
                with rp_debugger.LineTimer("a line"):
                    return "timed"
            """,
            "line again": """
                with rp_debugger.LineTimer("a line"):
                    pass
                raise ValueError("timed")
            """,
            "line once more": """
                with rp_debugger.LineTimer("a line"):
                    return "timed"
            """,
            "async": "return later()",
            "checkpoints": "return len(rp_debugger.Checkpoints().checkpoints)",
        },
        head=TIMERS,
        sample=True,
    ),
    Handler(
        "timed_handler",
        {"one": "", "two": "", "three": ""},
        kind="own",
        head=TIMERS
        + """
    @rp_debugger.FunctionTimer
    def handler(job):
        with rp_debugger.LineTimer("inner"):
            return "timed"
    """,
    ),
    Handler(
        "timed_generator",
        {"one": "", "two": ""},
        kind="own",
        head=TIMERS
        + """
    def handler(job):
        yield load()
        with rp_debugger.LineTimer("inner"):
            yield "timed"
    """,
    ),
    Handler(
        "debugging",
        {
            "dict": "load(); return {'a': 1}",
            "text": "return 'x'",
            "error": "return {'error': 'e'}",
            "error and more": "return {'error': 'e', 'a': 1}",
            "raised": "raise ValueError('x')",
            "empty": "return {}",
            "again": "load(); return {'a': 2}",
        },
        head=TIMERS + "\n    sys.argv.append('--rp_debugger')",
    ),
    Handler(
        "arguments",
        {"left": "return sys.argv[1:]"},
        head="sys.argv += ['--rp_log_level', 'ERROR', '--own', 'value', '--rp_api_port', '9']",
    ),
    Handler("fit", {"checks": "return ran", "checks again": "return ran"}, head=CHECKS, sample=True),
    Handler(
        "fit_module",
        {"checks": "return ran"},
        head="""
            from runpod.serverless.modules.rp_fitness import register_fitness_check
            ran = []
            @register_fitness_check
            def check(): ran.append("by its module")
        """,
    ),
    Handler(
        "fit_or_not",
        {"checks": "return ran"},
        head="""
            ran = []
            @runpod.serverless.register_fitness_check
            def check(): ran.append("ran")
        """,
        environment={"RUNPOD_SKIP_FITNESS_CHECKS": "true"},
    ),
)
