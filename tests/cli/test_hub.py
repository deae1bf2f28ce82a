"""test: which handler is meant, and how a report is written."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from click.testing import CliRunner
from runpod_emulator.cli import main as cli
from runpod_emulator.cli.hub import Verdict, _handler_of, _strict_problem
from runpod_emulator.cli.junit import write_report
from runpod_emulator.config.hub_tests import NOTHING, HubTest
from runpod_emulator.core.errors import ConfigurationError

from tests.tables import table


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"handler.py": "", "src/handler.py": ""}, "handler.py"),
        ({"src/rp_handler.py": "", "main.py": ""}, "src/rp_handler.py"),
        ({"handler.py": "", "worker/start.py": "", "Dockerfile": 'CMD ["python", "-u", "/worker/start.py"]'},
         "worker/start.py"),
        ({"handler.py": "", "src/go.py": "", "Dockerfile": "# CMD x.py\nCMD python3 -u /app/go.py\n"}, "src/go.py"),
        ({"handler.py": "", "Dockerfile": 'CMD ["/start.sh"]'}, "handler.py"),
    ],
)  # fmt: skip
def test_the_handler_of_a_repository(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _handler_of(tmp_path) == str(tmp_path / expected)


def test_without_a_handler_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no handler in .*: name it with --handler"):
        _handler_of(tmp_path)


@table(
    "test, ended, problem",
    [
        (HubTest("t", {}), {"status": "COMPLETED"}, ""),
        (HubTest("t", {}, expected=None), {"status": "COMPLETED"}, ""),
        (HubTest("t", {}, expected={"b": 1, "a": 2}), {"status": "COMPLETED", "output": {"a": 2, "b": 1}}, ""),
        (HubTest("t", {}, expected=[1]), {"status": "COMPLETED", "output": [2]}, "its output is [2], not [1]"),
        (HubTest("t", {}), {"status": "FAILED", "error": "no"}, "it is FAILED, not COMPLETED: no"),
        (HubTest("t", {}, 30_000, NOTHING, "FAILED"), {"status": "FAILED", "error": "no"}, ""),
        (HubTest("t", {}, 1500), {"status": "CANCELLED"}, "it had not ended in 1.5 s"),
        (HubTest("t", {}), {"status": "TIMED_OUT"}, "it is TIMED_OUT, not COMPLETED: no error was told"),
    ],
)
def test_what_passes_strictly(test: HubTest, ended: dict[str, object], problem: str) -> None:
    assert _strict_problem(test, ended) == problem


def test_a_report_holds_what_others_have_written_as_text(tmp_path: Path) -> None:
    cases = [Verdict("a", "", 5), Verdict('<b> & "c" \x00\x1b[31m\ufffe', "no: \x07<SECRET>", 1500)]
    write_report(tmp_path / "r.xml", "tests.json", cases, lambda text: text.replace("SECRET", "****"))
    (suite,) = xml.parse(tmp_path / "r.xml").getroot()
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "time")} == {
        "name": "tests.json", "tests": "2", "failures": "1", "time": "1.505",
    }  # fmt: skip
    first, second = suite
    assert (first.get("name"), len(first)) == ("a", 0)
    assert second.get("name") == '<b> & "c" \\x00\\x1b[31m?'
    assert second[0].get("message") == second[0].text == "no: \\x07<****>"
    with pytest.raises(ConfigurationError, match=r"--junit .*: "):
        write_report(tmp_path / "no" / "r.xml", "", cases, str)


def test_a_pattern_that_fits_nothing_names_the_tests_and_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "tests.json").write_text('{"tests": [{"name": "small", "input": {}}, {"input": {}}]}')
    result = CliRunner().invoke(cli.cli, ["test", str(tmp_path / "tests.json"), "-k", "large"])
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith("no test is called like 'large': small, Test 2")
