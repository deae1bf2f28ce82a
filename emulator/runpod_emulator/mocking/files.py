"""Stub files: what is in them becomes stubs, and what is wrong in them is told with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pydantic import Field, ValidationError

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.stubs import Stub as CoreStub
from runpod_emulator.mocking.documents import Document, Key
from runpod_emulator.mocking.forms import TAGS, Written
from runpod_emulator.mocking.models import Stub
from runpod_emulator.mocking.words import reason_of

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class RawFault:
    """One item of `faults`, as it was written."""

    content: dict[str, Any]
    document: Document
    keys: tuple[Key, ...]
    """Where it is in the document."""

    def place(self, *keys: Key) -> str:
        """Where it, or a part of it, was written, as `faults.yaml:12`."""
        return self.document.place(*self.keys, *keys)


@dataclass
class StubFile:
    """What one or several files hold, in their order."""

    stubs: list[CoreStub] = field(default_factory=list)
    faults: list[RawFault] = field(default_factory=list)


class _Content(Written):
    """One file."""

    expected: ClassVar[str] = "the file as a mapping with stubs, such as {stubs: [...]}"

    stubs: list[Stub] | None = Field(default=None)
    faults: list[dict[str, Any]] | None = Field(default=None)


def read_stub_files(paths: Sequence[Path]) -> StubFile:
    """The stubs and faults of files, and of all stub files that lie in folders.

    Raises ConfigurationError, which names file, line and key.
    """
    files = dict.fromkeys(file.absolute() for path in paths for file in _files(path))
    contents = [(document, _content(document)) for document in map(Document, files)]
    found = StubFile()
    taken, numbers = _ids(contents), count(1)
    for document, content in contents:
        for place, stub in enumerate(content.stubs or []):
            line = document.place("stubs", place)
            core = stub.to_core(line, document.data["stubs"][place], taken=taken, numbers=numbers)
            taken.setdefault(core.id, line)
            found.stubs.append(core)
        raw = enumerate(content.faults or [])
        found.faults += [RawFault(fault, document, ("faults", place)) for place, fault in raw]
    return found


def refuse(document: Document, error: ValidationError, keys: Sequence[Key] = ()) -> NoReturn:
    """Raise ConfigurationError for the first thing that is wrong in the part of a document that `keys` lead to."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    location = [*keys, *(key for key in first["loc"] if key not in TAGS)]
    reason = reason_of(first)
    if first["type"] == "refused":
        location, reason = [*location, *context["keys"]], context["reason"]
    elif first["type"] == "missing":
        reason = f"{location[-1]} is missing"
    document.refuse(location, reason)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if path.suffix not in SUFFIXES:
            raise ConfigurationError(f"{path}: the name of a stub file ends in .yaml, .yml or .json")
        yield path
        return
    files = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and not one.name.startswith("."))
    if not files:
        raise ConfigurationError(f"{path}: there is no *.yaml, *.yml or *.json in this folder")
    yield from files


def _content(document: Document) -> _Content:
    if document.data is None:
        return _Content()
    try:
        content = _Content.model_validate(document.data)
    except ValidationError as error:
        refuse(document, error)
    if not content.model_fields_set:
        document.refuse((), "there is neither stubs nor faults in this file")
    return content


def _ids(contents: list[tuple[Document, _Content]]) -> dict[str, str]:
    """The ids that users gave, and where; raises ConfigurationError for one that was given twice."""
    places: dict[str, str] = {}
    for document, content in contents:
        for place, stub in enumerate(content.stubs or []):
            if stub.id in places:
                document.refuse(("stubs", place, "id"), f"{stub.id} is the id of {places[stub.id]} too")
            if stub.id is not None:
                places[stub.id] = document.place("stubs", place)
    return places
