"""What handlers raise, plain and async."""

from __future__ import annotations

from tests.parity.cases import Handler

SHARED = """
    class Own(Exception): pass
    class Silent(Exception):
        def __str__(self): raise RuntimeError("no text")
    class Wordless(Exception):
        def __str__(self): return 7
    class Shy(Exception):
        def __repr__(self): raise RuntimeError("no repr")
    class Base(BaseException): pass
    def fail(): raise KeyError("inner")
    def recurse(): return recurse()
"""

COMMON = {
    "with text": "raise ValueError('no luck: ☃')",
    "without text": "raise ValueError",
    "several arguments": "raise ValueError('a', 1, None)",
    "own class": "raise Own('own')",
    "local class": """
        class Local(Exception): pass
        raise Local("local")
    """,
    "from another": """
        try:
            fail()
        except KeyError as error:
            raise ValueError("outer") from error
    """,
    "while handling": """
        try:
            fail()
        except KeyError:
            raise ValueError("outer")
    """,
    "from none": """
        try:
            fail()
        except KeyError:
            raise ValueError("outer") from None
    """,
    "with notes": """
        error = ValueError("noted")
        error.add_note("a note ☃")
        raise error
    """,
    "group": "raise ExceptionGroup('several', [ValueError('a'), ExceptionGroup('more', [Own('b')])])",
    "key error": "return {}['missing']",
    "attribute error": "return job.missing",
    "zero division": "return 1 / 0",
    "operating system": "open('/no/such/file')",
    "unicode error": "b'\\xff'.decode()",
    "recursion": "recurse()",
    "memory": "raise MemoryError",
    "assertion": "assert job is None, 'asserted'",
    "stop iteration": "raise StopIteration('stopped')",
    "stop async iteration": "raise StopAsyncIteration('stopped')",
    "generator exit caught": """
        try:
            raise GeneratorExit
        except GeneratorExit:
            return "caught"
    """,
    "timeout": "raise TimeoutError('late')",
    "syntax": "exec('a b')",
    "not an exception": "raise 'text'",
    "warning": "raise UserWarning('warned')",
    "long text": "raise ValueError('x' * 300_000)",
    "lines": "raise ValueError('a\\nb\\n  File \"x\", line 1\\n')",
    "lone surrogate": "raise ValueError('a\\ud800b')",
    "json text": """raise ValueError('{"error_type": 1}')""",
    "wordless": "raise Wordless",
    "shy": "raise Shy('shown')",
}

HANDLERS = (
    Handler("raises", COMMON, head=SHARED),
    Handler("raises_async", COMMON, kind="async", head=SHARED),
    Handler(
        "raises_unseen",
        {
            "silent": "raise Silent",
            "silent cause": """
                try:
                    raise Silent
                except Silent as error:
                    raise ValueError("outer") from error
            """,
            "base": "raise Base('base')",
            "generator exit": "raise GeneratorExit",
            "cancelled": "raise asyncio.CancelledError",
            "base group": "raise BaseExceptionGroup('several', [Base('a')])",
            "after all": "return 'still there'",
        },
        head=SHARED,
    ),
    Handler(
        "raises_unseen_async",
        {
            "silent": "raise Silent",
            "base": "raise Base('base')",
            "generator exit": "raise GeneratorExit",
            "cancelled": "raise asyncio.CancelledError('by myself')",
            "cancels itself": """
                asyncio.current_task().cancel()
                await asyncio.sleep(1)
            """,
            "after all": "return 'still there'",
        },
        kind="async",
        head=SHARED,
    ),
)
