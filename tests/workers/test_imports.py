"""Modules are met once they are there, and imported as ever."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from runpod_emulator.workers.imports import OnImport

NAME = "imported_late"


@pytest.fixture(autouse=True)
def finders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text("seen = (__spec__.loader, __loader__)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop(NAME, None)


def test_a_module_is_met_when_it_is_imported_and_each_time_it_is_reloaded():
    met: list[ModuleType] = []
    one, two = OnImport({NAME: met.append}), OnImport({NAME: met.append, "not_there": met.append})
    one.start()
    two.start()
    module = importlib.import_module(NAME)
    assert met == [module, module]
    assert module.seen == (module.__loader__,) * 2 == (module.__spec__.loader,) * 2
    assert inspect.getsource(module).startswith("seen")
    importlib.reload(module)
    assert len(met) == 4
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_there")
    for each in (one, two, two):
        each.stop()
    importlib.reload(module)
    assert len(met) == 4


def test_a_module_that_is_there_already_is_met_at_once():
    module, met = importlib.import_module(NAME), []
    one = OnImport({NAME: met.append})
    one.start()
    one.stop()
    assert met == [module]


def test_a_module_that_fails_is_not_met(tmp_path: Path):
    (tmp_path / f"{NAME}.py").write_text("raise RuntimeError\n")
    met: list[ModuleType] = []
    one = OnImport({NAME: met.append})
    one.start()
    with pytest.raises(RuntimeError):
        importlib.import_module(NAME)
    one.stop()
    assert met == []
