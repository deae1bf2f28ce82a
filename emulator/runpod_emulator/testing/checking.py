"""What a test has written and asked is checked before it is done; what is wrong raises ConfigurationError."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from runpod_emulator.core.errors import ConfigurationError, InvalidBody
from runpod_emulator.values import WITH_UNITS

if TYPE_CHECKING:
    from runpod_emulator.testing.thread import Link

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


def checked(model: type[Model], given: Any) -> Model:
    """What a test has written, as its model; raises ConfigurationError."""
    from runpod_emulator.mocking.forms import TAGS
    from runpod_emulator.mocking.words import reason_of

    try:
        return model.model_validate(given, context=WITH_UNITS)
    except ValidationError as error:
        first: Any = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in TAGS)
        problem = f"{place}: {reason_of(first)}".removeprefix(": ")
    raise ConfigurationError(problem)  # out of the handler: its traceback would be shown first


def text(name: str, given: Any) -> str:
    """A text that a test has given for `name`; raises ConfigurationError for anything else."""
    if not isinstance(given, str):
        raise ConfigurationError(f"{name}: {given!r} is no text")
    return given


def asked(link: Link, question: Coroutine[object, object, Value]) -> Value:
    """The answer to what a test has asked; raises ConfigurationError for a question without a meaning."""
    try:
        return link.do(question)
    except InvalidBody as error:
        problem = error.detail.removeprefix(InvalidBody("").detail)
    raise ConfigurationError(problem)
