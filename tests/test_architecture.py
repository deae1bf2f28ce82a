"""Imports point down, time is asked in one place, and nothing grows too long."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "emulator"
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = [
    {"core"},
    {"values"},
    {"config", "effects", "mocking", "workers", "stores"},
    {"emulator", "endpoints", "worlds"},
    {"api"},
    {"app", "port", "port_file", "server", "tls"},
    {
        "__main__", "cli", "flags", "garbage", "listing", "log", "orphans", "outlet", "probe", "pytest_ask",
        "pytest_guard", "pytest_imports", "pytest_plugin", "pytest_redirect", "pytest_wire", "testing",
    },
]  # fmt: skip
"""From the bottom; parts of one layer do not see each other, but for those in TOGETHER."""
TOGETHER = [
    {"app", "port", "port_file", "server", "tls"},
    {"emulator", "endpoints", "worlds"},
    {
        "pytest_ask",
        "pytest_guard",
        "pytest_imports",
        "pytest_plugin",
        "pytest_redirect",
        "pytest_wire",
        "testing",
    },
    {"__main__", "cli", "flags", "garbage", "listing", "log", "orphans", "outlet", "probe"},
]
CONFIG_READERS = {"app", "server", "__main__", "cli", "flags", "listing", "pytest_plugin", "testing"}
ADMIN = ROOT / "api" / "admin"
"""Takes endpoints in the form of the configuration file, so it alone of the doors may read that."""
CLOCK = ROOT / "core" / "clock.py"
RUNNER = ROOT / "workers" / "runner"
LONGEST_FILE, LONGEST_FUNCTION = 400, 50

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def part(path: Path) -> str:
    """The part of the house that a file belongs to; the package itself is "emulator"'s __init__."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(rank for rank, names in enumerate(LAYERS) if name in names)


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it, by its full name."""
    package = ("emulator", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *(node.module or "").split(".")))
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "emulator" else (module,)


def parts_imported(path: Path) -> set[str]:
    """The parts of the emulator that a file imports; its version belongs to everybody."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("emulator.")}
    return names - {"__version__", "__init__"}


def may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if imported == "config":
        return importer in CONFIG_READERS
    if any({importer, imported} <= friends for friends in TOGETHER):
        return True
    return layer(imported) < layer(importer)


@each_file
def test_imports_point_down(path: Path):
    importer = part(path)
    if importer == "__init__":
        assert parts_imported(path) == set()
        return
    assert importer in set().union(*LAYERS), f"give {importer} a layer"
    given = {"config"} if ADMIN in path.parents else set()
    assert {imported for imported in parts_imported(path) - given if not may_import(importer, imported)} == set()


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("api", "emulator", True),
        ("emulator", "api", False),
        ("core", "config", False),
        ("effects", "stores", False),
        ("workers", "effects", False),
        ("api", "config", False),
        ("emulator", "config", False),
        ("server", "config", True),
        ("api", "app", False),
        ("config", "core", True),
        ("cli", "server", True),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool):
    assert may_import(importer, imported) is allowed


def foreign(path: Path, home: str) -> set[str]:
    """What a file imports beside the standard library and its home package."""
    roots = sys.stdlib_module_names
    return {name for name in imports(path) if name.split(".")[0] not in roots and not f"{name}.".startswith(home)}


@pytest.mark.parametrize("path", [path for path in FILES if part(path) == "core"], ids=lambda path: path.name)
def test_the_core_needs_the_standard_library_only(path: Path):
    assert foreign(path, "emulator.core.") == set()


@pytest.mark.parametrize("path", sorted(RUNNER.rglob("*.py")), ids=lambda path: path.name)
def test_the_runner_needs_the_standard_library_and_itself_only(path: Path):
    of_users = {"uvicorn"} if path.name == "asgi.py" else {"runpod"}
    assert foreign(path, "emulator.workers.runner.") <= of_users


FORBIDDEN = {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


def time_asked(path: Path) -> set[str]:
    """Every way in which a file asks for the time or sleeps."""
    tree = ast.parse(path.read_text())
    names = {name for name in imports(path) if name.split(".")[0] == "time"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            names |= {name for name in FORBIDDEN if dotted == name or dotted.endswith(f".{name}")}
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            names |= {"asyncio.sleep" for alias in node.names if alias.name == "sleep"}
    return names


@each_file
def test_only_the_clock_asks_for_the_time_and_nobody_sleeps(path: Path):
    if path == CLOCK:
        assert time_asked(path) <= {"time", "asyncio.sleep"}
    elif RUNNER not in path.parents:
        assert time_asked(path) == set()


@each_file
def test_no_file_is_too_long(path: Path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@each_file
def test_no_function_is_too_long(path: Path):
    functions = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@each_file
def test_every_file_says_what_it_owns(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@each_file
def test_a_module_is_named_after_what_it_owns(path: Path):
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}
