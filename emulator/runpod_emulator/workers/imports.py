"""What is done with a module as soon as there is one: at once where it is loaded, else when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Then = Callable[[ModuleType], None]


class OnImport(MetaPathFinder):
    """Calls `then[name]` with each module of these names, from `start` to `stop`; imports nothing itself."""

    def __init__(self, then: Mapping[str, Then]) -> None:
        self._then = then

    def start(self) -> None:
        """Begin, with those modules that are loaded."""
        sys.meta_path.insert(0, self)
        for name, then in self._then.items():
            if (module := sys.modules.get(name)) is not None:
                then(module)

    def stop(self) -> None:
        """Leave imports alone again."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders after this one return; its loader calls `then` when it is done."""
        if fullname not in self._then or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if (spec := finder.find_spec(fullname, path, target)) is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Telling(spec.loader, self._then[fullname])
                return spec
        return None


class _Telling(Loader):
    """A loader in front of another, until the module runs: that finds its own loader, as ever."""

    def __init__(self, genuine: Loader, then: Then) -> None:
        self._genuine = genuine
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._genuine.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._genuine
        if module.__spec__ is not None:
            module.__spec__.loader = self._genuine
        self._genuine.exec_module(module)
        self._then(module)
