"""What names of headers, variables, parameters and members of JSON say of their values: one list for all of them.

Headers, variables and parameters of a query hold texts alone and are few, so a word anywhere in their names is enough
(`names_secret`). Members of JSON are what people debug: there the last word has to say it, and words that mean other
things as well (`token` is what a language model writes) hide only what looks like a secret (`Member`).
"""

from __future__ import annotations

import enum
import functools
import re
from urllib.parse import unquote

_WORDS = (
    r"(?:authorization|passw(?:or)?d|passphrase|passcode|secret|credentials?|cookie|access[-_]?id|access[-_]?key[-_]?id|"
    r"(?:api|access|secret|private|worker|admin|signing|encryption|account|auth)[-_]?keys?|"
    r"(?:ssh|deploy|licen[cs]e|gpg|pgp|master|hmac|aes|decryption|webhook|service[-_]?account|storage)[-_]?key|"
    r"(?:access|auth|bearer|refresh|session|security|id|hf|api|bot|user|github|client|csrf|oauth|jwt)[-_]?token)"
)
_ENDS = re.compile(rf"{_WORDS}$", re.IGNORECASE)
"""How names of secrets end, however their words are joined."""
_PARTS = frozenset(
    ("auth", "authorization", "cookie", "cookies", "credential", "credentials", "key", "pass", "passwd", "password",
     "pwd", "secret", "secrets", "sig", "signature", "token")
)  # fmt: skip
_LAST = frozenset(("jwt", "pat", "passcode", "otp", "totp", "session", "sid", "csrf", "xsrf", "apikeys", "passwords"))
_HARMLESS = frozenset(("idempotency-key", "x-idempotency-key", "sec-websocket-key"))
_MEASURES = frozenset(
    ("count", "counts", "limit", "type", "length", "len", "size", "ttl", "timeout", "mode", "algorithm", "budget",
     "usage")
)  # fmt: skip
"""Last words that tell of a number or a kind, whatever they are said of."""

_SURE = frozenset(
    ("authorization", "cookie", "cookies", "credential", "credentials", "passwd", "password", "passwords", "pwd",
     "passphrase", "passcode", "secret", "secrets", "apikeys")
)  # fmt: skip
_TEXTS = frozenset(("auth", "pass", "jwt", "pat", "otp", "totp", "csrf", "xsrf", "token", "signature", "sig"))
_DOUBTFUL = frozenset(("token", "signature", "sig", "session", "sid", "session-id", "csrf", "xsrf", "pat"))
"""Whole names that more often name something else."""
_FORMS = frozenset(
    ("hash", "string", "binary", "value", "text", "pem", "plain", "plaintext", "raw", "base64", "b64", "confirm",
     "confirmation", "repeat", "again")
)  # fmt: skip
"""Words behind the name of a secret that leave it one."""
_OF_MODELS = frozenset(
    ("eos", "bos", "pad", "unk", "cls", "sep", "mask", "stop", "start", "special", "next", "page", "continuation",
     "first", "last", "per", "new", "output", "input", "prompt", "completion", "image", "audio", "video", "trigger",
     "placeholder", "max", "min", "end", "begin", "text", "previous", "current", "decoder", "forced", "added")
)  # fmt: skip
"""Words before `token` that make it one of a language model, or of a page of a list."""
_EDGES = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_LONG_ENOUGH = 6
HINTS = (
    "auth", "key", "token", "secret", "pass", "pwd", "cookie", "cred", "sig", "accessid", "access_id", "access-id",
    "jwt", "session", "otp", "sid", "csrf", "xsrf", "s3config", "s3_config", "%", "\\u", "_pat", "-pat", "pat=", "pat:",
    "pat'", 'pat"', "pat ",
)  # fmt: skip
"""One of them is in every text with a name of a secret, in small letters."""


class Member(enum.Enum):
    """What a member's name says of its value."""

    SURE = "every text and number is a secret, also below it"
    TEXT = "a text is a secret"
    DOUBTFUL = "a text that looks like a secret is one"
    NONE = "nothing"


@functools.lru_cache(maxsize=2_000)
def names_secret(name: str) -> bool:
    """Whether a header, a variable, an option or a parameter of a query that is called so holds a secret."""
    words = _words(name)
    joined = "-".join(words)
    if joined in _HARMLESS or (words and words[-1] in _MEASURES):
        return False
    words = _without_forms(words)
    is_named = not _PARTS.isdisjoint(words) or (bool(words) and words[-1] in _LAST) or words[-2:] == ["session", "id"]
    return is_named or _ENDS.search("-".join(words)) is not None


@functools.lru_cache(maxsize=2_000)
def member_of(name: str) -> Member:
    """What the name of a member of a JSON object says of its value."""
    words = _without_forms(_words(name))
    if not words:
        return Member.NONE
    joined = "-".join(words)
    if joined in _DOUBTFUL or words[-2:] == ["session", "id"]:
        return Member.DOUBTFUL
    if words[-1] in _SURE or joined in ("s3-config", "s3config") or _ENDS.search(joined):
        return Member.SURE
    if words[-1] == "token" and words[-2] in _OF_MODELS:
        return Member.NONE
    return Member.TEXT if words[-1] in _TEXTS else Member.NONE


def looks_made(text: str) -> bool:
    """Whether a text is no word of a language: it has no blank, and digits, or capitals within, or is very long."""
    if len(text) < _LONG_ENOUGH or " " in text.strip() or not text.isprintable():
        return False
    has_digit = any(map(str.isdigit, text))
    return has_digit or len(text) >= 20 or (len(text) >= 12 and text[1:] != text[1:].lower())


def _plain(name: str) -> str:
    """The name without the ways in which a query, a form or JSON write its characters."""
    if "%" in name:
        name = unquote(name)
    if "\\" in name:
        name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
    return name.rstrip("[]")


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", _EDGES.sub("-", _plain(name)).lower()) if word]


def _without_forms(words: list[str]) -> list[str]:
    """The words but for those at the end that tell of a form; a number at the end of one does not count either."""
    while len(words) > 1 and (words[-1] in _FORMS or words[-1].isdecimal()):
        words = words[:-1]
    bare = words[-1].rstrip("0123456789") if words else ""
    return [*words[:-1], bare] if bare and bare in _SURE else words
