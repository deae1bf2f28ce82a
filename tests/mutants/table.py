"""Every protection, how it is taken out, and the tests that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One protection that is taken out: in `file`, `old` becomes `new`; one of `tests` must fail then."""

    name: str
    file: str
    old: str
    """Stands there exactly once."""
    new: str
    tests: tuple[str, ...]
    """As pytest takes them."""

    def applied_to(self, source: str) -> str:
        """The file's text without the protection; raises ValueError where it is not found exactly once."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}: found {source.count(self.old)} times in {self.file}: {self.old!r}")
        return source.replace(self.old, self.new)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "any-key-is-a-client",
        "emulator/api/guards.py",
        "raise InvalidKey",
        "return",
        ("tests/api/test_guards_access.py::test_a_wrong_key_is_refused_on_every_route",),
    ),
    Mutant(
        "any-machine-is-this-one",
        "emulator/api/admin/app.py",
        "raise RemoteAdmin",
        "return",
        ("tests/api/admin/test_admin_api.py",),
    ),
)
