"""A model without a server: what it says to one request."""

from __future__ import annotations

import json
from typing import Any

from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.mocks.script import Said
from runpod_emulator.mocking.openai.model import Model

from tests.mocking.mocks import scene

CHAT = "/v1/chat/completions"
HELLO = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}


def pieces(body: Any, route: str = CHAT, seed: int = 1, model: Model | None = None, **settings: Any) -> list[Said]:
    """All that the model says, with its moments."""
    asked = {"openai_route": route, "openai_input": body}
    return list((model or Model(ModelSettings(**settings)))(scene(asked, job="job-1", seed=seed)))


def answer(body: Any, route: str = CHAT, **options: Any) -> Any:
    """The one object that it says."""
    (chunk,) = [one.chunk for one in pieces(body, route, **options) if one.chunk is not None]
    return json.loads(chunk)


def events(body: Any, route: str = CHAT, **options: Any) -> list[Any]:
    """The data of each event of a stream; a text that is no JSON as it is."""
    texts = [json.loads(one.chunk) for one in pieces({**body, "stream": True}, route, **options) if one.chunk]
    found = [text.removesuffix("\n\n").rpartition("data: ")[2] for text in texts]
    return [json.loads(one) if one.startswith("{") else one for one in found]
