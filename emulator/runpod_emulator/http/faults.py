"""Faults at the HTTP edge: answers that come late, broken, instead of the true one, or not at all.

They act once key and endpoint are known, and before rate limits, as the real service's edge
stands before it: what the edge answers counts in no window.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import JobNotFound, RequestError
from runpod_emulator.core.mocks.fault_kinds import OF_JOBS, FaultKind
from runpod_emulator.core.mocks.faults import Fault, MadeByFault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.time.waiting import Caller, Outcome
from runpod_emulator.http.connection import break_off
from runpod_emulator.http.remarks import remarks_of

FAULT = "X-Emulator-Fault"
_INSTEAD = (FaultKind.STATUS, FaultKind.CONNECTION_RESET, FaultKind.TRUNCATED_BODY)
_CONCEALABLE = frozenset(OF_JOBS)


@dataclass(slots=True)
class Edge:
    """A request or a handshake before the faults of its endpoint.

    `problem` makes a fault's answer, `refusal` that of an error which is the request's own.
    """

    request: HTTPConnection
    endpoint: Endpoint | Balancer
    operation: Operation
    caller: Caller
    problem: Callable[[RequestError], Response]
    refusal: Callable[[RequestError], Response]

    async def answer(self, serve: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of `serve`, or what the faults make of it."""
        concealed = await self._concealed()
        if concealed is not None:
            return self._marked(self.problem(JobNotFound()), concealed)
        fault = self._draw(*_INSTEAD)
        latency = self._draw(FaultKind.LATENCY)
        due = self._now() + (fault.draw_delay() if fault else 0)
        answer = await self._served(serve) if _reaches_the_service(fault) else Response()
        if fault is not None:
            answer = self._marked(self._broken(answer, fault), fault)
        if latency is not None:
            due = max(due, self._now()) + latency.draw_delay()
            answer = self._marked(answer, latency)
        return answer if await self._held(due) else Response(status_code=499)

    async def _served(self, serve: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await serve()
        except RequestError as error:
            return self.refusal(error)

    async def _concealed(self) -> Fault | None:
        """The fault that says there is no such job (yet), if one does."""
        world = self.endpoint.shared
        if self.operation not in _CONCEALABLE or not world.faults.has(FaultKind.NOT_FOUND_AFTER_RUN):
            return None
        job_id: str = self.request.path_params["job_id"]
        try:
            job = await world.store.get(self.endpoint.id, job_id)
        except JobNotFound:
            return None
        age = self._now() - job.submitted_at
        return world.faults.draw(
            FaultKind.NOT_FOUND_AFTER_RUN, self.endpoint.id, self.operation, lambda fault: age < fault.delay_of(job_id)
        )

    def _broken(self, answer: Response, fault: Fault) -> Response:
        if fault.kind is FaultKind.CONNECTION_RESET:
            return Reset()
        if fault.kind is FaultKind.TRUNCATED_BODY:
            return _Truncated(answer)
        made = self.problem(MadeByFault(fault.status, "job_id" in self.request.path_params, fault.headers))
        if fault.body is None:
            return made
        headers = {
            name: value for name, value in made.headers.items() if name not in ("content-length", "content-type")
        }
        return Response(
            fault.body, fault.status, {"content-type": "text/plain; charset=utf-8", **headers, **_lower(fault)}
        )

    def _draw(self, *kinds: FaultKind) -> Fault | None:
        length = self.request.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
        faults = self.endpoint.shared.faults
        return faults.draw(
            kinds, self.endpoint.id, self.operation, lambda fault: not fault.larger_than or size > fault.larger_than
        )

    def _marked(self, answer: Response, fault: Fault) -> Response:
        already = answer.headers.get(FAULT)
        struck = f"{already}, {fault.id}" if already else fault.id
        answer.headers[FAULT] = remarks_of(self.request.scope).fault = struck
        return answer

    def _now(self) -> int:
        return self.endpoint.shared.timeline.now()

    async def _held(self, due: int) -> bool:
        """Wait until `due`, of which an automatic clock leaves out nothing: the client's own patience is real.

        False when the client has hung up.
        """
        if due <= self._now():
            return True
        self.caller.hurries = False
        topic = ("fault", self.endpoint.id)
        return await self.endpoint.shared.room.wait(topic, due, self.caller) is not Outcome.HUNG_UP


def _reaches_the_service(fault: Fault | None) -> bool:
    return fault is None or fault.processed or fault.kind is FaultKind.TRUNCATED_BODY


def _lower(fault: Fault) -> dict[str, str]:
    return {name.lower(): value for name, value in fault.headers.items()}


class Reset(Response):
    """No answer at all: the connection is reset. The journal has it as status 0."""

    status_code = 0

    def __init__(self) -> None:
        self.raw_headers = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection."""
        await break_off(scope, receive, "reset")


class _Truncated(Response):
    """The status and headers of another answer, the first half of its body, and then the end."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole
        self.raw_headers = whole.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a half."""
        is_cut = False

        async def cut(message: Message) -> None:
            nonlocal is_cut
            if message["type"] != "http.response.body":
                await send(message)
            elif not is_cut:
                is_cut = True
                body = message.get("body", b"")
                await send({**message, "body": body[: len(body) // 2], "more_body": True})
                await break_off(scope, receive, "close")

        await self._whole(scope, receive, cut)
