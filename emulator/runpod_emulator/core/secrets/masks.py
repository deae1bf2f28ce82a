"""What is shown of secrets: of a long one the last four characters, of a short one nothing.

Masked is what people are shown (journal, histories, errors, log, `config`), never what is kept, compared or handed on.
Secrets are known by the names they have, by the forms that keys of well-known services have, and by their values
where they are the server's own.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from runpod_emulator.core.secrets.names import Member, looks_made, member_of, names_secret
from runpod_emulator.core.secrets.texts import HIDDEN, masked, masked_member, masked_text

__all__ = ("HIDDEN", "Masks", "by_path", "header", "masked", "masked_variable", "member", "names_secret")

_PLAIN_WORD = 8
"""Characters of a key of the server that is searched for in texts: a shorter one may be any word."""
_LONGEST = 66 * 1024
"""Characters of a text that is looked through for everything, a whole line of the log; in a longer one only own keys
are found."""
_SHORT, _REMEMBERED = 80, 4_000
"""Characters of texts that come again and again, as names and paths, and how many of those are remembered."""
_OPEN_IN_S3 = frozenset(("bucketname", "objectpath", "endpointurl", "region"))
_SCHEMES = frozenset(("bearer", "basic", "digest", "token", "apikey", "negotiate", "hmac", "aws4-hmac-sha256"))
_OF_HEADERS = ("headers", "env", "envs", "environment", "environ")
"""How names of members end that hold headers or variables."""
_NAMES, _VALUES = ("name", "key", "header", "variable"), ("value", "values", "content", "val")
"""Members of an object that is one header or variable, in small letters."""
_FEW, _LONGEST_NAME = 12, len("variable")
"""Members that such an object has at most, and characters of their names."""


def header(name: str, value: str) -> str:
    """What is shown of a header's value."""
    if name.lower() == "sec-websocket-protocol":
        return re.sub(r"[^\s,.]{12,}", lambda found: masked(found[0]) if _is_key(found[0]) else found[0], value)
    if not names_secret(name):
        return value
    if "cookie" in name.lower():
        return HIDDEN
    scheme, _, rest = value.strip().partition(" ")
    if not rest or scheme.lower() not in _SCHEMES:
        return masked(value)
    rest = rest.strip()
    return f"{scheme} {masked(rest) if ' ' not in rest and scheme.lower() != 'basic' else HIDDEN}"


def _is_key(protocol: str) -> bool:
    """Whether a part of the name of a protocol is rather a key: browsers have no other place for one."""
    words = protocol.replace("-", "")
    return looks_made(protocol) and not (words.isalpha() and words.islower())


def masked_variable(name: str, value: str) -> str:
    """What is shown of a variable's value."""
    return masked(value) if names_secret(name) else value


def member(name: str, value: Any) -> Any:
    """What is shown of a member of a JSON object; texts and numbers alone can be secrets."""
    if isinstance(value, str):
        return masked_member(name, value)
    return masked(str(value)) if member_of(name) is Member.SURE and _may_be_secret(value) else value


def by_path(path: str, value: Any) -> Any:
    """What is shown of a text or a number by the names that lead to it alone, with dots between them."""
    if not _names_secret_by_path(path):
        return value
    _, last, is_secret = _end_of(path)
    return _bare(last, value, is_secret)


def _bare(name: str, value: Any, is_secret: bool) -> Any:
    """What is shown of a text or a number by its name, or because where it is makes it a secret."""
    if is_secret:
        return masked(str(value)) if _may_be_secret(value) else value
    return member(name, value) if name else value


@functools.lru_cache(maxsize=2_000)
def _names_secret_by_path(path: str) -> bool:
    _, last, is_secret = _end_of(path)
    return is_secret or member_of(last) is not Member.NONE


def _covers(name: str) -> bool:
    """Whether a member of this name makes secrets of all that is below it."""
    return member_of(name) is Member.SURE or name.lower() == "auth"


def _may_be_secret(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


class Masks:
    """Masks what is shown; `known` are secrets by their values, as the server's own keys."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)
        forms = {form for key in self._known if len(key) >= _PLAIN_WORD for form in _forms(key)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if forms else None
        self._known_text = functools.lru_cache(_REMEMBERED)(self._masked)

    def and_known(self, *secrets: str) -> Masks:
        """Masks that know these secrets too."""
        return Masks((*self._known, *secrets))

    def text(self, text: str) -> str:
        """What is shown of a text: a URL, an error, a line of the log, a body that is no JSON."""
        return self._known_text(text) if len(text) <= _SHORT else self._masked(text)

    def _masked(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(lambda found: masked(found[0]), text)
        return text if len(text) > _LONGEST else masked_text(text)

    def header(self, name: str, value: str) -> str:
        """What is shown of a header's value."""
        return self.text(header(name, value))

    def headers(self, given: Iterable[tuple[str, str]]) -> dict[str, str]:
        """What is shown of headers, by what is shown of their names."""
        return {self.text(name): self.header(name, value) for name, value in given}

    def value(self, parsed: Any, path: str = "") -> Any:
        """What is shown of a JSON value, which is changed in place; `path` leads to it: names with dots between."""
        above, last, is_secret = _end_of(path)
        if not isinstance(parsed, dict | list):
            return self._scalar(last, parsed, is_secret)
        root = {last: parsed}
        waiting: list[tuple[Any, str]] = [(root, above)]
        while waiting:
            holder, kind = waiting.pop()
            names = _names_in(holder, kind)
            for place, found in holder.items() if isinstance(holder, dict) else enumerate(holder):
                kind_here = _kind(place, kind) if isinstance(place, str) else kind
                if isinstance(found, dict | list):
                    waiting.append((found, kind_here))
                else:
                    name = names.get(place) or (place if isinstance(place, str) else "")
                    holder[place] = self._scalar(name, found, _is_secret(name, kind, kind_here))
            if isinstance(holder, dict) and holder is not root:
                self._mask_names(holder)
        return root[last]

    def _scalar(self, name: str, value: Any, is_secret: bool) -> Any:
        shown = _bare(name, value, is_secret)
        return self.text(shown) if isinstance(shown, str) and len(shown) >= _PLAIN_WORD and not is_secret else shown

    def _mask_names(self, holder: dict[str, Any]) -> None:
        """Mask names that are secrets themselves, in their places; equal ones are counted."""
        shown = {name: text for name in holder if len(name) >= _PLAIN_WORD and (text := self.text(name)) != name}
        if not shown:
            return
        members = list(holder.items())
        holder.clear()
        for name, value in members:
            new, number = shown.get(name, name), 2
            while new in holder:
                new, number = f"{shown.get(name, name)} ({number})", number + 1
            holder[new] = value


_SECRET, _S3, _HEADERS = "secret", "s3", "headers"
_ALL_SECRET = (_SECRET, _S3)
"""Kinds of which every text and number is a secret."""


@functools.lru_cache(maxsize=2_000)
def _kind(name: str, above: str) -> str:
    """What a member of this name is, in an object that is of the kind `above`."""
    low = name.lower()
    if above == _SECRET:
        return _SECRET
    if above == _S3:
        return "" if low in _OPEN_IN_S3 else _SECRET
    if low.replace("_", "") == "s3config":
        return _S3
    if _covers(name):
        return _SECRET
    return _HEADERS if low.endswith(_OF_HEADERS) else ""


@functools.lru_cache(maxsize=2_000)
def _end_of(path: str) -> tuple[str, str, bool]:
    """The kind of what holds the end of a path, the last name on it, and whether a text there is a secret."""
    *above, last = [part for part in path.split(".") if not part.isdecimal()] or [""]
    kind = functools.reduce(lambda kind, part: _kind(part, kind), above, "")
    return kind, last, _is_secret(last, kind, _kind(last, kind))


def _is_secret(name: str, kind: str, kind_here: str) -> bool:
    """Whether a text of this name is one, in an object of a `kind`, with what the name makes of that."""
    return kind_here in _ALL_SECRET or (kind == _HEADERS and names_secret(name))


def _names_in(holder: Any, kind: str) -> dict[Any, str]:
    """What names the values of a list or an object that is one header, variable or pair, by their places."""
    if isinstance(holder, list):
        is_pair = kind == _HEADERS or len(holder) == 2
        return {at + 1: name for at, name in enumerate(holder[:-1]) if isinstance(name, str)} if is_pair else {}
    if len(holder) > _FEW or len(holder) < 2:
        return {}
    places = {place.lower(): place for place in holder if len(place) <= _LONGEST_NAME}
    named = next((holder[places[name]] for name in _NAMES if name in places), "")
    return {places[value]: named for value in _VALUES if value in places} if isinstance(named, str) else {}


def _forms(secret: str) -> set[str]:
    """How a secret is written: by itself, in a URL, in JSON, and as Latin-1 text of a header."""
    as_header = secret.encode("utf-8", "replace").decode("latin-1")
    return {secret, quote(secret, safe="", errors="replace"), json.dumps(secret)[1:-1], as_header}
