"""The command that begins a project: a handler with all that goes with it."""

from __future__ import annotations

from pathlib import Path

import click

from runpod_emulator.core.errors import ConfigurationError

TEMPLATES = Path(__file__).with_name("templates")
FILES = {
    "handler.py": "handler.py.txt",
    "test_input.json": "test_input.json",
    ".runpod/tests.json": "tests.json",
    "runpod-emulator.toml": "runpod-emulator.toml",
    "test_handler.py": "test_handler.py.txt",
    ".github/workflows/test.yml": "workflow.yml",
    ".vscode/launch.json": "launch.json",
}
"""What is made, and from which template."""


@click.command()
@click.argument("folder", metavar="[FOLDER]", default=".", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Begin a project in FOLDER: a handler, its tests, a configuration, a CI workflow and VS Code's launch.json.

    No file that is there already is changed.

    \b
    runpod-emulator init my-worker
    """
    made = [_make(folder, name, template) for name, template in FILES.items()]
    if not any(made):
        print("Everything was there already.")
        return
    there = "" if folder == Path() else f"cd {folder} && "
    print(f"\nTry it:\n  {there}runpod-emulator dev      # then paste the curl that it prints")
    print(f"  {there}runpod-emulator test     # the tests of RunPod's Hub, in .runpod/tests.json")
    print(f"  {there}runpod-emulator exec -- pytest   # your own, in test_handler.py")


def _make(folder: Path, name: str, template: str) -> bool:
    """Write one file, unless there is one; raises ConfigurationError."""
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write((TEMPLATES / template).read_text("utf-8"))
    except FileExistsError:
        print(f"  kept  {path}")
        return False
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    print(f"  made  {path}")
    return True
