"""A saved file comes into use while the server runs; what only programs do is in test_reload_commands.py."""

from __future__ import annotations

import os

import pytest
import watchfiles.main

from tests.compat.servers import until
from tests.workers import served_code
from tests.workers.processes import needs_proc
from tests.workers.served_code import SOON, ServedCode, replace

pytestmark = pytest.mark.compat

host = served_code.host
code = handler_code = served_code.handler_code

# What counts


def test_every_file_that_the_code_comes_from_counts(code: ServedCode) -> None:
    """The last is imported inside a job."""
    numbers = "from helper import NUMBER as helped\nfrom package.deep.part import NUMBER as part\nimport package"
    code.write("package/deep/__init__.py", "")
    for name in ("helper.py", "package/__init__.py", "package/deep/part.py", "late.py"):
        code.write(name, "NUMBER = 1\n")
    code.write_main(f"{numbers}\nown = 1")
    here = code.serve()
    look = "[own, helped, package.NUMBER, part, __import__('late').NUMBER]"
    assert [here.output(look) for _ in range(2)] == [[1, 1, 1, 1, 1]] * 2  # the second comes after news of late.py
    code.write("late.py", "NUMBER = 2\n")
    code.reloaded(1)
    assert here.output(look) == [1, 1, 1, 1, 2]
    code.write_main(f"{numbers}\nown = 2")
    code.reloaded(2)
    assert here.output(look) == [2, 1, 1, 1, 2]
    for times, name in enumerate(("helper.py", "package/__init__.py", "package/deep/part.py"), start=3):
        code.write(name, "NUMBER = 2\n")
        code.reloaded(times)
        assert here.output(look)[: times - 1] == [2] * (times - 1)
    assert here.output(look) == [2, 2, 2, 2, 2]


@needs_proc
def test_every_way_of_saving_counts(code: ServedCode) -> None:
    file = code.write("helper.py", "NUMBER = 1\n")
    code.write_main("from helper import NUMBER")
    here = code.serve()
    assert here.output("NUMBER") == 1

    replace(file, "NUMBER = 2\n")
    code.reloaded(1)
    assert here.output("NUMBER") == 2

    file.unlink()
    code.failed()
    assert here.output("NUMBER") == 2
    file.write_text("NUMBER = 3\n")
    code.reloaded(2)
    assert here.output("NUMBER") == 3

    older = file.with_name("older")
    older.write_text("NUMBER = 4\n")
    os.utime(older, (1_000_000_000, 1_000_000_000))
    os.replace(older, file)
    code.reloaded(3)
    assert here.output("NUMBER") == 4
    until(lambda: len(code.pids()) == 1)


def test_a_save_in_the_second_of_the_last_one_and_of_its_size_counts(code: ServedCode) -> None:
    """Python takes cached byte code for current when it was made from a file of this size and second."""
    file = code.write("helper.py", "NUMBER = 1\n")
    second = 1_700_000_000 * 10**9
    os.utime(file, ns=(second, second))
    code.write_main("from helper import NUMBER")
    here = code.serve()
    for number in (2, 3):
        draft = code.write("draft", f"NUMBER = {number}\n")
        os.utime(draft, ns=(second + number, second + number))
        os.replace(draft, file)
        code.reloaded(number - 1)
        assert here.output("NUMBER") == number
    assert not list(code.folder.rglob("*.pyc"))


def test_two_quick_saves_end_with_the_last_content(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve()
    code.write_main("NUMBER = 2")
    code.write_main("NUMBER = 3")
    until(lambda: here.output("NUMBER") == 3)
    code.write_main("NUMBER = 4\nopen('began', 'w').close()\nwait_for('gate')")
    until((code.folder / "began").exists)
    code.write_main("NUMBER = 5")  # while the one before is being imported
    until(lambda: here.output("NUMBER") == 5)
    (code.folder / "gate").touch()
    until(lambda: here.workers() == {"idle": 1})
    assert here.output("NUMBER") == 5
    assert code.failures() == 0


def test_another_file_does_not_count(handler_code: ServedCode) -> None:
    """The other endpoint's reload, which comes after, tells when mine would have come."""
    code = handler_code
    code.write("unknown.py", "NUMBER = 1\n")
    code.write("notes.txt", "one")
    code.write_main("NUMBER = 1")
    code.write_main("from shared import NUMBER", name="other.py")
    code.write("shared.py", "NUMBER = 1\n")
    here = code.serve("other.py")
    pid = here.output("os.getpid()")
    code.write("unknown.py", "NUMBER = 2\n")
    code.write("notes.txt", "two")
    code.write("new.py", "NUMBER = 2\n")
    code.write("shared.py", "NUMBER = 2\n")
    code.reloaded(1, "other")
    code.write_main("NUMBER = 3", name="other.py")
    code.reloaded(2, "other")
    assert code.client("other").output("NUMBER") == 3
    assert here.output("os.getpid()") == pid
    assert code.said("changed") == 0


def test_a_file_of_two_endpoints_counts_for_both(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("shared.py", "NUMBER = 1\n")
    for name in ("handler.py", "other.py"):
        code.write_main("from shared import NUMBER", name=name)
    here = code.serve("other.py")
    code.write("shared.py", "NUMBER = 2\n")
    for endpoint in ("ep", "other"):
        code.reloaded(1, endpoint)
    assert (here.output("NUMBER"), code.client("other").output("NUMBER")) == (2, 2)


def test_a_function_of_a_package_counts(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("package/__init__.py", "")
    code.write("package/tools.py", "NUMBER = 1\n")
    code.write_main("from package.tools import NUMBER", name="package/main.py")
    code.main = "package.main:handler"
    here = code.serve()
    assert here.output("NUMBER") == 1
    code.write("package/tools.py", "NUMBER = 2\n")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    code.write_main("NUMBER = 3", name="package/main.py")
    code.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_function_of_a_file_elsewhere_counts(handler_code: ServedCode) -> None:
    """Its folder is not the one in which its workers run."""
    code = handler_code
    code.write("code/helper.py", "NUMBER = 1\n")
    code.write_main("from helper import NUMBER", name="code/main.py")
    code.main = "code/main.py:handler"
    (code.folder / "elsewhere").mkdir()
    here = code.serve(directory=code.folder / "elsewhere")
    assert here.output("os.path.basename(os.getcwd())") == "elsewhere"
    code.write("code/helper.py", "NUMBER = 2\n")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    code.write_main("NUMBER = 3", name="code/main.py")
    code.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_package_that_goes_and_comes_back_counts(handler_code: ServedCode) -> None:
    """As a change of branch makes it."""
    code = handler_code
    code.write("package/__init__.py", "NUMBER = 1\n")
    code.write_main("from package import NUMBER")
    here = code.serve()
    os.rename(code.folder / "package", code.folder / "away")
    code.failed()
    assert here.output("NUMBER") == 1
    code.write("away/__init__.py", "NUMBER = 2\n")
    os.rename(code.folder / "away", code.folder / "package")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    code.write("package/__init__.py", "NUMBER = 3\n")
    code.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_save_during_the_first_start_counts(code: ServedCode) -> None:
    code.write_main("open('began', 'w').close()\nwait_for('gate')\nNUMBER = 1")
    here = code.begin()
    until((code.folder / "began").exists)
    code.write_main("NUMBER = 2")
    code.server.ready()
    assert here.output("NUMBER") == 2


# Saves that come before a file is known


def test_a_save_of_an_imported_file_during_the_first_start_counts(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("helper.py", "NUMBER = 1\n")
    code.write_main("from helper import NUMBER\nopen('began', 'w').close()\nwait_for('gate')")
    here = code.begin()
    until((code.folder / "began").exists)
    code.write("helper.py", "NUMBER = 2\n")
    (code.folder / "gate").touch()
    code.server.ready()
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_save_of_a_file_that_a_running_job_has_imported_counts(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("late.py", "NUMBER = 1\n")
    code.write_main("")
    here = code.serve()
    job = here.submit("[__import__('late'), open('began', 'w').close(), wait_for('gate')]")
    until((code.folder / "began").exists)
    code.write("late.py", "NUMBER = 2\n")
    (code.folder / "gate").touch()
    here.ended(job)
    until(lambda: here.output("__import__('late').NUMBER") == 2, SOON)


def test_a_save_while_the_watch_is_extended_counts(handler_code: ServedCode, monkeypatch: pytest.MonkeyPatch) -> None:
    code = handler_code
    code.write("package/__init__.py", "NUMBER = 1\n")
    code.write_main("from package import NUMBER")
    begin = watchfiles.main.RustNotify
    begun: list[list[str]] = []

    def late(folders: list[str], *options: object) -> object:
        if len(folders) == 2:
            code.write("package/__init__.py", "NUMBER = 2\n")
        begun.append(folders)
        return begin(folders, *options)

    monkeypatch.setattr(watchfiles.main, "RustNotify", late)
    here = code.serve()
    until(lambda: len(begun) == 2)
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_handler_that_is_a_link_counts(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("real/helper.py", "NUMBER = 1\n")
    code.write_main("from helper import NUMBER", name="real/main.py")
    (code.folder / "links").mkdir()
    (code.folder / "links" / "handler.py").symlink_to(code.folder / "real" / "main.py")
    code.main = "links/handler.py"
    here = code.serve()
    assert here.output("NUMBER") == 1
    code.write("real/helper.py", "NUMBER = 2\n")
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_watch_that_can_not_begin_is_in_the_log(handler_code: ServedCode, monkeypatch: pytest.MonkeyPatch) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")

    def refuse(*_: object) -> object:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles.main, "RustNotify", refuse)
    assert code.serve().output("NUMBER") == 1
    until(lambda: any("watch limit" in line for line in code.server.log), SOON)
