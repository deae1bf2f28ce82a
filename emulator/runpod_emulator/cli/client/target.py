"""Which server a command means: what its options say, else the environment, else the emulator that runs here.

Only an emulator is ever asked what is below `/__emulator`. RunPod's own hosts never are, and any other server must
first have said, without having seen a key, that it is one.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import NamedTuple
from urllib.parse import urlsplit

from runpod_emulator.cli.client.ends import WrongUse
from runpod_emulator.http.names import is_local
from runpod_emulator.server.running_file import Running, here, running

_USUAL_PORT = 8000
_ANY_KEY = "runpod-emulator"
"""What is sent where nobody named a key: an emulator takes any, unless it was told which."""
_OF_RUNPOD = ("runpod.ai", "runpod.io", "runpod.net")


class Target(NamedTuple):
    """A server, and who asks it."""

    base_url: str
    """With the path that endpoints are below, as `http://127.0.0.1:8000/v2`."""
    api_key: str = _ANY_KEY
    admin_key: str = ""
    namespace: str = ""
    ca_file: str | None = None
    is_known: bool = False
    """Whether an emulator on this machine has written that it is there."""
    words: str = ""
    """The options that name this server again, for commands that users are told to type."""

    @property
    def root(self) -> str:
        """The server without the API's prefix."""
        return self.base_url.removesuffix("/v2")

    @property
    def is_runpod(self) -> bool:
        """Whether it is RunPod itself."""
        host = (urlsplit(self.base_url).hostname or "").rstrip(".")
        return any(host == name or host.endswith(f".{name}") for name in _OF_RUNPOD)

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return is_local("/".join(self.base_url.split("/")[:3]))


class Options(NamedTuple):
    """What a command was told about the server."""

    port: int | None = None
    url: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    admin_key: str | None = None
    ca_file: str | None = None


def find(options: Options) -> Target:
    """The server that is meant; raises WrongUse where that cannot be known."""
    if options.port is not None and options.url is not None:
        raise WrongUse("--port and --url both say which server is meant: write one of them")
    url, words, is_known = _url(options)
    namespace = options.namespace or ""
    if namespace:
        words += f" --namespace {shlex.quote(namespace)}"
    target = Target(
        _base_url(url),
        _key(options.api_key or os.environ.get("RUNPOD_API_KEY") or _ANY_KEY, "--api-key"),
        _key(options.admin_key or _admin_key(), "--admin-key"),
        _key(namespace, "--namespace"),
        options.ca_file,
        is_known,
        words,
    )
    if target.is_runpod and namespace:
        raise WrongUse(f"--namespace: only an emulator has namespaces, and {target.base_url} is RunPod")
    return target


def _url(options: Options) -> tuple[str, str, bool]:
    """A URL, the words that name it again, and whether an emulator has said that it is there."""
    if options.url is not None:
        return options.url, f" --url {shlex.quote(options.url)}", False
    if options.port is not None:
        return f"http://127.0.0.1:{options.port}", f" --port {options.port}", False
    of_environment = os.environ.get("RUNPOD_ENDPOINT_BASE_URL", "").strip()
    if of_environment:
        return of_environment, "", False
    servers = running()
    if not servers:
        return f"http://127.0.0.1:{_USUAL_PORT}", "", False
    return _only(servers).base_url, "", True


def _only(servers: list[Running]) -> Running:
    """The one that runs, or of several the one that was started in this directory."""
    if len(servers) == 1:
        return servers[0]
    directory = here()
    of_here = [one for one in servers if one.directory and one.directory == directory]
    if len(of_here) == 1:
        return of_here[0]
    told = ", ".join(f"--port {one.port}" + (f" (of {one.directory})" if one.directory else "") for one in servers)
    raise WrongUse(f"{len(servers)} emulators run here, none of them alone in this directory: say which, {told}")


def _base_url(url: str) -> str:
    """The URL with the API's prefix; raises WrongUse."""
    url = url.strip()
    none = WrongUse(f"{url!r} is no URL of a server: write it as http://127.0.0.1:{_USUAL_PORT}/v2")
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise none from error
    if not is_whole or not url.isascii() or not url.isprintable() or " " in url:
        raise none
    if parts.username is not None or parts.query or parts.fragment:
        raise WrongUse("the URL of a server holds no user, no ? and no #: the key is that of RUNPOD_API_KEY")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}" + ("" if path.endswith("/v2") else "/v2")


def _admin_key() -> str:
    """The key of the admin API in the environment: a text, or a list of them, as a server takes it."""
    text = os.environ.get("RUNPOD_EMULATOR_ADMIN_KEY", "").strip()
    if not text.startswith("["):
        return text
    try:
        return str(next(iter(json.loads(text)), ""))
    except ValueError:
        return text


def _key(text: str, name: str) -> str:
    """A text for a header; raises WrongUse, which does not repeat it."""
    text = text.strip()
    if not text.isprintable():
        raise WrongUse(f"{name}: there are characters in it that cannot be sent")
    return text
