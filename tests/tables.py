"""Tables whose rows prove one rule: one test that tries every row, and names each that fails.

For rows that share their fixtures without harm: a test function of its own for each row costs some milliseconds in each
process, a row costs what it asks. Rows that need a server, a clock or a folder for themselves are parameters of pytest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest


def table(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `pytest.mark.parametrize` in one test; what a row changes by `monkeypatch` is undone before the next.

    A row is one value for one name, else a tuple of a value for each. Stacked, each row meets each of the other.
    """
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [dict(zip(keys, row if len(keys) > 1 else (row,), strict=True)) for row in rows]

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
        failed.tell(len(cases))

    return whole


def _awaited(test: Callable[..., Any], cases: Sequence[Mapping[str, Any]]) -> Callable[..., Any]:
    async def whole(**fixtures: Any) -> None:
        failed = _Failed()
        for case in cases:
            with _own(fixtures) as own, failed.noting(case):
                await test(**own, **case)
        failed.tell(len(cases))

    return whole


class _own:
    """The fixtures of a row: with a `monkeypatch` whose changes end with it."""

    def __init__(self, fixtures: Mapping[str, Any]) -> None:
        self._fixtures = dict(fixtures)
        self._patch = pytest.MonkeyPatch() if "monkeypatch" in fixtures else None

    def __enter__(self) -> dict[str, Any]:
        return self._fixtures if self._patch is None else {**self._fixtures, "monkeypatch": self._patch}

    def __exit__(self, *_: object) -> None:
        if self._patch is not None:
            self._patch.undo()


class _Failed:
    """The rows that failed, each with why."""

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._first: BaseException | None = None

    def noting(self, case: Mapping[str, Any]) -> _Noting:
        return _Noting(self, case)

    def note(self, case: Mapping[str, Any], error: BaseException) -> None:
        told = ", ".join(f"{name}={value!r:.200}" for name, value in case.items())
        self._rows.append(f"[{told}]\n  {type(error).__name__}: {str(error)[:2000]}")
        self._first = self._first or error

    def tell(self, number: int) -> None:
        """Raise AssertionError with all of them, and the first one's traceback, if there is any."""
        if self._rows:
            raise AssertionError(f"{len(self._rows)} of {number} rows:\n" + "\n".join(self._rows)) from self._first


class _Noting:
    def __init__(self, failed: _Failed, case: Mapping[str, Any]) -> None:
        self._failed = failed
        self._case = case

    def __enter__(self) -> None:
        """Nothing to do yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, (Exception, pytest.fail.Exception)):
            self._failed.note(self._case, error)
            return True
        return False
