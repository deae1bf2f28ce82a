"""The emulator's own HTTP client where tests mock aiohttp: they replace how every session sends, ours too."""

from __future__ import annotations

import types

import aiohttp

_SEND = aiohttp.ClientSession._request
"""As it was when this file was imported: `runpod_emulator.testing` does so before a test can begin."""


def unmocked(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Let the session send as it did when nobody had replaced that; returns it."""
    vars(session)["_request"] = types.MethodType(_SEND, session)
    return session
