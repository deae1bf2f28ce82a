"""The part of the error tree that is about doors which do not open for a caller."""

from __future__ import annotations

from runpod_emulator.core.errors import RequestError


class Forbidden(RequestError):
    """The caller may not do this here, whatever its key."""

    status = 403
    title = "Forbidden"


class ForeignPage(Forbidden):
    """A web page of a stranger sends what its browser let it send unasked."""

    detail = (
        "a web browser may not do this for a page of another origin, nor for an address that it is led to: pages of "
        "this machine may, those of this server under one of its names (--allowed-host NAME is one more), clients that "
        "are no browser, and all with --set cors=open"
    )
    row = "error.foreign_page"


class NoOutsideWorkers(Forbidden):
    """A worker from outside at an endpoint whose workers are all the emulator's own."""

    row = "error.no_outside_workers"

    def __init__(self, endpoint: str, kind: str) -> None:
        super().__init__(
            f"endpoint {endpoint} is served by a {kind}, and takes no workers from outside: serve one that does with "
            "--endpoint ID, without a handler"
        )
