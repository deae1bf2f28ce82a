"""The light `runpod` that handlers import, and its exchange for the installed package.

It knows what the runner provides of `runpod.serverless`: `start`, `progress_update`, `register_fitness_check` and,
from SDK 2.0 on, `register_prestart_hook`. The first use of any other name loads the installed package whole (that
takes seconds), puts these functions into it, and gives it the places in `sys.modules`.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

from .capture import paused

_SERVERLESS = "runpod.serverless"
_WORTH_LOADING = ("__all__", "__version__")


class StandIn(ModuleType):
    """A module that hands on whatever it does not know to the installed one."""

    def __init__(self, name: str, package: RunpodPackage) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__package__ = name
        vars(self)["__path__"] = []
        super().__setattr__("_stub_package", package)

    def __getattr__(self, name: str) -> Any:
        # Those who walk through all modules ask for `__file__` and the like: no reason to load anything.
        if name == "__file__" and (file := self._stub_package.file_of(self.__name__)):
            return file
        if name.startswith("__") and name not in _WORTH_LOADING:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._stub_package.load(f"{self.__name__}.{name}")[self.__name__], name)

    def __setattr__(self, name: str, value: Any) -> None:
        package = self.__dict__.get("_stub_package")
        if package is not None and package.loaded and not name.startswith("__"):
            setattr(package.loaded[self.__name__], name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        real = self._stub_package.loaded.get(self.__name__)
        return [*vars(self)] if real is None else dir(real)


class RunpodPackage:
    """What `runpod` is in this process: the stand-ins first, the installed modules once they are needed."""

    def __init__(self, ours: dict[str, Callable[..., Any]]) -> None:
        """`ours` are the functions of `runpod.serverless` that the runner provides, by name."""
        self.loaded: dict[str, ModuleType] = {}
        self._ours = ours
        self._loading = threading.RLock()
        self._root_file: str | None = None
        serverless = StandIn(_SERVERLESS, self)
        vars(serverless).update(self._ours)
        root = StandIn("runpod", self)
        root.serverless = serverless
        self._stubs = (root, serverless)

    def install(self) -> None:
        """Stand in the way of every import of `runpod`."""
        sys.modules.update({module.__name__: module for module in self._stubs})
        sys.meta_path.insert(0, self)

    def file_of(self, name: str) -> str:
        """Where the installed module comes from, which is found without loading it; empty when there is none."""
        if self._root_file is None:
            spec = PathFinder.find_spec("runpod")
            self._root_file = (spec and spec.origin) or ""
        if not self._root_file or name == "runpod":
            return self._root_file
        folder, file = os.path.split(self._root_file)
        return os.path.join(folder, *name.split(".")[1:], file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Load the installed package when a submodule of it is imported."""
        if not fullname.startswith("runpod."):
            return None
        self.load(fullname)
        module = sys.modules.get(fullname)
        if module is None:
            parent = sys.modules[fullname.rpartition(".")[0]]
            return PathFinder.find_spec(fullname, parent.__path__)
        # The import system now loads the module from its spec, but that has just been done.
        module.__spec__ = Loaded(module).spec
        return module.__spec__

    def load(self, wanted: str) -> dict[str, ModuleType]:
        """The installed modules by name; `wanted` is what the handler's code asked for."""
        with self._loading:
            if not self.loaded:
                self._withdraw()
                try:
                    with paused():  # elsewhere it is loaded before any job
                        real = {module.__name__: importlib.import_module(module.__name__) for module in self._stubs}
                except BaseException as error:
                    self.install()
                    if isinstance(error, ModuleNotFoundError) and error.name == "runpod":
                        raise _missing(wanted) from None
                    raise
                self._adopt(real)
        return self.loaded

    def _withdraw(self) -> None:
        sys.meta_path.remove(self)
        for module in self._stubs:
            sys.modules.pop(module.__name__, None)

    def _adopt(self, real: dict[str, ModuleType]) -> None:
        """Bring our functions, and what the handler's code had set on the stand-ins, into the installed modules."""
        known = vars(real[_SERVERLESS])
        theirs = {id(known[name]): ours for name, ours in self._ours.items() if name in known}
        for name, module in tuple(sys.modules.items()):
            if name.partition(".")[0] == "runpod":
                for key, value in tuple(vars(module).items()):
                    if id(value) in theirs:
                        setattr(module, key, theirs[id(value)])
        self.loaded = real
        for stub in self._stubs:
            for key in [key for key in vars(stub) if not key.startswith(("__", "_stub"))]:
                value = vars(stub).pop(key)
                if value is not self._stubs[1]:
                    setattr(real[stub.__name__], key, value)


class Loaded:
    """The loader of a module that is loaded already; not an importlib.abc.Loader, whose import takes 12 ms."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._true_spec = module.__spec__
        self.spec = ModuleSpec(module.__name__, cast(Any, self), is_package=hasattr(module, "__path__"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module as it is."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do but to give it its own spec back."""
        module.__spec__ = self._true_spec


def _missing(wanted: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"The handler uses {wanted}, and the runpod package is not installed for {sys.executable}."
        f" Install it: {sys.executable} -m pip install runpod",
        name="runpod",
    )
