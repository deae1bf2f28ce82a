"""One request of the client: what is sent where, and what an answer that is none means.

A redirect is never followed: it would hand the key to another server.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

import click

from runpod_emulator.cli.client.ends import NoServer, Refused, WrongUse
from runpod_emulator.cli.client.target import Target
from runpod_emulator.cli.probe import opener, trusting

_ANSWER = 30.0
_AFTER_HOLD, _AFTER_HOLD_HERE = 3.0, 1.0
"""Seconds for an answer, and for one whose hold is over, from elsewhere or this machine. An open stream of events tells
every 15 s that it is there."""
_LONGEST = 256 * 1024 * 1024
"""Bytes of an answer."""
_LONGEST_LINE = 16 * 1024 * 1024
_NAMED, _LONGEST_NAME = 8, 100
"""Endpoints that are named where one was not found; characters of its name that are looked at."""
_SHOWN = 2_000
"""Characters of an answer that is no JSON."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Follow none; it is shown as the answer that it is."""


class Event(NamedTuple):
    """One of the events that an emulator sends: its kind, and its data."""

    kind: str
    data: Any


class Calls:
    """What is asked of one server. Every method raises NoServer, and Refused for an error of the server's."""

    def __init__(self, target: Target) -> None:
        self.target = target
        context = trusting(target.ca_file) if target.base_url.startswith("https:") else None
        self._opener = opener(target.base_url, context, _NoRedirects())
        self._is_emulator = target.is_known

    def client(self, method: str, path: str, body: Any = None, held: float = 0.0) -> bytes:
        """The answer of the queue API below its base URL, as bytes, which may be `held` for seconds."""
        try:
            with self._open(method, f"{self.target.base_url}/{path}", self.target.api_key, body, held) as answer:
                return self._read(answer)
        except Refused as error:
            if error.status == 404 and error.detail == "endpoint not found":
                raise error.noted(self._nearest(unquote(path.partition("/")[0]))) from error
            raise

    def admin(self, method: str, path: str, body: Any = None, query: Mapping[str, object] | None = None) -> Any:
        """The answer of the emulator's own API, None where it says nothing; raises WrongUse where there is none."""
        self._need_emulator()
        with self._open_admin(method, path, query, body) as answer:
            text = self._read(answer)
        return _parsed(text, self.target.root) if text.strip() else None

    def events(self, query: Mapping[str, object]) -> Iterator[Event]:
        """What happens from now on, until the server stops. They are there from the moment this is called."""
        self._need_emulator()
        return self._read_events(self._open_admin("GET", "events", query, None))

    @property
    def is_emulator(self) -> bool:
        """Whether it is one, which is asked once and without a key."""
        if not self._is_emulator and not self.target.is_runpod:
            try:
                with self._open("GET", f"{self.target.root}/__emulator/health", "", None) as answer:
                    told = _parsed(self._read(answer), self.target.root)
                self._is_emulator = isinstance(told, dict) and told.get("status") == "ok" and "version" in told
            except Refused:
                return False
        return self._is_emulator

    def _nearest(self, endpoint: str) -> str:
        """Which endpoint may be meant by one that an emulator does not know; "" where none is asked."""
        try:
            names = [str(one["id"]) for one in self.admin("GET", "endpoints")] if self.is_emulator else []
        except click.ClickException:
            return ""
        near = get_close_matches(endpoint[:_LONGEST_NAME], names, n=1)
        if near:
            return f": did you mean {near[0]}?"
        more = ", …" if len(names) > _NAMED else ""
        return f": there are {', '.join(names[:_NAMED])}{more}" if names else ""

    def _need_emulator(self) -> None:
        if self.target.is_runpod:
            raise WrongUse(f"only an emulator can be asked that, and {self.target.base_url} is RunPod itself")
        if not self.is_emulator:
            raise NoServer(f"only an emulator can be asked that, and there is none at {self.target.root}")

    def _open_admin(
        self, method: str, path: str, query: Mapping[str, object] | None, body: Any
    ) -> http.client.HTTPResponse:
        given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        url = f"{self.target.root}/__emulator/{path}" + (f"?{urlencode(given)}" if given else "")
        try:
            return self._open(method, url, self.target.admin_key or self.target.api_key, body)
        except Refused as error:
            if error.status != 401:
                raise
            hint = "it asks for its --admin-key, here or in RUNPOD_EMULATOR_ADMIN_KEY"
            raise Refused(401, f"{error.detail}: {hint}", url.partition("?")[0]) from error

    def _open(self, method: str, url: str, key: str, body: Any, held: float = 0.0) -> http.client.HTTPResponse:
        headers = {"User-Agent": "runpod-emulator"}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if key:
            headers["Authorization"] = f"Bearer {_header(key)}"
        if self.target.namespace:
            headers["X-Emulator-Namespace"] = _header(self.target.namespace)
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if method == "POST" and data is None:
            data = b""
        asked = urllib.request.Request(url, data, headers, method=method)
        try:
            answer: http.client.HTTPResponse = self._opener.open(asked, timeout=self._patience(held))
            return answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, url) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _patience(self, held: float) -> float:
        """Seconds to wait for an answer that may be held for so many."""
        if not held:
            return _ANSWER
        return held + (_AFTER_HOLD_HERE if self.target.is_here else _AFTER_HOLD)

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            text = answer.read(_LONGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if len(text) > _LONGEST:
            raise NoServer(f"{self.target.root} answered with more than {_LONGEST} bytes")
        return text

    def _read_events(self, answer: http.client.HTTPResponse) -> Iterator[Event]:
        kind, data = "", ""
        with answer:
            while True:
                try:
                    line = answer.readline(_LONGEST_LINE)
                except (OSError, http.client.HTTPException) as error:
                    raise self._unreachable(error) from error
                if not line:
                    return
                name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data += value
                elif not name and not value and data:
                    yield Event(kind, _parsed(data.encode(), self.target.root))
                    kind, data = "", ""

    def _unreachable(self, error: Exception) -> NoServer:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        where = self.target.root
        if isinstance(reason, TimeoutError) or isinstance(error, TimeoutError):
            return NoServer(f"{where} did not answer in time", silent=True)
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            return NoServer(f"{where} shows a certificate that is not trusted: --ca-file FILE says by what it is")
        if not self.target.is_here:
            return NoServer(f"{where} does not answer ({_plain(reason)})")
        return NoServer(
            f"no server at {where} ({_plain(reason)}). Start one with `runpod-emulator dev handler.py`, or say with "
            "--port or --url where it is"
        )


def quoted(part: str) -> str:
    """A part of a path."""
    return quote(part, safe="")


def _header(text: str) -> str:
    """A text as the bytes of UTF-8 that a header carries."""
    return text.encode().decode("latin-1")


def _plain(reason: object) -> str:
    """A reason without the number that Python writes before it."""
    return str(getattr(reason, "strerror", None) or reason)


def _refused(error: urllib.error.HTTPError, url: str) -> Refused:
    """What the service says is wrong, in whichever of its forms."""
    try:
        text = error.read(_SHOWN * 4)
    except (OSError, http.client.HTTPException):
        text = b""
    where = url.partition("?")[0]
    fault = error.headers.get("X-Emulator-Fault")
    note = f" (by the fault {fault})" if fault else ""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return Refused(error.code, " ".join(text.decode("utf-8", "replace").split())[:_SHOWN], where, note)
    detail = (
        next((told[name] for name in ("detail", "error", "title") if told.get(name)), "") if _is_map(told) else told
    )
    return Refused(error.code, detail if isinstance(detail, str) else json.dumps(detail)[:_SHOWN], where, note)


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoServer(f"{where} does not answer as an emulator does: that is no JSON") from error
