"""Whose key opens what."""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass, field

from runpod_emulator.core.errors import InvalidKey, NoToken


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call. Without `keys` any key is accepted; without `required` none is asked for."""

    required: bool = True
    keys: frozenset[str] = field(default=frozenset(), repr=False)
    _bytes: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bytes", tuple(form for key in self.keys for form in _forms(key)))

    def check(self, authorization: str | None) -> None:
        """Accept `Bearer KEY` or the bare key; raises NoToken, InvalidKey."""
        if not self.required:
            return
        key = bare_key(authorization or "")
        if not key:
            raise NoToken
        if self.keys and not self._is_one(key):
            raise InvalidKey

    def _is_one(self, key: str) -> bool:
        """Whether it is one of the keys; how long the answer takes does not tell how much of it is right."""
        given, found = _forms(key)[-1], False
        for one in self._bytes:
            found |= hmac.compare_digest(given, one)
        return found


def _forms(key: str) -> list[bytes]:
    """The bytes that clients send for a key: all write ASCII alike, anything else in UTF-8 or, if it can be, Latin-1.

    What came in a header was read as Latin-1, so the last of them is how it came.
    """
    forms = [key.encode("utf-8", "surrogateescape")]
    if not key.isascii():
        with contextlib.suppress(UnicodeEncodeError):
            forms.append(key.encode("latin-1"))
    return forms


def bare_key(authorization: str) -> str:
    """The key in `Bearer KEY` or `KEY`."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()
