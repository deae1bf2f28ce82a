"""What the model refuses, as vLLM says it.

The shape is that of errors which vLLM workers gave as their output, as recorded: `{"object": "error", "message",
"type", "param", "code"}`. The texts are those of vLLM's own checks.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

NAMES = ("context_length", "unknown_model", "rate_limit", "overloaded")
"""What a stub may ask for."""
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)

_MISSING = re.compile(r"required field `(\w+)`")


class ModelError(Exception):
    """A request that the model refuses: its HTTP status, OpenAI's type of it, and the member that is wrong."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> dict[str, Any]:
        """The error as an output."""
        return {
            "code": self.status, "message": str(self), "object": "error", "param": self.param, "type": self.kind,
        }  # fmt: skip


def bad_request(message: str, param: str | None = None) -> ModelError:
    """A request whose members cannot be as they are."""
    return ModelError(400, "BadRequestError", message, param)


def misfit(error: msgspec.ValidationError) -> ModelError:
    """A member of another type, or outside its bounds."""
    found = _AT.fullmatch(str(error))
    said, place = (found[1], found[2]) if found else (str(error), "")
    missing = _MISSING.search(said)
    param = ".".join(filter(None, (place, missing and missing[1]))) or None
    return bad_request(f"{place}: {said}" if place else said, param)


def unknown_model(name: str) -> ModelError:
    """A model that is not served here."""
    return ModelError(404, "NotFoundError", f"The model `{name}` does not exist.")


def unknown_route(route: str) -> ModelError:
    """A path that vLLM does not serve, or not for this request."""
    return ModelError(404, "NotFoundError", f"Invalid route: {route}")


def too_long(limit: int, prompt: int, completion: int) -> ModelError:
    """More tokens than fit into the model."""
    return bad_request(
        f"This model's maximum context length is {limit} tokens. However, you requested {prompt + completion} tokens "
        f"({prompt} in the messages, {completion} in the completion). Please reduce the length of the messages or "
        "completion."
    )


def named(name: str, model: str, limit: int, prompt: int) -> ModelError:
    """One of `NAMES`, as it would be for this request."""
    if name == "context_length":
        return too_long(limit, max(prompt, limit + 1), 0)
    if name == "unknown_model":
        return unknown_model(model)
    if name == "rate_limit":
        return ModelError(429, "RateLimitError", "Rate limit reached: too many requests. Please retry later.")
    return ModelError(503, "ServiceUnavailableError", "The server is overloaded. Please retry later.")
