"""Finding the handler: what a SPEC means, and how its file or module is run.

A SPEC is `path/file.py` (run as `__main__`), `path/file.py:function` or `package.module:function`.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import linecache
import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import decode_source, module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

from .output import say


class HandlerError(Exception):
    """The handler cannot be served; the text says it all, no traceback is needed."""


def split(spec: str) -> tuple[str, str]:
    """The file or module of a SPEC, and the function in it, empty for a file that calls `start` itself."""
    if os.path.isfile(spec):
        return spec, ""
    place, _, name = spec.rpartition(":")
    if place and all(part.isidentifier() for part in name.split(".")):
        return place, name
    return spec, ""


def run_file(path: str, arguments: list[str]) -> ModuleType:
    """Run a file as `python path` does; returns when it ends, with what it defined."""
    source = _absolute(path)
    _warn_of_its_name(path)
    loader = SourceFileLoader("__main__", source)
    text = loader.get_data(source)
    _keep_for_tracebacks(source, text)
    code = compile(text, source, "exec", dont_inherit=True)
    module = ModuleType("__main__")
    vars(module).update(__file__=source, __loader__=loader, __spec__=None, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    sys.path.insert(0, os.path.dirname(os.path.realpath(source)))
    sys.argv = [path, *arguments]
    exec(code, vars(module))  # the user's file: what this is for  # nosec B102
    return module


def load_function(place: str, name: str, arguments: list[str]) -> Any:
    """The attribute `name` of a file or module, which is imported."""
    sys.argv = [place, *arguments]
    if place.endswith(".py") or os.sep in place:
        module = _import_file(place)
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(place)
        _keep_source_of(module)
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        raise HandlerError(f"{place} has no {name}.") from None


def _import_file(path: str) -> ModuleType:
    source = _absolute(path)
    _warn_of_its_name(path)
    stem = os.path.splitext(os.path.basename(source))[0]
    if stem in sys.modules and stem != "__main__":
        raise HandlerError(f"{path} has the name of a module that is loaded already ({stem}): rename the file.")
    sys.path.insert(0, os.path.dirname(os.path.realpath(source)))
    loader = SourceFileLoader(stem, source)
    _keep_for_tracebacks(source, loader.get_data(source))
    spec = spec_from_loader(stem, loader)
    assert spec is not None and spec.loader is not None
    module = sys.modules[stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _keep_source_of(module: ModuleType) -> None:
    source = getattr(module, "__file__", None) or ""
    if source.endswith(".py"):
        with contextlib.suppress(OSError), open(source, "rb") as file:
            _keep_for_tracebacks(source, file.read())


def _keep_for_tracebacks(path: str, source: bytes) -> None:
    """Let tracebacks quote the lines that run, also when the file is another one by then, as under `dev`."""
    with contextlib.suppress(SyntaxError, UnicodeDecodeError):  # whoever compiles it says so
        text = decode_source(source)
        linecache.cache[path] = len(source), None, text.splitlines(keepends=True), path


def _absolute(path: str) -> str:
    if not os.path.isfile(path):
        raise HandlerError(f"There is no handler file {path} in {os.getcwd()}.")
    return os.path.abspath(path)


def _warn_of_its_name(path: str) -> None:
    """The folder of a file comes first on `sys.path`: it takes the place of a standard module of its name."""
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem in getattr(sys, "stdlib_module_names", ()):  # since Python 3.10
        say(f"{path} has the name of the standard module {stem}, which no import finds any more: rename the file.")
