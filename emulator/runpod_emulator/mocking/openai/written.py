"""What a stub lets the model say, as it is written."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.mocks.script import Reply, Said, Scene
from runpod_emulator.mocking.forms import TemplatedText, Time, Written, refusal
from runpod_emulator.mocking.openai import LazyModel
from runpod_emulator.mocking.templates import text_of
from runpod_emulator.values import span

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelReply(Written):
    """An answer of the model: its text, its pace, or what it refuses. What is missing is as it is without the stub."""

    expected: ClassVar[str] = 'an answer of the model as a mapping, such as {text: "hello"}'

    text: TemplatedText | None = Field(default=None, description="what it says", examples=["Hi!"])
    ttft: Time | None = Field(default=None, description="time to the first token", examples=["100ms-300ms"])
    tokens_per_second: Positive | None = Field(default=None, description="how fast it speaks", examples=[40])
    jitter: float | None = Field(
        default=None, ge=0, le=1, description="how much longer or shorter each wait may be", examples=[0.2]
    )
    load_factor: float | None = Field(
        default=None, ge=0, le=1_000, description="how much longer for every other request in flight", examples=[0.1]
    )
    error: Literal["context_length", "unknown_model", "rate_limit", "overloaded"] | None = Field(
        default=None, description="what it refuses, in the words of vLLM", examples=["rate_limit"]
    )

    @model_validator(mode="after")
    def _is_clear(self) -> ModelReply:
        if self.text is not None and self.error is not None:
            raise refusal("text and error exclude each other: it says something, or refuses to")
        return self

    def to_core(self, name: str) -> Reply:
        """What answers the job; the errors of its template begin with `name`."""
        text = None if self.text is None else text_of(self.text, f"{name}.text")
        given = {"ttft": None if self.ttft is None else span(self.ttft)}
        given |= {one: getattr(self, one) for one in ("tokens_per_second", "jitter", "load_factor")}
        pace = tuple((one, value) for one, value in given.items() if value is not None)
        return _Stubbed(text, pace, self.error or "")


class _Stubbed:
    """Answers as the model of the endpoint does, or as one that is told nothing, but for what a stub says."""

    def __init__(self, text: Callable[[Scene], str] | None, pace: tuple[tuple[str, object], ...], error: str) -> None:
        self._text = text
        self._pace = pace
        self._error = error
        self._own = LazyModel(ModelSettings())

    def __call__(self, scene: Scene) -> Generator[Said, None, None]:
        """The pieces of the answer."""
        from runpod_emulator.mocking.openai.model import Changes

        lazy = scene.model if isinstance(scene.model, LazyModel) else self._own
        return lazy.model.answer(scene, Changes(self._text, self._pace, self._error))
