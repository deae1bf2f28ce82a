"""Tables whose rows prove one rule: one test that tries every row, and names those that fail.

For rows that share their fixtures without harm: a test function of its own for each row costs some milliseconds in each
process, a row costs what it asks. Rows that need a server, a clock or a folder for themselves are parameters of pytest.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

_ENOUGH = 5
"""Rows that fail before the rest is left untried: a fault that concerns all of them may cost each a time limit."""


def table(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `pytest.mark.parametrize` in one test; what a row changes by `monkeypatch` is undone before the next.

    A row is one value for one name, else a tuple of a value for each. Stacked, each row meets each of the other.
    """
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [dict(zip(keys, row if len(keys) > 1 else (row,), strict=True)) for row in rows]
    assert cases, "a table without rows proves nothing"

    def over(test: Callable[..., Any]) -> Callable[..., Any]:
        whole = _awaited(test, cases) if inspect.iscoroutinefunction(test) else _called(test, cases)
        signature = inspect.signature(test)
        fixtures = [one for name, one in signature.parameters.items() if name not in keys]
        functools.update_wrapper(whole, test)
        whole.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return whole

    return over


def _called(test: Callable[..., Any], cases: Sequence[Mapping[str, Any]]) -> Callable[..., None]:
    def whole(**fixtures: Any) -> None:
        failed = _Failed()
        for case in cases:
            with _own(fixtures) as own, failed.noting(case):
                test(**own, **case)
            if failed.enough:
                break
        failed.tell(len(cases))

    return whole


def _awaited(test: Callable[..., Any], cases: Sequence[Mapping[str, Any]]) -> Callable[..., Any]:
    async def whole(**fixtures: Any) -> None:
        failed = _Failed()
        for case in cases:
            with _own(fixtures) as own, failed.noting(case):
                await test(**own, **case)
            if failed.enough:
                break
        failed.tell(len(cases))

    return whole


@contextlib.contextmanager
def _own(fixtures: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The fixtures of a row: with a `monkeypatch` whose changes end with it."""
    if "monkeypatch" not in fixtures:
        yield fixtures
        return
    with pytest.MonkeyPatch.context() as patch:
        yield {**fixtures, "monkeypatch": patch}


class _Failed:
    """The rows that failed, each with why."""

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._first: BaseException | None = None

    @property
    def enough(self) -> bool:
        return len(self._rows) >= _ENOUGH

    @contextlib.contextmanager
    def noting(self, case: Mapping[str, Any]) -> Iterator[None]:
        """Keep what is raised within for the end."""
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            told = ", ".join(f"{name}={value!r:.200}" for name, value in case.items())
            self._rows.append(f"[{told}]\n  {type(error).__name__}: {str(error)[:2000]}")
            self._first = self._first or error

    def tell(self, number: int) -> None:
        """Raise AssertionError with all of them, and the first one's traceback, if there is any."""
        if self._rows:
            number_told = f"{'at least ' if self.enough else ''}{len(self._rows)} of {number} rows"
            raise AssertionError("\n".join([f"{number_told}:", *self._rows])) from self._first
