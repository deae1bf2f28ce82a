"""Which files bring a program's new code into use: every Python file below the folder of one that it names."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from runpod_emulator.workers.command import Command
from runpod_emulator.workers.reload import python_files

from tests.compat.servers import until
from tests.workers import served_code
from tests.workers.served_code import SOON, ServedCode

pytestmark = pytest.mark.compat

host = served_code.host
code = served_code.command_code

MINE = ["one.py", "package/two.py", "package/deep/three.py"]
OTHERS = [
    "notes.txt", "one.pyc", ".hidden/four.py", "__pycache__/five.py", "node_modules/tool/six.py",
    "package/site-packages/seven.py", "venv/lib/eight.py", "venv/nine.py",
]  # fmt: skip


def fill(folder: Path) -> None:
    for name in (*MINE, *OTHERS, "venv/pyvenv.cfg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_python_files_are_those_of_the_folder_and_not_of_installed_packages(tmp_path: Path) -> None:
    fill(tmp_path)
    assert sorted(python_files(tmp_path)) == sorted(str(tmp_path / name) for name in MINE)
    assert python_files(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["python", "-u", "package/two.py"], MINE[1:]),
        (["python", "{here}/one.py", "--model", "x"], MINE),
        (["tool", "package/deep/three.py", "package/two.py"], MINE[1:]),
        (["python", "gone.py"], []),
        (["python", "-m", "package.two"], []),
        (["./run"], []),
    ],
    ids=["relative", "absolute", "two", "missing", "module", "other"],
)
def test_the_folders_of_the_files_that_a_command_names(tmp_path: Path, words: list[str], files: list[str]) -> None:
    fill(tmp_path)
    words = [word.format(here=tmp_path) for word in words]
    found = Command(words, lambda worker: {}, str(tmp_path)).files()
    assert sorted(set(found)) == sorted(str(tmp_path / name) for name in files)


def test_a_file_that_is_not_imported_counts_and_an_installed_one_does_not(code: ServedCode) -> None:
    """Nobody can ask a program what it has imported."""
    fill(code.folder)
    code.write_main("NUMBER = 1")
    here = code.serve()
    pid = here.output("os.getpid()")
    for name in OTHERS:
        code.write(name, "# changed")
    code.write("one.py", "# changed")
    code.reloaded(1)
    assert here.output("os.getpid()") != pid
    assert [line for line in code.server.log if "changed" in line] == ["ep: one.py changed"]


def test_the_folder_is_that_in_which_the_program_runs(code: ServedCode) -> None:
    code.write("elsewhere/helper.py", "NUMBER = 1\n")
    code.write_main("from helper import NUMBER", name="elsewhere/worker.py")
    here = code.serve(directory=code.folder / "elsewhere")
    assert here.output("os.getcwd()") == str(code.folder / "elsewhere")
    code.write("elsewhere/helper.py", "NUMBER = 2\n")
    code.reloaded(1)
    assert here.output("NUMBER") == 2


def test_a_program_behind_a_shell_is_reloaded(code: ServedCode) -> None:
    """The child of a shell ends with it."""
    code.write_main("NUMBER = 1")
    shell = f"ep=sh -c '{shlex.quote(sys.executable)} \"$0\" && true' worker.py"
    here = code.serve(command=[shell])
    old = here.output("[os.getpid(), os.getppid()]")
    assert set(old) <= code.pids()
    code.write_main("NUMBER = 2")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    until(lambda: not set(old) & code.pids())


def test_a_module_that_is_new_counts_once_it_is_known(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve()
    code.write("helper.py", "NUMBER = 2\n")
    code.write_main("from helper import NUMBER")
    until(lambda: here.output("NUMBER") == 2)
    code.write("helper.py", "NUMBER = 3\n")
    until(lambda: here.output("NUMBER") == 3)


def test_a_package_that_is_new_counts_once_it_is_known(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve()
    code.write("package/__init__.py", "NUMBER = 2\n")
    code.write_main("from package import NUMBER")
    until(lambda: here.output("NUMBER") == 2)
    code.write("package/__init__.py", "NUMBER = 3\n")
    until(lambda: here.output("NUMBER") == 3, SOON)


def test_a_package_that_goes_and_comes_back_counts_on(code: ServedCode) -> None:
    code.write("package/__init__.py", "NUMBER = 1\n")
    code.write_main("from package import NUMBER")
    here = code.serve()
    os.rename(code.folder / "package", code.folder / "away")
    code.failed()
    code.write("away/__init__.py", "NUMBER = 2\n")
    os.rename(code.folder / "away", code.folder / "package")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    code.write("package/__init__.py", "NUMBER = 3\n")
    until(lambda: here.output("NUMBER") == 3, SOON)
