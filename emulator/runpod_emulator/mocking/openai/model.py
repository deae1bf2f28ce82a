"""The model of one endpoint: which route a job asks for, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import msgspec

from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.mocks.script import Said, Scene, ScriptError
from runpod_emulator.mocking.openai import errors
from runpod_emulator.mocking.openai.answers import ANY_MODEL, Turn
from runpod_emulator.mocking.openai.chat import chat
from runpod_emulator.mocking.openai.completions import complete
from runpod_emulator.mocking.openai.embeddings import embed
from runpod_emulator.mocking.openai.errors import ModelError
from runpod_emulator.mocking.openai.meter import Meter
from runpod_emulator.mocking.openai.responses import respond

_CREATED = 1_700_000_000
_ROUTES: dict[str, Callable[[Turn], Generator[Said, None, None]]] = {
    "/v1/chat/completions": chat,
    "/v1/completions": complete,
    "/v1/embeddings": embed,
    "/v1/responses": respond,
}
_NO_ROUTE = (
    "the input has no openai_route: call /v2/<endpoint>/openai/v1/…, or give openai_route and openai_input, messages "
    "or a prompt"
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a stub lets the model do otherwise for the jobs that it matches; what is None stays as it is."""

    text: Callable[[Scene], str] | None = None
    pace: tuple[tuple[str, Any], ...] = ()
    """Members of the pace, with their values."""
    error: str = ""
    """One of `errors.NAMES`."""


class Model:
    """Answers the jobs of one endpoint: a `Reply`."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.meter = Meter()

    @property
    def name(self) -> str:
        """What it is called where nobody names it."""
        return (*self.settings.names, ANY_MODEL)[0]

    def __call__(self, scene: Scene) -> Generator[Said, None, None]:
        """The pieces of the answer; what it refuses is an answer too, as vLLM workers give it."""
        return self.answer(scene, Changes())

    def answer(self, scene: Scene, changes: Changes) -> Generator[Said, None, None]:
        """The answer with what a stub wants otherwise; raises ScriptError for a job that is no request."""
        route, body = _asked(scene.input)
        settings = replace(self.settings, pace=replace(self.settings.pace, **dict(changes.pace)))
        turn = Turn(scene, route, body, settings, self.meter, changes.text)
        try:
            if changes.error:
                model = body.get("model") if isinstance(body, dict) else None
                raise errors.named(changes.error, str(model or ANY_MODEL), settings.max_model_len, 0)
            yield from self._answer(turn)
        except ModelError as error:
            yield Said(0, msgspec.json.encode(error.body()))

    def _answer(self, turn: Turn) -> Generator[Said, None, None]:
        if turn.route in _ROUTES:
            yield from _ROUTES[turn.route](turn)
        elif turn.route == "/v1/models":
            names = self.settings.names or (ANY_MODEL,)
            yield Said(0, msgspec.json.encode({"object": "list", "data": [self._card(name) for name in names]}))
        elif turn.route.startswith("/v1/models/"):
            name = turn.named(unquote(turn.route.removeprefix("/v1/models/")))
            yield Said(0, msgspec.json.encode(self._card(name)))
        elif turn.route == "/metrics":
            yield Said(0, msgspec.json.encode(self.meter.text(self.name, turn.scene.waiting())))
        else:
            raise errors.unknown_route(turn.route)

    def _card(self, name: str) -> dict[str, Any]:
        return {
            "id": name, "object": "model", "created": _CREATED, "owned_by": "vllm", "root": name, "parent": None,
            "max_model_len": self.settings.max_model_len,
        }  # fmt: skip


def _asked(given: Any) -> tuple[str, Any]:
    """The route and the body of a job, in one of the forms that vLLM workers take; raises ScriptError."""
    if isinstance(given, dict):
        for route, body in (("openai_route", "openai_input"), ("route", "body")):
            if isinstance(given.get(route), str):
                return given[route], given.get(body)
        wishes = given.get("sampling_params")
        flat = {**given, **(wishes if isinstance(wishes, dict) else {})}
        if "messages" in given:
            return "/v1/chat/completions", flat
        if "prompt" in given:
            return "/v1/completions", flat
    raise ScriptError(_NO_ROUTE)
