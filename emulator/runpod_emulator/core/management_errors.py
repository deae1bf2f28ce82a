"""The part of the error tree that is about the management API: what its clients see as `application/problem+json`."""

from __future__ import annotations

from collections.abc import Sequence

from runpod_emulator.core.door_errors import Forbidden
from runpod_emulator.core.errors import BadRequest, NotFound, NoToken, RequestError, TooManyRequests

_SHOWN = 200
"""Characters of a client's word that an error repeats."""


class MissingToken(NoToken):
    """No key was shown."""

    detail = "missing bearer token"
    row = "error.management"


class AccessDenied(Forbidden):
    """The key is one of this server's, but not for clients."""

    detail = "access denied"
    row = "error.management"


class ContradictoryRequest(BadRequest):
    """Each field is right by itself, but not beside the others."""

    row = "error.management"


class Unprocessable(RequestError):
    """Fields that cannot be; `errors` has each of them."""

    status = 422
    title = "Unprocessable Entity"
    detail = "Request validation failed."
    row = "error.management"

    def __init__(self, detail: str | None = None, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.errors = errors

    @property
    def why(self) -> str:
        """The reason in words: each field."""
        return "; ".join([self.detail, *self.errors])


class UnknownImage(Unprocessable):
    """Nothing says what stands in for an image, which is never pulled."""

    def __init__(self, image: str, template_id: str = "", args: str = "") -> None:
        named = (("image", image), ("template", template_id), ("arguments", args))
        what = " and ".join(f"{name} {text[:_SHOWN]!r}" for name, text in named if text) or "no image"
        super().__init__(
            f"no handler stands in for {what}: images are not pulled here. Write in the table [images] of "
            'runpod-emulator.toml what serves it, or default = "mock" there for an endpoint of stubs'
        )


class WorkerUnknown(NotFound):
    """No worker of this id, and no line of one."""

    detail = "worker not found"
    row = "error.management"


class QuotaSpent(TooManyRequests):
    """A window of the management API is full."""

    row = "error.management"

    def __init__(self, window: str, retry_after: int) -> None:
        super().__init__(f"rate limit exceeded for the {window} window", retry_after)
