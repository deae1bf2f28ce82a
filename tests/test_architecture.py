"""Every room knows only rooms below it, no modules import each other in a circle, and nothing grows too long."""

from __future__ import annotations

import ast
import builtins
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.tables import table

NAME = "runpod_emulator"
ROOT = Path(__file__).parents[1] / "emulator" / NAME
FILES = sorted(ROOT.rglob("*.py"))
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "core.time": {"core"},
    "core.secrets": set(),
    "core.jobs": {"core"},
    "core.fleet": {"core", "core.time"},
    "core.mocks": {"core", "core.time"},
    "core.records": {"core", "core.jobs", "core.fleet"},
    "core.endpoint": {"core", "core.time", "core.secrets", "core.jobs", "core.fleet", "core.mocks"},
    "values": {"core"},
    "stores": {"core", "core.time", "core.jobs"},
    "effects": {"core", "core.time", "core.secrets", "core.jobs", "core.fleet", "core.mocks", "core.records"},
    "sdk_app": set(),
    "config": {"core", "core.secrets", "core.mocks", "values", "sdk_app"},
    "mocking": {"core", "core.time", "core.secrets", "core.mocks", "values"},
    "workers": {
        "core", "core.time", "core.secrets", "core.jobs", "core.fleet", "core.mocks", "core.endpoint", "values",
    },
    "world": {
        "core", "core.time", "core.secrets", "core.jobs", "core.fleet", "core.mocks", "core.records", "core.endpoint",
        "stores", "effects", "workers",
    },
    "http": {
        "core", "core.time", "core.jobs", "core.fleet", "core.mocks", "core.records", "core.endpoint", "effects",
        "world",
    },
    "doors": {
        "core", "core.time", "core.secrets", "core.jobs", "core.fleet", "core.mocks", "core.records", "core.endpoint",
        "values", "config", "mocking", "world", "http",
    },
    "server": {
        "core", "core.time", "core.secrets", "core.fleet", "core.mocks", "core.records", "stores", "effects", "config",
        "mocking", "workers", "world", "http", "doors",
    },
    "cli": {
        "core", "core.time", "core.secrets", "core.jobs", "core.mocks", "values", "config", "mocking", "workers",
        "http", "server",
    },
    "plugin": {"workers"},
    "testing": {
        "core", "core.time", "core.secrets", "core.mocks", "core.records", "values", "effects", "config", "mocking",
        "workers", "world", "doors", "server",
    },
    "pytest_plugin": {"plugin", "testing"},
    "__main__": {"cli"},
    "__init__": {"core.time", "testing"},
}  # fmt: skip
"""From the bottom: what each room may know. A new arrow is written here first."""
CLOCK = ROOT / "core" / "time" / "clock.py"
RUNNER = ROOT / "workers" / "runner"
LONGEST_FILE, LONGEST_FUNCTION, MOST_PUBLIC = 400, 50, 20

each_file = table("path", FILES)


def module(path: Path) -> str:
    """The full name of a file's module."""
    parts = (NAME, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def room(name: str) -> str:
    """The room of a module: a folder of the core, the core's own files, another folder, or a file of its own."""
    parts = name.split(".")[1:]
    if not parts:
        return "__init__"
    return ".".join(parts[:2]) if parts[0] == "core" and f"core.{parts[1:2] and parts[1]}" in ROOMS else parts[0]


@functools.cache
def tree(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text())


def imports(path: Path, late: bool = True) -> Iterator[str]:
    """Every module a file imports by its full name; without `late` those it needs as it is loaded itself."""
    package = (NAME, *path.relative_to(ROOT).parts[:-1])
    for node in nodes(tree(path), late):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join((*above, *(node.module or "").split("."))).strip(".")
            for name in (f"{source}.{alias.name}" for alias in node.names):
                yield name if name in MODULES else source


def nodes(node: ast.AST, late: bool) -> Iterator[ast.AST]:
    """What is below a node; without `late` nothing that a function does."""
    for child in ast.iter_child_nodes(node):
        yield child
        if late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from nodes(child, late)


@functools.cache
def own(path: Path, late: bool = True) -> set[str]:
    """The modules of ours that a file imports; the version belongs to everybody."""
    return {name for name in imports(path, late) if name in MODULES and name not in (NAME, module(path))}


def test_every_room_has_its_place():
    assert {room(name) for name in MODULES} == set(ROOMS)


def test_every_room_knows_only_rooms_below_it():
    floors = list(ROOMS)
    for importer, known in ROOMS.items():
        assert known <= set(floors[: floors.index(importer)])


@each_file
def test_a_file_imports_only_what_its_room_may_know(path: Path):
    importer = room(module(path))
    known = {room(name) for name in own(path)} - {importer}
    if path == ROOT / "core" / "__init__.py":  # it guards the loggers before anybody logs
        known -= {"core.secrets"}
    assert known <= ROOMS[importer]


def test_every_arrow_is_used():
    drawn = {(room(name), room(other)) for name, path in MODULES.items() for other in own(path)}
    assert {(importer, known) for importer in ROOMS for known in ROOMS[importer]} <= drawn


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Circles of arrows: each name that a walk meets again, with the way there."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for other in sorted(arrows[name]):
                walk(other, [*way, name])
            done.add(name)

    for name in arrows:
        walk(name, [])
    return found


def test_no_modules_import_each_other_in_a_circle():
    assert circles({name: own(path) for name, path in MODULES.items()}) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c", "b"]]


def foreign(path: Path, home: str) -> set[str]:
    """What a file imports beside the standard library and its home package."""
    roots = sys.stdlib_module_names
    return {name for name in imports(path) if name.split(".")[0] not in roots and not f"{name}.".startswith(home)}


@table("path", sorted((ROOT / "core").rglob("*.py")))
def test_the_core_needs_the_standard_library_only(path: Path):
    assert foreign(path, f"{NAME}.core.") == set()


@table("path", sorted(RUNNER.rglob("*.py")))
def test_the_runner_needs_the_standard_library_and_itself_only(path: Path):
    of_users = {"uvicorn"} if path.name == "asgi.py" else {"runpod"}
    assert foreign(path, f"{NAME}.workers.runner.") <= of_users


@table("path", sorted((ROOT / "sdk_app").rglob("*.py")))
def test_what_an_app_runs_by_needs_the_standard_library_and_its_sdk_only(path: Path):
    assert foreign(path, f"{NAME}.sdk_app.") <= {"fastapi", "starlette.responses"}


FORBIDDEN = {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


def time_asked(path: Path) -> set[str]:
    """Every way in which a file asks for the time or sleeps."""
    names = {name for name in imports(path) if name.split(".")[0] == "time"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and node.attr in {name.rpartition(".")[2] for name in FORBIDDEN}:
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
    functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


class Class(NamedTuple):
    """A class of ours: the full names of its bases, and the methods and properties of its own that others may use."""

    bases: tuple[str, ...]
    public: tuple[str, ...]


def classes(path: Path) -> Iterator[tuple[str, Class]]:
    """Each class of a file by its full name."""
    found = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    known = {node.name: f"{module(path)}.{node.name}" for node in found}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in found:
        dotted = [ast.unparse(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
        bases = [".".join((known.get(first, first), *rest)) for first, *rest in (base.split(".") for base in dotted)]
        methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        yield known[node.name], Class(tuple(bases), tuple(dict.fromkeys(n for n in methods if not n.startswith("_"))))


@functools.cache
def every_class() -> Mapping[str, Class]:
    """All classes by their full names; found when a test asks, for each process of the tests loads this file."""
    return {name: one for path in FILES for name, one in classes(path)}


SHAPES = {
    "typing.NamedTuple", "typing.TypedDict", "enum.Enum", "pydantic.BaseModel", "pydantic_settings.BaseSettings",
    "msgspec.Struct",
}  # fmt: skip
"""Whoever inherits from these is data; its parents are parts of a form, not of a behaviour."""
ABSTRACT = {
    "core.records.news.Effect",
    "effects.before.Before",
}
"""Classes that others inherit from, of which no object is ever made, beside protocols."""
CONCRETE = {
    "cli.client.ends.Ended": "how a command ends is an error of click's",
    "core.endpoint.hooks.Hooks": "hooks that do nothing are those of work that has no faults",
    "core.time.clock.RealClock": "an automatic clock is real time, moved ahead",
    "core.time.waiting.Caller": "who calls in the program itself has no connection that tells of its leaving",
    "effects.kept.Sent": "what aiohttp's tracing tells of a request is the same for all",
    "http.bounded.BoundedProtocol": "uvicorn's protocol can be changed by inheritance alone",
    "http.raw_headers.RawRequest": "aiohttp makes its requests itself, from a class that it is given",
    "http.routing.ExactRoute": "Starlette's router asks its routes for what they match",
    "http.upgrades.UpgradesProtocol": "uvicorn's protocol can be changed by inheritance alone",
    "testing.verbs.Verbs": "an emulator is its first world, and what starts and stops; so is each namespace, without",
}
"""Other classes that one inherits from, and why."""
TALL = {
    "http.connection.BreakableProtocol": "upgrades, bounds and breaking are three files about one class of uvicorn",
}
"""Classes more than one floor above a base, and why."""


def roots(name: str) -> set[str]:
    """Where the parents of a class end: classes that are not ours."""
    return {root for base in every_class()[name].bases for root in (roots(base) if base in every_class() else {base})}


def is_plain(name: str) -> bool:
    """Whether a class is neither data, nor an error, nor a protocol."""
    errors = {root for root in roots(name) if isinstance(getattr(builtins, root, None), type)}
    return not (errors or roots(name) & SHAPES or "typing.Protocol" in every_class()[name].bases)


def parents(name: str) -> list[str]:
    """The classes of ours that a class inherits from directly, but for protocols."""
    return [base for base in every_class()[name].bases if base in every_class() and is_plain(base)]


def test_no_class_has_too_many_public_methods():
    crowded = {name: len(one.public) for name, one in every_class().items() if len(one.public) > MOST_PUBLIC}
    assert crowded == {}


def test_only_known_classes_are_inherited_from():
    inherited = {base.removeprefix(f"{NAME}.") for name in every_class() if is_plain(name) for base in parents(name)}
    assert inherited == ABSTRACT | set(CONCRETE)


def test_no_object_is_made_of_an_abstract_class():
    names = {name.rpartition(".")[2] for name in ABSTRACT}
    calls = (node for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    assert {ast.unparse(call.func) for call in calls} & names == set()


def test_nothing_is_more_than_one_floor_above_its_base():
    tall = {name for name in every_class() if is_plain(name) for base in parents(name) if parents(base)}
    assert {name.removeprefix(f"{NAME}.") for name in tall} == set(TALL)


@each_file
def test_every_file_says_what_it_owns(path: Path):
    assert ast.get_docstring(tree(path))


@each_file
def test_a_module_is_named_after_what_it_owns(path: Path):
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}
