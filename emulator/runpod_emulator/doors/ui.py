"""The page that shows what happens, at `/` and `/__emulator/ui`, and the files that it consists of.

The files hold nothing of anybody's, so everybody may load them, without a key and under every name of the server. What
the page shows it asks of the admin API, whose own door decides who may. Nothing is loaded from elsewhere, and no script
runs that is not one of these files: what a handler, a client or a webhook has written stays text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator import __version__
from runpod_emulator.core.errors import RouteNotFound
from runpod_emulator.http.answers import problem
from runpod_emulator.http.routing import ExactRoute
from runpod_emulator.http.shield import POLICY, SHIELD

PATH = "/__emulator/ui"
_FOLDER = Path(__file__).parent / "static"
_INDEX = "index.html"
_FRAME = "frame.html"
_OF_FRAME = {
    POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src http: https:; media-src http: https:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
"""Of the frame for one image of another host: it holds nothing else, and only the page may hold it."""
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
    ".LICENSE": "text/plain; charset=utf-8",
}
_INLINE = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_ADDRESSES = """runpod-emulator {version}

base URL   {root}/v2
page       {root}/
admin API  {root}/__emulator/docs
API        {root}/docs
health     {root}/__emulator/health
"""


class File(NamedTuple):
    """One file as it is answered."""

    content: bytes
    headers: Mapping[str, str]
    tag: str


def is_of_page(path: str) -> bool:
    """Whether a tidy path is that of the page, or of one of its files."""
    return path == PATH or path.startswith(f"{PATH}/")


class Files:
    """The files of the page, each by its path below the folder; read when the first is asked for."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def get(self, name: str) -> File | None:
        """One file; None for what is none, wherever its path would lead."""
        if not self._files:
            found = {str(path.relative_to(_FOLDER)): path for path in _FOLDER.rglob("*") if path.suffix in _KINDS}
            own = _policy(found[_INDEX].read_bytes())
            self._files = {name: _file(path, _OF_FRAME if name == _FRAME else own) for name, path in found.items()}
        return self._files.get(name)


def _file(path: Path, policy: Mapping[str, str]) -> File:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Content-Type": _KINDS[path.suffix], "Cache-Control": "no-cache", "ETag": tag}
    return File(content, {**SHIELD, **policy, **headers}, tag)


def _policy(index: bytes) -> Mapping[str, str]:
    """Scripts, styles and calls of this server alone; the map of imports is the one script within the page.

    Images, sound and films may be data that a job's output holds. Those at addresses of other hosts are shown when
    somebody asks for one, in a frame whose policy is another (`_OF_FRAME`).
    """
    match = _INLINE.search(index)
    assert match is not None
    digest = base64.b64encode(hashlib.sha256(match[1]).digest()).decode()
    parts = (
        "default-src 'none'",
        f"script-src 'self' 'sha256-{digest}'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {POLICY: "; ".join(parts)}


_files = Files()


async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, _INDEX)


async def part(request: Request) -> Response:
    """One of the files that the page consists of."""
    return _answer(request, request.path_params["file"])


async def root(request: Request) -> Response:
    """The page for a browser, a few addresses as text for everybody else."""
    if "text/html" in request.headers.get("accept", ""):
        answer = _answer(request, _INDEX)
    else:
        text = _ADDRESSES.format(version=__version__, root=str(request.base_url).rstrip("/"))
        answer = Response(text, headers=dict(SHIELD), media_type="text/plain")
    answer.headers["Vary"] = "Accept"
    return answer


def _answer(request: Request, name: str) -> Response:
    file = _files.get(name)
    if file is None:
        return problem(RouteNotFound(), request.app.state.worlds.first)
    if _has(request.headers, file.tag):
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)


def _has(headers: Headers, tag: str) -> bool:
    """Whether the browser has the file as it is."""
    known = [one.strip().removeprefix("W/") for one in headers.get("if-none-match", "").split(",")]
    return tag in known


routes = [
    ExactRoute("/", root, ["GET"]),
    ExactRoute(PATH, page, ["GET"]),
    ExactRoute(PATH + "/{file:path}", part, ["GET"]),
]
