"""init: what it makes, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner
from runpod_emulator.cli import main as cli
from runpod_emulator.cli.starter import FILES
from runpod_emulator.config.examples import example_input, without_comments
from runpod_emulator.config.file import read_file
from runpod_emulator.config.hub_tests import read_tests


def init(folder: Path) -> str:
    result = CliRunner().invoke(cli.cli, ["init", str(folder)])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_file_is_what_it_claims_to_be(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "worker"
    assert init(folder).count("  made  ") == len(FILES)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FILES)
    assert example_input("handler.py", str(folder)) == {"name": "World"}
    assert [test.name for test in read_tests(folder / ".runpod" / "tests.json").tests] == ["says_hello"]
    assert list(read_file(folder / "runpod-emulator.toml").tables.endpoints) == ["hello"]
    assert yaml.safe_load((folder / ".github/workflows/test.yml").read_text())["jobs"]
    launch = json.loads(without_comments((folder / ".vscode/launch.json").read_text()))
    assert launch["configurations"][0]["connect"]["port"] == 5678


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("mine")
    (tmp_path / "test_input.json").symlink_to(tmp_path / "elsewhere")
    said = init(tmp_path)
    assert said.count("  kept  ") == 2
    assert (tmp_path / "handler.py").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert "Everything was there already." in init(tmp_path)


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cli.cli, ["init", str(tmp_path / "file")])
    assert str(result.exception).endswith("file: it is no folder")
    assert getattr(result.exception, "exit_code", 0) == 2
