"""A model that is none: answers to any request of OpenAI's API, made of the request and a seed."""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import TYPE_CHECKING

from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.mocks.script import Said, Scene

if TYPE_CHECKING:
    from runpod_emulator.mocking.openai.model import Model


class LazyModel:
    """A model whose texts and shapes are loaded by its first request, so that no start waits for them: a `Reply`."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings

    def __call__(self, scene: Scene) -> Generator[Said, None, None]:
        """The pieces of the answer."""
        return self.model(scene)

    @property
    def known(self) -> Model | None:
        """The model, if it has been asked anything."""
        return self.model if "model" in self.__dict__ else None

    @functools.cached_property
    def model(self) -> Model:
        """The model itself."""
        from runpod_emulator.mocking.openai.model import Model

        return Model(self._settings)
