"""What generators yield, with and without `return_aggregate_stream`, plain and async."""

from __future__ import annotations

from tests.parity.cases import Case, Handler

SHARED = """
    class Silent(Exception):
        def __str__(self): raise RuntimeError("no text")
    class Base(BaseException): pass
    class Unshowable(dict):
        def __repr__(self): raise RuntimeError("no repr")
    Point = collections.namedtuple("Point", "x y")
"""

CASES = {
    "texts": "yield 'one'; yield 'two ☃'",
    "every kind": """
        for value in (None, "", 0, False, 1.5, [], {}, [1, {"error": "inside"}], {"b": 1, "a": 2}, (1, 2), Point(1, 2)):
            yield value
    """,
    "nothing": "pass",
    "error": "yield 'first'; yield {'error': 'stops it', 'extra': 1}; yield 'never'",
    "error at once": "yield {'error': 'e'}",
    "error dict": "yield {'error': {'code': 7}}",
    "error true": "yield 1; yield {'error': True}",
    "error list": "yield {'error': ['a', None]}",
    "error number": "yield {'error': 1.0}",
    "falsy errors": "yield {'error': ''}; yield {'error': None, 'a': 1}; yield {'error': 0}; yield {'error': []}",
    "error in output": "yield {'output': {'error': 'x'}}; yield [{'error': 'y'}]",
    "refresh": "yield {'refresh_worker': True, 'a': 1}; yield 'after'",
    "raised at first": "raise ValueError('no luck: ☃')",
    "raised in the middle": "yield 1; raise ValueError('middle'); yield 2",
    "raised at last": "yield 1; yield 2; raise KeyError('last')",
    "stop iteration": "yield 1; raise StopIteration('inner')",
    "keys": "yield {1: 'a', None: 'b'}",
    "many": """
        for number in range(300):
            yield number
    """,
    "long text": "yield 'ü' * 700_000; yield 'short'",
    "long list": "yield list(range(200_000))",
    "as it comes": Case(
        """
        for number in range(1, 4):
            yield {"number": number}
            gate(job, number)
        """,
        client="stream",
    ),
    "with progress": """
        yield "one"
        gate(job, 1)
        runpod.serverless.progress_update(job, {"pct": 50})
        gate(job, 2)
        yield "two"
    """,
    "cleans up": """
        try:
            yield 1
            yield {"error": "stop"}
        finally:
            note(job, "cleaned")
    """,
    "was cleaned": "yield notes(job, 1)",
}

UNSENDABLE = {
    "set at first": "yield {1}; yield 'a'",
    "set in the middle": "yield 'a'; yield {1, 2}; yield 'b'",
    "set at last": "yield 'a'; yield b'x'",
    "nan": "yield 'a'; yield float('nan'); yield 'b'",
    "lone surrogate": "yield 'a'; yield '\\ud800'; yield 'b'",
    "lone surrogate in an error": "yield 'a'; yield {'error': '\\ud800'}",
    "raised with a lone surrogate": "yield 'a'; raise ValueError('\\ud800')",
    "raised without text": "yield 'a'; raise Silent",
    "base exception": "yield 'a'; raise Base('base')",
    "cancelled": "yield 'a'; raise asyncio.CancelledError",
    "circular": "value = []; value.append(value); yield 'a'; yield value; yield 'b'",
    "generator": "yield (number for number in range(3)); yield 'b'",
    "unshowable": "yield 'a'; yield Unshowable(b=1); yield 'c'",
    "error of no text": "yield {'error': Silent()}",
    "still there": "yield 'fine'",
}

PLAIN_ONLY = {
    "returns a value": "yield 1; return 'returned'",
    "yield from": "yield from [1, 'two']; yield from (x for x in 'ab')",
}
ASYNC_ONLY = {
    "sleeps": "yield 1; await asyncio.sleep(0.05); yield 2",
    "awaits a task": "yield await asyncio.gather(asyncio.sleep(0, 'a'), asyncio.sleep(0, 'b'))",
}
AGGREGATE = "'return_aggregate_stream': True"

HANDLERS = (
    Handler("chunks", CASES | PLAIN_ONLY, kind="generator", head=SHARED),
    Handler("gathered", CASES | PLAIN_ONLY, kind="generator", head=SHARED, config=AGGREGATE, sample=True),
    Handler("chunks_async", CASES | ASYNC_ONLY, kind="async generator", head=SHARED),
    Handler("gathered_async", CASES | ASYNC_ONLY, kind="async generator", head=SHARED, config=AGGREGATE),
    Handler("unsendable_chunks", UNSENDABLE, kind="generator", head=SHARED),
    Handler("unsendable_gathered", UNSENDABLE, kind="generator", head=SHARED, config=AGGREGATE),
    Handler("unsendable_chunks_async", UNSENDABLE, kind="async generator", head=SHARED),
    Handler("unsendable_gathered_async", UNSENDABLE, kind="async generator", head=SHARED, config=AGGREGATE),
    Handler(
        "gathered_oddly",
        {"texts": "yield 'a'; yield 'b'", "raised": "yield 'a'; raise ValueError('x')"},
        kind="generator",
        config="'return_aggregate_stream': 'yes', 'refresh_worker': False",
    ),
    Handler(
        "gathered_and_refreshed",
        {"one": "yield 1", "error": "yield {'error': 'e'}", "after": "yield 2"},
        kind="generator",
        config=AGGREGATE + ", 'refresh_worker': True",
    ),
)
