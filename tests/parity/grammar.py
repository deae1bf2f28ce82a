"""Handlers made by hypothesis from the catalogue's grammar: a kind, some statements, and an outcome."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.parity.cases import Case, Handler, Kind

AGGREGATE = "'return_aggregate_stream': True"
HEAD = """
    class Base(BaseException): pass
    class Silent(Exception):
        def __str__(self): raise RuntimeError("no text")
    class Shy:
        def __repr__(self): raise RuntimeError("no repr")
"""
CONFIGS: dict[str, tuple[Kind, str]] = {
    "made_plain": ("plain", ""),
    "made_async": ("async", ""),
    "made_chunks": ("generator", ""),
    "made_gathered": ("generator", AGGREGATE),
    "made_chunks_async": ("async generator", ""),
    "made_gathered_async": ("async generator", AGGREGATE),
}

Text = st.SearchStrategy[str]
"""Makes Python source."""

_TEXTS = st.text(max_size=6).map(ascii) | st.sampled_from(["'☃'", "'\\ud800'", "'e' * 5_000", "'a\\nb'", "''"])
_NUMBERS = (
    st.integers().map(str)
    | st.integers(-3, 3).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["10**400", "-0.0", "float('nan')", "float('inf')"])
)
_PLAIN = st.sampled_from(["None", "True", "False", "0", "''", "[]", "{}"]) | _NUMBERS | _TEXTS
_ODD = st.sampled_from(
    ["{1}", "b'x'", "object()", "decimal.Decimal(1)", "(n for n in 'ab')", "ValueError('x')", "range(2)", "Shy()", "1j"]
)
_KEYS = st.sampled_from(["'a'", "'b'", "'error'", "'error'", "'output'", "'status'", "''", "1", "None", "1.5", "True"])
_RARE_KEYS = st.sampled_from(["'a'"] * 8 + ["'refresh_worker'", "(1, 2)", "b'k'"])
_EXCEPTIONS = st.sampled_from(
    ["ValueError", "KeyError", "RuntimeError", "OSError", "StopIteration", "StopAsyncIteration", "AssertionError"] * 2
    + ["Base", "GeneratorExit", "asyncio.CancelledError", "Silent"]
)


def _containers(inner: Text) -> Text:
    items = st.lists(inner, max_size=3).map(", ".join)
    pairs = st.lists(st.tuples(_KEYS | _RARE_KEYS, inner).map(": ".join), max_size=3).map(", ".join)
    return items.map("[{}]".format) | items.map("tuple([{}])".format) | pairs.map("{{{}}}".format)


_VALUES: Text = st.recursive(_PLAIN | _PLAIN | _PLAIN | _ODD, _containers, max_leaves=5)
_SENDABLE: Text = st.sampled_from(["1", "'half ☃'", "{'pct': 50}", "[None]", "''", "{'error': 'x'}"])
_RAISES = st.builds("raise {}({})".format, _EXCEPTIONS, _TEXTS) | st.builds(
    "try:\n    {{}}['missing']\nexcept KeyError as error:\n    raise {}({}) from error".format, _EXCEPTIONS, _TEXTS
)
_STATEMENTS = (
    _VALUES.map("value = {}".format)
    | _TEXTS.map("print({})".format)
    | _VALUES.map("with contextlib.suppress(Exception):\n    str({})".format)
    | st.sampled_from(
        [
            "time.sleep(0.01)",
            "job['input'].pop('case')",
            "job['more'] = 1",
            "threading.Thread(target=print, args=('in a thread',)).start()",
            "try:\n    raise ValueError\nexcept ValueError:\n    pass",
        ]
    )
)


@st.composite
def _called(draw: st.DrawFn, pause: str) -> Case:
    """The body of a plain or async handler."""
    lines = draw(st.lists(_STATEMENTS, max_size=2))
    for number, value in enumerate(draw(st.lists(_SENDABLE, max_size=1)), 1):
        lines.append(f"runpod.serverless.progress_update(job, {value})\ngate(job, {number})")
    lines += draw(st.sampled_from([[], [], [pause]]))
    lines.append(draw(_VALUES.map("return {}".format) | _VALUES.map("return {}".format) | _RAISES))
    return Case("\n".join(lines))


@st.composite
def _streamed(draw: st.DrawFn, pause: str) -> Case:
    """The body of a generator."""
    lines = draw(st.lists(_STATEMENTS, max_size=1))
    lines += draw(st.lists(_VALUES.map("yield {}".format), max_size=4))
    lines += draw(st.sampled_from([[], [], [pause]]))
    lines += draw(st.sampled_from([[], [], ["return"]]) | _RAISES.map(lambda raised: [raised]))
    return Case("\n".join(lines))


_MAKERS: dict[Kind, Callable[[str], st.SearchStrategy[Case]]] = {
    "plain": _called,
    "async": _called,
    "generator": _streamed,
    "async generator": _streamed,
}


def handlers(count: int, number: int) -> list[Handler]:
    """Handlers with this many cases in all; the same `number`, the same handlers."""
    share = -(-count // len(CONFIGS))
    return [
        Handler(name, _cases(kind, share, number + at), kind, HEAD, config)
        for at, (name, (kind, config)) in enumerate(CONFIGS.items())
    ]


def _cases(kind: Kind, count: int, number: int) -> dict[str, Case]:
    pause = "await asyncio.sleep(0.01)" if "async" in kind else "time.sleep(0.01)"
    found: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(_MAKERS[kind](pause))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return {f"made {at}": case for at, case in enumerate(found)}
