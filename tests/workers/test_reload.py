"""A saved file comes into use while the server runs; what only programs do is in test_reload_commands.py."""

from __future__ import annotations

import os

import pytest
import watchfiles.main

from tests.compat.servers import until
from tests.workers import sites
from tests.workers.processes import needs_proc
from tests.workers.sites import SOON, Site, replace

pytestmark = pytest.mark.compat

host = sites.host
site = handler_site = sites.handler_site

# What counts


def test_every_file_that_the_code_comes_from_counts(site: Site) -> None:
    """The last is imported inside a job."""
    numbers = "from helper import NUMBER as helped\nfrom package.deep.part import NUMBER as part\nimport package"
    site.write("package/deep/__init__.py", "")
    for name in ("helper.py", "package/__init__.py", "package/deep/part.py", "late.py"):
        site.write(name, "NUMBER = 1\n")
    site.write_main(f"{numbers}\nown = 1")
    here = site.serve()
    look = "[own, helped, package.NUMBER, part, __import__('late').NUMBER]"
    assert [here.output(look) for _ in range(2)] == [[1, 1, 1, 1, 1]] * 2  # the second comes after news of late.py
    site.write("late.py", "NUMBER = 2\n")
    site.reloaded(1)
    assert here.output(look) == [1, 1, 1, 1, 2]
    site.write_main(f"{numbers}\nown = 2")
    site.reloaded(2)
    assert here.output(look) == [2, 1, 1, 1, 2]
    for times, name in enumerate(("helper.py", "package/__init__.py", "package/deep/part.py"), start=3):
        site.write(name, "NUMBER = 2\n")
        site.reloaded(times)
        assert here.output(look)[: times - 1] == [2] * (times - 1)
    assert here.output(look) == [2, 2, 2, 2, 2]


@needs_proc
def test_every_way_of_saving_counts(site: Site) -> None:
    file = site.write("helper.py", "NUMBER = 1\n")
    site.write_main("from helper import NUMBER")
    here = site.serve()
    assert here.output("NUMBER") == 1

    replace(file, "NUMBER = 2\n")
    site.reloaded(1)
    assert here.output("NUMBER") == 2

    file.unlink()
    site.failed()
    assert here.output("NUMBER") == 2
    file.write_text("NUMBER = 3\n")
    site.reloaded(2)
    assert here.output("NUMBER") == 3

    older = file.with_name("older")
    older.write_text("NUMBER = 4\n")
    os.utime(older, (1_000_000_000, 1_000_000_000))
    os.replace(older, file)
    site.reloaded(3)
    assert here.output("NUMBER") == 4
    until(lambda: len(site.pids()) == 1)


def test_a_save_in_the_second_of_the_last_one_and_of_its_size_counts(site: Site) -> None:
    """Python takes cached byte code for current when it was made from a file of this size and second."""
    file = site.write("helper.py", "NUMBER = 1\n")
    second = 1_700_000_000 * 10**9
    os.utime(file, ns=(second, second))
    site.write_main("from helper import NUMBER")
    here = site.serve()
    for number in (2, 3):
        draft = site.write("draft", f"NUMBER = {number}\n")
        os.utime(draft, ns=(second + number, second + number))
        os.replace(draft, file)
        site.reloaded(number - 1)
        assert here.output("NUMBER") == number
    assert not list(site.folder.rglob("*.pyc"))


def test_two_quick_saves_end_with_the_last_content(site: Site) -> None:
    site.write_main("NUMBER = 1")
    here = site.serve()
    site.write_main("NUMBER = 2")
    site.write_main("NUMBER = 3")
    until(lambda: here.output("NUMBER") == 3)
    site.write_main("NUMBER = 4\nopen('began', 'w').close()\nwait_for('gate')")
    until((site.folder / "began").exists)
    site.write_main("NUMBER = 5")  # while the one before is being imported
    until(lambda: here.output("NUMBER") == 5)
    (site.folder / "gate").touch()
    until(lambda: here.workers() == {"idle": 1})
    assert here.output("NUMBER") == 5
    assert site.failures() == 0


def test_another_file_does_not_count(handler_site: Site) -> None:
    """The other endpoint's reload, which comes after, tells when mine would have come."""
    site = handler_site
    site.write("unknown.py", "NUMBER = 1\n")
    site.write("notes.txt", "one")
    site.write_main("NUMBER = 1")
    site.write_main("from shared import NUMBER", name="other.py")
    site.write("shared.py", "NUMBER = 1\n")
    here = site.serve("other.py")
    pid = here.output("os.getpid()")
    site.write("unknown.py", "NUMBER = 2\n")
    site.write("notes.txt", "two")
    site.write("new.py", "NUMBER = 2\n")
    site.write("shared.py", "NUMBER = 2\n")
    site.reloaded(1, "other")
    site.write_main("NUMBER = 3", name="other.py")
    site.reloaded(2, "other")
    assert site.client("other").output("NUMBER") == 3
    assert here.output("os.getpid()") == pid
    assert site.said("changed") == 0


def test_a_file_of_two_endpoints_counts_for_both(handler_site: Site) -> None:
    site = handler_site
    site.write("shared.py", "NUMBER = 1\n")
    for name in ("handler.py", "other.py"):
        site.write_main("from shared import NUMBER", name=name)
    here = site.serve("other.py")
    site.write("shared.py", "NUMBER = 2\n")
    for endpoint in ("ep", "other"):
        site.reloaded(1, endpoint)
    assert (here.output("NUMBER"), site.client("other").output("NUMBER")) == (2, 2)


def test_a_function_of_a_package_counts(handler_site: Site) -> None:
    site = handler_site
    site.write("package/__init__.py", "")
    site.write("package/tools.py", "NUMBER = 1\n")
    site.write_main("from package.tools import NUMBER", name="package/main.py")
    site.main = "package.main:handler"
    here = site.serve()
    assert here.output("NUMBER") == 1
    site.write("package/tools.py", "NUMBER = 2\n")
    site.reloaded(1)
    assert here.output("NUMBER") == 2
    site.write_main("NUMBER = 3", name="package/main.py")
    site.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_function_of_a_file_elsewhere_counts(handler_site: Site) -> None:
    """Its folder is not the one in which its workers run."""
    site = handler_site
    site.write("code/helper.py", "NUMBER = 1\n")
    site.write_main("from helper import NUMBER", name="code/main.py")
    site.main = "code/main.py:handler"
    (site.folder / "elsewhere").mkdir()
    here = site.serve(directory=site.folder / "elsewhere")
    assert here.output("os.path.basename(os.getcwd())") == "elsewhere"
    site.write("code/helper.py", "NUMBER = 2\n")
    site.reloaded(1)
    assert here.output("NUMBER") == 2
    site.write_main("NUMBER = 3", name="code/main.py")
    site.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_package_that_goes_and_comes_back_counts(handler_site: Site) -> None:
    """As a change of branch makes it."""
    site = handler_site
    site.write("package/__init__.py", "NUMBER = 1\n")
    site.write_main("from package import NUMBER")
    here = site.serve()
    os.rename(site.folder / "package", site.folder / "away")
    site.failed()
    assert here.output("NUMBER") == 1
    site.write("away/__init__.py", "NUMBER = 2\n")
    os.rename(site.folder / "away", site.folder / "package")
    site.reloaded(1)
    assert here.output("NUMBER") == 2
    site.write("package/__init__.py", "NUMBER = 3\n")
    site.reloaded(2)
    assert here.output("NUMBER") == 3


def test_a_save_during_the_first_start_counts(site: Site) -> None:
    site.write_main("open('began', 'w').close()\nwait_for('gate')\nNUMBER = 1")
    here = site.begin()
    until((site.folder / "began").exists)
    site.write_main("NUMBER = 2")
    site.server.ready()
    assert here.output("NUMBER") == 2


# Saves that come before a file is known


def test_a_save_of_an_imported_file_during_the_first_start_counts(handler_site: Site) -> None:
    site = handler_site
    site.write("helper.py", "NUMBER = 1\n")
    site.write_main("from helper import NUMBER\nopen('began', 'w').close()\nwait_for('gate')")
    here = site.begin()
    until((site.folder / "began").exists)
    site.write("helper.py", "NUMBER = 2\n")
    (site.folder / "gate").touch()
    site.server.ready()
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_save_of_a_file_that_a_running_job_has_imported_counts(handler_site: Site) -> None:
    site = handler_site
    site.write("late.py", "NUMBER = 1\n")
    site.write_main("")
    here = site.serve()
    job = here.submit("[__import__('late'), open('began', 'w').close(), wait_for('gate')]")
    until((site.folder / "began").exists)
    site.write("late.py", "NUMBER = 2\n")
    (site.folder / "gate").touch()
    here.ended(job)
    until(lambda: here.output("__import__('late').NUMBER") == 2, SOON)


def test_a_save_while_the_watch_is_extended_counts(handler_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = handler_site
    site.write("package/__init__.py", "NUMBER = 1\n")
    site.write_main("from package import NUMBER")
    begin = watchfiles.main.RustNotify
    begun: list[list[str]] = []

    def late(folders: list[str], *options: object) -> object:
        if len(folders) == 2:
            site.write("package/__init__.py", "NUMBER = 2\n")
        begun.append(folders)
        return begin(folders, *options)

    monkeypatch.setattr(watchfiles.main, "RustNotify", late)
    here = site.serve()
    until(lambda: len(begun) == 2)
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_handler_that_is_a_link_counts(handler_site: Site) -> None:
    site = handler_site
    site.write("real/helper.py", "NUMBER = 1\n")
    site.write_main("from helper import NUMBER", name="real/main.py")
    (site.folder / "links").mkdir()
    (site.folder / "links" / "handler.py").symlink_to(site.folder / "real" / "main.py")
    site.main = "links/handler.py"
    here = site.serve()
    assert here.output("NUMBER") == 1
    site.write("real/helper.py", "NUMBER = 2\n")
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_watch_that_can_not_begin_is_in_the_log(handler_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = handler_site
    site.write_main("NUMBER = 1")

    def refuse(*_: object) -> object:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles.main, "RustNotify", refuse)
    assert site.serve().output("NUMBER") == 1
    until(lambda: any("watch limit" in line for line in site.server.log), SOON)
