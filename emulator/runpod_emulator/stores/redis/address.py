"""Where a store is: the URL of `--store`, and what its keys begin with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from runpod_emulator.core.errors import ConfigurationError

SCHEMES = ("redis", "rediss", "valkey", "valkeys")
PREFIX = "runpod-emulator"
"""What keys begin with, if the URL does not say."""
_OWN = ("prefix", "cluster")
"""Parameters of the URL that are ours."""
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_WORDS = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("true", "false", "1", "0")}
_LIBRARY = (*_FILES, *_WORDS, "ssl_password", "username", "password", "client_name")
"""Parameters that are the library's."""
_DATABASE = re.compile(r"/?|/[0-9]{1,4}")


class Address(NamedTuple):
    """A server; its URL may hold a password, so it is never shown."""

    url: str
    prefix: str
    cluster: bool

    def __repr__(self) -> str:
        return f"Address({self.shown!r}, {self.prefix!r})"

    @property
    def redis_url(self) -> str:
        """The URL as the library knows its scheme."""
        return self.url.replace("valkey", "redis", 1) if self.url.startswith("valkey") else self.url

    @property
    def shown(self) -> str:
        """The URL as people may see it: scheme, host, port and database."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def base(self, namespace: str, endpoint: str) -> str:
        """What the keys of an endpoint begin with; what is in braces decides their place in a cluster."""
        return f"{self.world(namespace)}:{{{endpoint}}}"

    def world(self, namespace: str) -> str:
        """What the keys of a world begin with; no prefix has a slash, so no two worlds have the same."""
        return f"{self.prefix}/{namespace}" if namespace else self.prefix


_NO_URL = "--store: not a URL: write redis://host:6379/0"


def _check(given: Mapping[str, str]) -> None:
    """Refuse parameters that nobody knows; raises ConfigurationError."""
    for name, value in given.items():
        if name not in (*_OWN, *_LIBRARY):
            known = ", ".join((*_OWN, *_LIBRARY))
            raise ConfigurationError(f"--store: there is no parameter {name[:40]!r} of the URL: there are {known}")
        if name in _WORDS and value.lower() not in _WORDS[name]:
            raise ConfigurationError(f"--store: {name}: write {' or '.join(_WORDS[name])}")


def read_address(text: str) -> Address:
    """The address of a `--store`; raises ConfigurationError, which does not repeat what may be a password."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it raises for a port that is none
    except ValueError:
        raise ConfigurationError(_NO_URL) from None
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"--store: write {'://, '.join(SCHEMES)}://, as redis://127.0.0.1:6379/0")
    if not parts.hostname:
        raise ConfigurationError(_NO_URL)
    if not _DATABASE.fullmatch(parts.path):
        raise ConfigurationError("--store: a database is a number, as in redis://host:6379/0; names go in ?prefix=NAME")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    _check(given)
    prefix = given.get("prefix", PREFIX)
    if not prefix or any(letter in "{}/" or letter.isspace() for letter in prefix):
        raise ConfigurationError("--store: prefix must not be empty, nor hold spaces, slashes or braces")
    others = urlencode([(name, value) for name, value in given.items() if name not in _OWN])
    url = parts._replace(query=others).geturl()
    return Address(url, prefix, given.get("cluster", "").lower() in ("1", "true", "yes"))


def check_files(address: Address) -> None:
    """Raise ConfigurationError for a file of the URL that is not there: the library does not name it."""
    for name, value in parse_qsl(urlsplit(address.url).query):
        if name in _FILES and not os.path.isfile(value):
            raise ConfigurationError(f"--store: {name}: there is no file {value}")
