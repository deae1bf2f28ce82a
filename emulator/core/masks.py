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

HIDDEN = "****"
_SHOWN = 4
_LONG = 12
"""Characters that a secret has at least of which the last four are shown."""
_PLAIN_WORD = 8
"""Characters of a key of the server that is searched for in texts: a shorter one may be any word."""
_LONGEST = 64 * 1024
"""Characters of a text that is looked through for everything; in a longer one only own keys are found."""

_WORDS = (
    r"(?:authorization|passw(?:or)?d|passphrase|secret|credentials?|cookie|accessid|access[-_]?key[-_]?id|"
    r"(?:api|access|secret|private|worker|admin|signing|encryption|account|auth)[-_]?key|"
    r"(?:access|auth|bearer|refresh|session|security|id|hf|api|bot|user|github|client|csrf|oauth|jwt)[-_]?token)"
)
"""How names of secrets end."""
_MEMBER = re.compile(rf"{_WORDS}$", re.IGNORECASE)
_PARTS = frozenset(
    ("auth", "authorization", "cookie", "credential", "credentials", "key", "pass", "passwd", "password", "pwd",
     "secret", "sig", "signature", "token")
)  # fmt: skip
"""What names of headers, variables and parameters of a query are made of, where a secret is named."""
_HARMLESS = frozenset(("idempotency-key", "x-idempotency-key", "sec-websocket-key"))
_OPEN_IN_S3 = frozenset(("bucketname", "objectpath", "endpointurl", "region"))
_SCHEMES = frozenset(("bearer", "basic", "digest", "token", "apikey", "negotiate", "hmac", "aws4-hmac-sha256"))

_USERINFO = re.compile(r"(?<=://)([^\s/?#\"'<>\\]*)@")
_ASSIGNED = re.compile(r"(?<![\w.%-])([\w.%-]{1,64}=)(\"[^\"]*\"?|'[^']*'?|[^\s&,;\"'<>#]+)")
_QUOTED = re.compile(rf"({_WORDS}\\*[\"']\s*[:=,]\s*\[?\s*(\\*[\"']))(.*?)(?=\2|\Z)", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(
    r"((?:authorization|x-api-key|cookie|security-token)\s*:\s*(?:(?:bearer|basic|token)\s+)?)"
    r"(?!(?:bearer|basic|token|expected|missing)\b)([^\s,;\"'<>\\]{6,})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b((?:bearer|basic)\s+)([^\s,;\"'<>\\)]{6,})", re.IGNORECASE)
_SHAPED = re.compile(
    r"(?<![\w-])(?:rpa_[A-Za-z0-9]{12,}|sk-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
)
_PREFIXES = ("rpa_", "sk-", "hf_", "gh", "xox", "AKIA", "eyJ")
_HINTS = ("auth", "key", "token", "secret", "pass", "pwd", "cookie", "cred", "sig", "accessid")
"""One of them is in every name of a secret, in small letters."""
_FLAG = re.compile(r"(--[\w-]{1,64} +)(\"[^\"]*\"?|'[^']*'?|\S+)")
_PLACEHOLDERS = ("KEY", "TOKEN", "SECRET", "VALUE")
"""What our own texts call the value of an option."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def masked(secret: str) -> str:
    """`****abcd`; what is masked already stays so."""
    if secret.startswith(HIDDEN) and len(secret) <= len(HIDDEN) + _SHOWN:
        return secret
    return HIDDEN + (secret[-_SHOWN:] if len(secret) >= _LONG else "")


@functools.lru_cache(maxsize=1_000)
def names_secret(name: str) -> bool:
    """Whether a header, a variable, an option or a parameter of a query that is called so holds a secret."""
    low = name.lower()
    if low in _HARMLESS:
        return False
    parts = re.split(r"[^a-z0-9]+", _CAPITAL.sub("-", name).lower())
    return not _PARTS.isdisjoint(parts) or _MEMBER.search(low) is not None


def header(name: str, value: str) -> str:
    """What is shown of a header's value."""
    if not names_secret(name):
        return value
    if "cookie" in name.lower():
        return HIDDEN
    scheme, _, rest = value.strip().partition(" ")
    if not rest or scheme.lower() not in _SCHEMES:
        return masked(value)
    rest = rest.strip()
    return f"{scheme} {masked(rest) if ' ' not in rest and scheme.lower() != 'basic' else HIDDEN}"


def masked_variable(name: str, value: str) -> str:
    """What is shown of a variable's value."""
    return masked(value) if names_secret(name) else value


def member(name: str, value: Any) -> Any:
    """What is shown of a member of a JSON object; texts and numbers alone can be secrets."""
    return masked(str(value)) if _is_secret_member(name) and _may_be_secret(value) else value


@functools.lru_cache(maxsize=1_000)
def _is_secret_member(name: str) -> bool:
    return _MEMBER.search(name) is not None


def _may_be_secret(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


class Masks:
    """Masks what is shown; `known` are secrets by their values, as the server's own keys."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)
        forms = {form for key in self._known if len(key) >= _PLAIN_WORD for form in _forms(key)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def and_known(self, *secrets: str) -> Masks:
        """The same with more secrets."""
        return Masks((*self._known, *secrets))

    def text(self, text: str) -> str:
        """What is shown of a text: a URL, an error, a line of the log, a body that is no JSON."""
        if self._values is not None:
            text = self._values.sub(lambda found: masked(found[0]), text)
        return text if len(text) > _LONGEST else _masked_text(text)

    def header(self, name: str, value: str) -> str:
        """What is shown of a header's value."""
        return self.text(header(name, value))

    def value(self, parsed: Any) -> Any:
        """What is shown of a JSON value, which is changed in place."""
        root = [parsed]
        waiting: list[tuple[Any, str]] = [(root, "")]
        while waiting:
            holder, kind = waiting.pop()
            for place, found in holder.items() if isinstance(holder, dict) else enumerate(holder):
                kind_here = _kind(place, kind) if isinstance(place, str) else kind
                if isinstance(found, dict | list):
                    waiting.append((found, kind_here))
                elif kind_here == _SECRET and _may_be_secret(found):
                    holder[place] = masked(str(found))
                elif isinstance(found, str) and len(found) >= _PLAIN_WORD:
                    holder[place] = self.text(found)
        return root[0]


_SECRET, _S3, _HEADERS = "secret", "s3", "headers"


def _kind(name: str, above: str) -> str:
    """What a member of this name is, in an object that is of the kind `above`."""
    low = name.lower()
    if above == _SECRET or _is_secret_member(name):
        return _SECRET
    if above == _S3:
        return "" if low in _OPEN_IN_S3 else _SECRET
    if above == _HEADERS and names_secret(name):
        return _SECRET
    return {"s3config": _S3, "headers": _HEADERS}.get(low, "")


def _forms(secret: str) -> set[str]:
    """How a secret is written: by itself, in a URL, in JSON, and as Latin-1 text of a header."""
    as_header = secret.encode("utf-8", "replace").decode("latin-1")
    return {secret, quote(secret, safe="", errors="replace"), json.dumps(secret)[1:-1], as_header}


def _masked_text(text: str) -> str:
    """The text without what looks like a secret. Each search is made only where a part of it is there."""
    if "@" in text and "://" in text:
        text = _USERINFO.sub(_user_alone, text)
    low = text.lower()
    if any(hint in low for hint in _HINTS):
        text = _named_secrets(text)
    if "bearer" in low or "basic" in low:
        text = _BEARER.sub(_credentials, text)
    if any(prefix in text for prefix in _PREFIXES):
        text = _SHAPED.sub(lambda found: masked(found[0]), text)
    return text


def _named_secrets(text: str) -> str:
    if "=" in text:
        text = _ASSIGNED.sub(_if_secret, text)
    if "--" in text:
        text = _FLAG.sub(_if_secret, text)
    if '"' in text or "'" in text:
        text = _QUOTED.sub(lambda found: found[1] + masked(found[3]), text)
    return _HEADER.sub(lambda found: found[1] + masked(found[2]), text)


def _user_alone(found: re.Match[str]) -> str:
    user, colon, password = found[1].partition(":")
    return f"{user}:{masked(password)}@" if colon else f"{masked(user)}@"


def _credentials(found: re.Match[str]) -> str:
    return found[1] + (HIDDEN if found[1].lower().startswith("basic") else masked(found[2]))


def _if_secret(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    if not names_secret(name.strip("= -")) or value.rstrip(",.;:)'") in _PLACEHOLDERS:
        return found[0]
    quote_mark = value[0] if value[0] in "\"'" else ""
    return f"{name}{quote_mark}{masked(value.strip(quote_mark or None))}{quote_mark}"
