"""A worker tells the server which files below the handler's folder its code comes from, and nothing else."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind
from runpod_emulator.workers.runner.imported import OwnFiles

# In this process


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a module into the test's folder and import it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def bring(name: str, source: str = "", folder: str = "") -> Path:
        if folder:
            monkeypatch.syspath_prepend(tmp_path / folder)
        file = tmp_path / folder / (name.replace(".", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        importlib.invalidate_caches()
        importlib.import_module(name)
        return file

    yield bring
    for name in set(sys.modules) - before:
        del sys.modules[name]


def known(files: OwnFiles, error: BaseException | None = None) -> list[str] | None:
    """The files in the news, without which of them are newer."""
    news = files.news(error)
    return news and news[0]


def test_a_file_that_was_saved_since_the_last_look_is_newer(tmp_path: Path, bring: Callable[..., Path]) -> None:
    files = OwnFiles(str(tmp_path))
    old, new = bring("imported_old"), bring("imported_new")
    os.utime(old, (1, 1))
    os.utime(new, (9e9, 9e9))
    assert files.news() == [[str(new), str(old)], [str(new)]]


def test_news_are_all_files_as_soon_as_there_is_one_more(tmp_path: Path, bring: Callable[..., Path]) -> None:
    files = OwnFiles(str(tmp_path))
    assert files.news() is None
    second = bring("imported_b")
    assert known(files) == [str(second)]
    assert files.news() is None
    first = bring("imported_a")
    assert known(files) == [str(first), str(second)]
    assert files.news() is None


def test_a_module_from_elsewhere_is_no_news(tmp_path: Path, bring: Callable[..., Path]) -> None:
    files = OwnFiles(str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    bring("imported_above")
    bring("imported_beside", folder="mine-too")
    assert files.news() is None
    inside = bring("imported_inside", folder="mine")
    assert known(files) == [str(inside)]


@pytest.mark.parametrize("folder", ["site-packages", "lib/dist-packages", "node_modules/tool", ".venv/lib", ".hidden"])
def test_an_installed_package_is_no_news(tmp_path: Path, bring: Callable[..., Path], folder: str) -> None:
    files = OwnFiles(str(tmp_path))
    bring("imported_foreign", folder=folder)
    assert files.news() is None


def test_the_folder_itself_may_be_hidden_or_a_link(tmp_path: Path, bring: Callable[..., Path]) -> None:
    file = bring("imported_there", folder=".hidden/mine")
    (tmp_path / "link").symlink_to(file.parent)
    assert known(OwnFiles(str(file.parent))) == known(OwnFiles(str(tmp_path / "link"))) == [str(file)]


def test_odd_modules_do_no_harm(tmp_path: Path, bring: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        __file__ = 42

    for name, module in {"odd_one": Odd(), "odd_two": None, "odd_three": object()}.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    assert OwnFiles(str(tmp_path)).news() is None


@pytest.mark.parametrize("source", ["def broken(:", "1 / 0", "import nothing_of_this_name", "import sys; sys.exit(3)"])
def test_the_file_of_a_failed_import_is_news(tmp_path: Path, bring: Callable[..., Path], source: str) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        bring("imported_broken", source)
    assert known(OwnFiles(str(tmp_path)), caught.value) == [str(tmp_path / "imported_broken.py")]


# Told to the server

HELPED = "import package.helper\n\ndef handler(job):\n    return __import__(job['input']).__name__\n"


def told(body: bytes, folder: Path) -> list[str]:
    return [os.path.relpath(file, folder) for file in json.loads(body)[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    for name in ("package/__init__.py", "package/helper.py", "late.py"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("spec", ["handler.py", "handler.py:handler", "handler:handler"])
def test_the_files_come_before_the_worker_is_ready_and_again_after_a_job_with_an_import(
    start: Any, folder: Path, spec: str
) -> None:
    child = start(HELPED, spec, options=("--folder", str(folder)))
    files = ["handler.py", "package/__init__.py", "package/helper.py"]
    assert told(child.expect(Kind.FILES, ""), folder) == files
    child.ready()
    assert child.run("package").output == b'"package"'
    assert child.run("late").output == b'"late"'
    assert told(child.expect(Kind.FILES, ""), folder) == ["handler.py", "late.py", *files[1:]]
    assert child.run("late").output == b'"late"'
    assert child.run("json").output == b'"json"'
    assert child.run("late").output == b'"late"'
    assert not child.frames


def test_a_file_that_runs_itself_is_told_by_its_start(start: Any, folder: Path) -> None:
    child = start(f"import runpod\n{HELPED}\nrunpod.serverless.start({{'handler': handler}})",
                  options=("--folder", str(folder)))  # fmt: skip
    assert told(child.expect(Kind.FILES, ""), folder) == ["handler.py", "package/__init__.py", "package/helper.py"]
    child.ready()


def test_without_a_folder_nothing_is_told(start: Any, folder: Path) -> None:
    child = start(HELPED)
    child.ready()
    assert child.run("late").output == b'"late"'
    assert child.run("late").output == b'"late"'


@pytest.mark.parametrize(
    ("helper", "said"),
    [("def broken(:", "SyntaxError"), ("raise ValueError('no model')", "no model"), ("import nix", "named 'nix'")],
)
def test_a_worker_that_gives_up_tells_where(start: Any, folder: Path, helper: str, said: str) -> None:
    (folder / "package/helper.py").write_text(helper)
    child = start(HELPED, options=("--folder", str(folder)))
    assert told(child.expect(Kind.FILES, ""), folder) == ["handler.py", "package/__init__.py", "package/helper.py"]
    assert said in child.broken()


def test_a_worker_that_finds_no_handler_tells_too(start: Any, folder: Path) -> None:
    child = start("answer = 42", options=("--folder", str(folder)))
    assert told(child.expect(Kind.FILES, ""), folder) == ["handler.py"]
    assert "no function named handler" in child.broken()


def test_a_job_that_is_still_running_does_not_keep_the_news_back(start: Any, folder: Path) -> None:
    child = start(
        """
        import asyncio

        async def handler(job):
            if job["input"] == "wait":
                await asyncio.sleep(60)
            __import__(job["input"])
        """,
        options=("--folder", str(folder), "--concurrency", "2"),
    )
    child.expect(Kind.FILES, "")
    child.ready()
    child.job("wait", id="slow")
    child.run("late", id="quick")
    assert "late.py" in told(child.expect(Kind.FILES, ""), folder)
