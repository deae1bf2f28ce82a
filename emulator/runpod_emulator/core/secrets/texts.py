"""Texts without what looks like a secret: URLs, errors, lines of the log, bodies that are no JSON.

Every search takes time that is linear in the text: names are bounded, and what belongs to a value is passed once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from runpod_emulator.core.secrets.names import HINTS, Member, looks_made, member_of, names_secret

HIDDEN = "****"
_SHOWN = 4
_LONG = 12
"""Characters that a secret has at least of which the last four are shown."""

_USERINFO = re.compile(r"(?<=://)([^\s/?#]{0,2048})@")
_ODD_USERINFO = re.compile(r"(?<=://)([^\s/?#:@\"'<>]{0,64}:(?![0-9]{0,5}(?:[/?#\"',\s]|\Z))[^\s@\"'<>]{1,256})@")
"""With a `/`, `?` or `#` in the password, so that it is no URL."""
_STRINGS = re.compile(r"[\"'][,:]\s?\\*[\"']")
"""What is between two strings of JSON."""
_ONE_URL = re.compile(r"[a-zA-Z][\w+.-]{0,30}://\S*")
_ASSIGNED = re.compile(
    r"(?:(?<![\w.%\]\\-])|(?<=\\[nrt]))([\w.%\[\]-]{1,128}=)"
    r"(\"[^\"]*\"?|'[^']*'?|(?:[^\s&,;\"'<>#\\]|\\(?![nr]))+)"
)
_LINE = re.compile(
    r"(?:(?<![\w.\\-])|(?<=\\[nrt]))([\w.-]{1,64}(?:[ \t]{0,4}:[ \t]{1,4}|[ \t]{1,4}=[ \t]{1,4})"
    r"(?:(?:bearer|basic|token)[ \t]{1,4})?)"
    r"(?:\"([^\"\r\n]{1,512})\"?|'([^'\r\n]{1,512})'?|((?:[^\s,;\"'<>()\[\]{}\\]|\\(?![nr])){6,}))"
    r"([ \t]{0,64}(?:[\r\n]|\\[nr]|\Z))?",
    re.IGNORECASE,
)
_PROSE = frozenset(
    ("expected", "missing", "required", "invalid", "unknown", "string", "hidden", "bearer", "basic", "token", "secret",
     "password", "optional", "integer", "disabled", "enabled", "authorization")
)  # fmt: skip
_QUOTED = re.compile(
    r"(?<![\w.\-\[\]%])((?:[\w.\-\[\]%]|\\u[0-9a-fA-F]{4}){1,64})\\{0,16}[\"']\s{0,16}([:=,])\s{0,16}\[?\s{0,16}"
    r"b?(\\{0,16})([\"'])"
)
_VALUE = re.compile(r"(?:value|content)\\{0,16}[\"']\s{0,16}:\s{0,16}b?\\{0,16}[\"']", re.IGNORECASE)
"""`"name": "HF_TOKEN", "value": "…"`, from `value` on."""
_NAMED = re.compile(r"\\{0,16}[\"']\s{0,16}:")
_MARK = {quote: re.compile(rf"(\\*){quote}") for quote in "\"'"}
_PART = re.compile(
    r"name=\"([^\"\r\n]{1,64})\"[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,200}\r?\n){0,4}\r?\n(?=[^\r\n])", re.IGNORECASE
)
_PART_END = re.compile(r"\r?\n--")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----")
_PEM_END = re.compile(r"-----END")
_HEADER = re.compile(
    r"((?:authorization|x-api-key|cookie|security-token)\s*:\s*(?:(?:bearer|basic|token)\s+)?)"
    r"(?!(?:bearer|basic|token|expected|missing)\b)([^\s,;\"'<>\\]{6,})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b((?:bearer|basic)\s+)([^\s,;\"'<>\\)]{6,})", re.IGNORECASE)
_SHAPED = re.compile(
    r"(?<![\w-])(?:rpa_[A-Za-z0-9]{12,}|sk-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)"
)
_PREFIXES = ("rpa_", "sk-", "hf_", "gh", "glpat-", "xox", "AKIA", "eyJ")
_FLAG = re.compile(r"(--[\w-]{1,64} +)(?!--)(\"[^\"]*\"?|'[^']*'?|\S+)")
_USER_FLAG = re.compile(r"(?<!\S)((?:-u|--user|-U|--proxy-user)[ =]{0,4}[\"']?[^\s:\"']{1,64}:)([^\s\"']+)")
_PLACEHOLDERS = ("KEY", "TOKEN", "SECRET", "VALUE")
"""What our own texts call the value of an option."""


def masked(secret: str) -> str:
    """`****abcd`; what is masked already stays so."""
    if secret.startswith(HIDDEN) and len(secret) <= len(HIDDEN) + _SHOWN:
        return secret
    return HIDDEN + (secret[-_SHOWN:] if len(secret) >= _LONG else "")


def masked_text(text: str) -> str:
    """The text without what looks like a secret. Each search is made only where a part of it is there."""
    if "@" in text and "://" in text:
        is_url = _ONE_URL.fullmatch(text) is not None
        text = _USERINFO.sub(lambda found: _user_alone(found, is_url), text)
        text = _ODD_USERINFO.sub(lambda found: _user_alone(found, is_url), text)
    if "curl" in text or "--user" in text:
        text = _USER_FLAG.sub(lambda found: found[1] + masked(found[2]), text)
    low = text.lower()
    if any(hint in low for hint in HINTS):
        text = _named_secrets(text)
    if "bearer" in low or "basic" in low:
        text = _BEARER.sub(_credentials, text)
    if any(prefix in text for prefix in _PREFIXES):
        text = _SHAPED.sub(lambda found: masked(found[0]), text)
    return text


def masked_member(name: str, text: str) -> str:
    """What is shown of a text that is the member of this name."""
    kind = member_of(name)
    is_secret = kind in (Member.SURE, Member.TEXT) or (kind is Member.DOUBTFUL and looks_made(text))
    return masked(text) if is_secret else text


def _named_secrets(text: str) -> str:
    if "PRIVATE KEY" in text:
        text = _values(text, _PEM, lambda _: _PEM_END, lambda _, value: HIDDEN)
    if "=" in text:
        text = _ASSIGNED.sub(_if_secret, text)
    if "--" in text:
        text = _FLAG.sub(_if_secret, text)
    if "name=" in text:
        text = _values(text, _PART, lambda _: _PART_END, _masked_part)
    if '"' in text or "'" in text:
        text = _quoted(text)
    if ": " in text or " = " in text or ":\t" in text:
        text = _LINE.sub(_if_secret_line, text)
    return _HEADER.sub(lambda found: found[1] + masked(found[2]), text)


def _values(
    text: str,
    head: re.Pattern[str],
    end: Callable[[re.Match[str]], re.Pattern[str]],
    shown: Callable[[re.Match[str], str], str],
) -> str:
    """The text with what is `shown` of all that is between a `head` and an `end`, or the end of the text."""
    pieces, at = [], 0
    while found := head.search(text, at):
        last = end(found).search(text, found.end())
        to = last.start() if last else len(text)
        pieces += [text[at : found.end()], shown(found, text[found.end() : to])]
        at = to
    return "".join((*pieces, text[at:]))


def _masked_part(found: re.Match[str], value: str) -> str:
    return masked(value) if names_secret(found[1]) else value


def _quoted(text: str) -> str:
    """A text with secrets masked in quoted strings behind quoted names, as JSON within JSON or Python writes them."""
    pieces, at, searched = [], 0, 0
    while found := _QUOTED.search(text, searched):
        name, comma, backslashes, quote = found.groups()
        searched = found.start(3)  # the string may be a name itself
        is_secret = names_secret(name) if comma == "," else member_of(name) is not Member.NONE
        if not is_secret:
            continue
        begin = found.end()
        searched = _end_of_string(text, begin, len(backslashes), quote)
        if comma == "," and (value := _VALUE.match(text, begin)):
            begin, searched = value.end(), _end_of_string(text, value.end(), len(backslashes), quote)
        elif comma == "," and (
            member_of(name) is Member.NONE or text.startswith("--", begin) or _NAMED.match(text, searched)
        ):
            searched = found.start(3)
            continue
        shown = text[begin:searched]
        pieces += [text[at:begin], masked(shown) if begin > found.end() else masked_member(name, shown)]
        at = searched
    return "".join((*pieces, text[at:]))


def _end_of_string(text: str, begin: int, backslashes: int, quote: str) -> int:
    """Where a string ends whose quotation marks have so many backslashes; one with more belongs to the string."""
    for mark in _MARK[quote].finditer(text, begin):
        count = len(mark[1])
        if count <= backslashes or (not backslashes and count % 2 == 0):
            return mark.start() if backslashes else mark.end() - 1
    return len(text)


def _user_alone(found: re.Match[str], is_url: bool) -> str:
    if not is_url and _STRINGS.search(found[1]):
        return found[0]  # the @ is of another string
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


def _if_secret_line(found: re.Match[str]) -> str:
    """`name: value` and `name = value`, which prose and code write too: words of a language stay."""
    name = re.split(r"[ \t:=]", found[1], maxsplit=1)[0]
    kind = member_of(name)
    if kind is Member.NONE and not ("-" in name and names_secret(name)):
        return found[0]
    value = found[2] or found[3] or found[4]
    is_alone = found[4] is not None and found[5] is not None and len(value) >= 8 and kind is not Member.DOUBTFUL
    is_quoted = found[4] is None and kind is Member.SURE
    if value.lower() in _PROSE or value in _PLACEHOLDERS or not (is_alone or is_quoted or looks_made(value)):
        return found[0]
    begin = found.start(2 if found[2] else 3 if found[3] else 4) - found.start()
    return found[0][:begin] + masked(value) + found[0][begin + len(value) :]
