"""Handlers that are no plain functions, and configurations of `start`: each needs a file of its own."""

from __future__ import annotations

from tests.parity.cases import Handler

FUNCTION = "def real(job): return ['real', job['input']['case']]\n"
GENERATOR = "def real(job):\n    yield 'a'\n    yield 'b'\n"
ASYNC = "async def real(job): return ['real', job['input']['case']]\n"

OBJECTS = {
    "callable_object": "class Own:\n    def __call__(self, job): return 'called'\nhandler = Own()",
    "async_callable_object": "class Own:\n    async def __call__(self, job): return 'called'\nhandler = Own()",
    "generator_object": "class Own:\n    def __call__(self, job): yield 'called'\nhandler = Own()",
    "bound_method": "class Own:\n    def run(self, job): return 'method'\nhandler = Own().run",
    "generator_method": "class Own:\n    def run(self, job): yield 'method'\nhandler = Own().run",
    "class_method": "class Own:\n    @classmethod\n    def run(cls, job): return cls.__name__\nhandler = Own.run",
    "class_itself": "class Own:\n    def __init__(self, job): self.job = job\nhandler = Own",
    "dict_class": "handler = dict",
    "builtin": "handler = len",
    "partial": FUNCTION + "handler = functools.partial(real)",
    "partial_generator": GENERATOR + "handler = functools.partial(real)",
    "partial_async": ASYNC + "handler = functools.partial(real)",
    "lambda_": "handler = lambda job: ['lambda', job['input']['case']]",
    "lambda_of_coroutine": ASYNC + "handler = lambda job: real(job)",
    "lambda_generator": "handler = lambda job: (yield 1)",
    "lambda_of_generator": GENERATOR + "handler = lambda job: real(job)",
    "wrapped": (
        FUNCTION + "def wrap(function):\n    @functools.wraps(function)\n    def inner(*args, **keywords):\n"
        "        return {'wrapped': function(*args, **keywords)}\n    return inner\nhandler = wrap(real)"
    ),
    "wrapped_generator": (
        GENERATOR + "def wrap(function):\n    @functools.wraps(function)\n    def inner(job):\n"
        "        return function(job)\n    return inner\nhandler = wrap(real)"
    ),
    "cached": FUNCTION + "handler = functools.lru_cache(real)",
    "two_arguments": "def handler(job, more): return 1",
    "no_arguments": "def handler(): return 1",
    "default_arguments": "def handler(job, more=2, *rest, key=3, **others): return [more, rest, key, others]",
    "none": "handler = None",
    "text": "handler = 'not callable'",
    "async_partial_generator": "async def real(job):\n    yield 'a'\nhandler = functools.partial(real)",
    "context_manager": "@contextlib.contextmanager\ndef handler(job):\n    yield 'a'",
    "coroutine_type": "@types.coroutine\ndef handler(job):\n    yield from asyncio.sleep(0).__await__()\n    return 1",
}

CONFIGS = {
    "modifier_none": "'concurrency_modifier': None",
    "modifier_one": "'concurrency_modifier': lambda current: 1",
    "modifier_zero_value": "'concurrency_modifier': 0",
    "modifier_half": "'concurrency_modifier': lambda current: 2.5",
    "modifier_true": "'concurrency_modifier': lambda current: True",
    "modifier_grows": "'concurrency_modifier': lambda current: min(current + 1, 4)",
    "unknown_keys": "'unknown': 1, 'jobs_fetcher': print, 'jobs_handler': print, 'rp_args': {'rp_debugger': True}",
}

TOGETHER = """
    present = set()
    async def meet(job, count):
        present.add(job["id"])
        deadline = time.monotonic() + 10
        while len(present) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return len(present)
"""

HANDLERS = (
    *(Handler(name, {"one": "", "two": ""}, kind="own", head=head) for name, head in OBJECTS.items()),
    *(
        Handler(name, {"one": "return 1", "two": "return {'error': 'e'}", "three": "return {1}"}, config=config)
        for name, config in CONFIGS.items()
    ),
    Handler("missing_handler", {"one": ""}, kind="own", head="runpod.serverless.start({'hander': print})"),
    Handler("empty_config", {"one": "", "two": ""}, kind="own", head="runpod.serverless.start({})"),
    Handler(
        "three_at_once",
        {f"meets {number}": "return await meet(job, 3)" for number in range(3)},
        kind="async",
        head=TOGETHER,
        config="'concurrency_modifier': lambda current: 3",
        sample=True,
    ),
    Handler(
        "three_in_a_batch",
        {
            "raised": "raise ValueError('x')",
            "unsendable": "return {1}",
            "cancelled": "raise asyncio.CancelledError",
            "fine": "await asyncio.sleep(0.1); return 'fine'",
            "error": "return {'error': 'e'}",
            "last": "return 'last'",
        },
        kind="async",
        config="'concurrency_modifier': lambda current: 3",
    ),
    Handler(
        "blocking_in_a_batch",
        {f"blocks {number}": "time.sleep(0.3); return 'blocked'" for number in range(4)},
        config="'concurrency_modifier': lambda current: 3",
    ),
    Handler(
        "streams_in_a_batch",
        {f"stream {number}": "yield 1\nawait asyncio.sleep(0.1)\nyield 2" for number in range(4)},
        kind="async generator",
        config="'concurrency_modifier': lambda current: 3, 'return_aggregate_stream': True",
    ),
)
