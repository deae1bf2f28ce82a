"""What a test tells one emulated world, and asks of it: `Emulator` has these verbs, and so has each namespace of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors.admin import shapes
from runpod_emulator.doors.admin.names import check_endpoint
from runpod_emulator.testing import records
from runpod_emulator.testing.aio import AioClock, AioState, AioWebhooks, Awaited
from runpod_emulator.testing.checking import asked, checked, text
from runpod_emulator.testing.clock import Clock, in_milliseconds
from runpod_emulator.testing.handles import Fault, Stub
from runpod_emulator.testing.state import State
from runpod_emulator.testing.thread import Link, blocking
from runpod_emulator.testing.webhooks import Webhooks
from runpod_emulator.workers.functions import Function
from runpod_emulator.world.world import World

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from runpod_emulator.doors.admin.verified import Verification
    from runpod_emulator.testing.written import (
        Duration,
        FaultKind,
        FaultMembers,
        FaultProfile,
        Filter,
        Status,
        StubMembers,
    )

_LEFT = 5.0
"""Seconds that the server has to say what a wait that took too long has waited for."""


class Verbs:
    """One world of a server that runs in a thread of its own."""

    def __init__(self, link: Link, others: dict[str, Verbs] | None = None) -> None:
        self.link = link
        """The way to the world itself, for those who need more than these verbs."""
        self.clock = Clock(link)
        self.webhooks = Webhooks(link)
        self._asserted: set[int] = set()
        """The numbers of requests that the test has asked for."""
        self.state = State(link, self._asserted)
        self.aio = Aio(self)
        """What blocks, to be awaited: `await emu.aio.wait_for(idle=True)`, `await emu.aio.clock.advance(5)`."""
        self._is_first = others is None
        self._named: dict[str, Verbs] = {} if others is None else others
        """The other worlds that were asked for, by their names."""

    # Where it is

    @property
    def base_url(self) -> str:
        """What clients set as RUNPOD_ENDPOINT_BASE_URL: `http://127.0.0.1:PORT/v2`, or https with `tls=True`."""
        return self.link.server.tls_base_url or self.link.server.base_url

    @property
    def ca_file(self) -> Path | None:
        """With `tls=True`, what clients trust the emulator by; `environment` says it to most."""
        return self.link.server.ca_file

    @property
    def key(self) -> str:
        """A key that the server accepts, and by which it knows this world where keys choose them."""
        return self.link.key

    @property
    def headers(self) -> dict[str, str]:
        """What a client of this world sends: a key, and what chooses the world where its key does not."""
        return {"Authorization": f"Bearer {self.key}", **self.link.chosen_by}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point RunPod clients here, and to this world where keys choose them."""
        return {**self.link.server.client_environment(), "RUNPOD_API_KEY": self.key}

    def namespace(self, name: str) -> Verbs:
        """Another world of this server, which is made if need be: what is here for the first is there for that.

        Its clients send `headers`; with `namespaces="key"` they use its `key`, which is the name.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm") as emu:
        ...     emu.namespace("w2").headers["X-Emulator-Namespace"]
        'w2'
        """
        link = self.link.to(text("namespace", name))
        if name not in self._named:
            self._named[name] = Verbs(link, self._named)
        return self._named[name]

    # What shall happen

    def stub(self, **stub: Unpack[StubMembers]) -> Stub:
        """Add a stub, in the form of a stub file; its endpoint is served from now on.

        >>> from runpod_emulator import Emulator
        >>> with Emulator() as emu:
        ...     emu.stub(id="slow", endpoint="llm", respond={"delay": "30s", "output": "{{ input.prompt }}"})
        <stub slow>
        """
        from runpod_emulator.mocking.models import Stub as Written

        written = checked(Written, stub)

        def add(world: World) -> Stub:
            core = written.to_core(taken=world.stubs)
            world.stub(core)
            return Stub(self.link.ask, core)

        return self.link.ask(add)

    def fault(self, kind: FaultKind, **fault: Unpack[FaultMembers]) -> Fault:
        """Add a fault, in the form of a stub file.

        Over http:// the official Python client tries a GET again after 429 and 408, for up to 30 s; over
        https:// it raises them, as in production: `Emulator(tls=True)`.

        >>> from runpod_emulator import Emulator
        >>> with Emulator() as emu:
        ...     emu.fault("status", status=429, headers={"Retry-After": 2}, times=1, id="busy")
        <fault status busy>
        """
        from runpod_emulator.mocking.faults import Fault as Written

        written = checked(Written, {"fault": kind, **fault})

        def add(world: World) -> Fault:
            check_endpoint(world, written.endpoint)
            return Fault(self.link.ask, world.fault(written.to_core(world.timeline.now())))

        return self.link.ask(add)

    def profile(self, name: FaultProfile) -> list[Fault]:
        """Add the faults of a profile."""
        from runpod_emulator.mocking.profiles import profile

        written = profile(name)
        return self.link.ask(
            lambda world: [Fault(self.link.ask, world.fault(one.to_core(world.timeline.now()))) for one in written]
        )

    def handler(self, endpoint: str, function: Callable[..., Any], *, return_aggregate_stream: bool = False) -> None:
        """Let a function of this process run the jobs of an endpoint that no stub answers, until the next reset.

        It gets and returns what a handler does; it may be async, or a generator, whose results
        are the stream. Each job has a thread of its own. Raises ConfigurationError where the
        endpoint has a handler already.

        >>> from runpod_emulator import Emulator
        >>> with Emulator() as emu:
        ...     emu.handler("adder", lambda job: job["input"]["a"] + 1)
        """
        text("endpoint", endpoint)
        if not callable(function):
            raise ConfigurationError(f"{function!r} is no function: a handler gets a job and returns its output")
        work = Function(function, return_aggregate_stream)
        self.link.ask(lambda world: world.endpoints.add_function(endpoint, work))

    def reset(self, seed: int | None = None) -> None:
        """Forget jobs, requests, webhooks, stubs and faults; for use before each test.

        The emulator's own also resets the namespaces that it was asked for. Ids and dice begin anew, from another
        `seed` if one is given.
        """
        for one in (self, *(self._named.values() if self._is_first else ())):
            if seed is not None:
                one.link.reseed(seed)
            one.link.do(one.link.world.reset())
            one._asserted.clear()

    # What happened

    def requests(self, **match: Unpack[Filter]) -> list[records.Request]:
        """The requests of clients that fit, oldest first.

        Secrets fit as they came, and are masked in what is returned, which may end in the log of a test run:
        `requests(headers={"authorization": "Bearer KEY"})` says whether they were right.
        """
        from runpod_emulator.doors.admin.questions import Filter as Written
        from runpod_emulator.doors.admin.questions import meant

        given = checked(Written, match)
        self.link.ask(given.check)
        world = self.link.world
        drift = world.timeline.drift()
        found = asked(self.link, meant(world.journal, given))
        self._asserted.update(one.number for one in found)
        return [records.request(shapes.entry(one, world.masks, drift)) for one in found]

    def assert_requested(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        **match: Unpack[Filter],
    ) -> None:
        """Raise AssertionError, which says what came instead, unless such a request came, or as many of them.

        Values of the path, of headers and in the body may be patterns of `re`, which are searched there.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm") as emu:
        ...     emu.assert_requested(operation="run", body={"input": {"prompt": "hello"}}, count=0)
        """
        from runpod_emulator.doors.admin.verified import Verification

        counts = {"count": count, "at_least": at_least, "at_most": at_most}
        self._assert(checked(Verification, {"match": match, **counts}))

    def assert_order(self, *matches: Filter) -> None:
        """Raise AssertionError unless such requests came one after the other, whatever came between them.

        `emu.assert_order({"operation": "run"}, {"operation": "cancel"})`
        """
        from runpod_emulator.doors.admin.verified import Verification

        self._assert(checked(Verification, {"order": list(matches)}))

    def _assert(self, wish: Verification) -> None:
        answer = asked(self.link, wish.verified(self.link.world, self._asserted))
        if not answer.ok:
            raise AssertionError(answer.detail)

    def jobs(self, endpoint: str | None = None) -> list[records.Job]:
        """The jobs there are, newest first, with their transitions; secrets are masked."""
        self._check(endpoint)
        return [records.job(one) for one in self.link.do(shapes.all_jobs(self.link.world, endpoint))]

    def _check(self, endpoint: str | None) -> None:
        """Raise ConfigurationError for an endpoint that nobody knows."""
        if endpoint is not None:
            text("endpoint", endpoint)
            self.link.ask(lambda world: check_endpoint(world, endpoint))

    def job(self, job_id: str) -> records.Job:
        """One job with its transitions, also when it is gone; raises JobNotFound for one that never was."""
        return records.job(self.link.do(shapes.one_job(self.link.world, job_id)))

    def story(self) -> str:
        """What happened since the start or the last reset, in at most 40 lines: for the report of a test."""
        from runpod_emulator.doors.admin.story import story

        return self.link.do(story(self.link.world))

    def unmet(self) -> list[str]:
        """What a strict test fails for."""
        from runpod_emulator.doors.admin.strictness import unmet

        return self.link.ask(lambda world: unmet(world, self._asserted))

    def wait_for(
        self,
        *,
        idle: bool = False,
        job: str | None = None,
        status: Status | None = None,
        count: int = 1,
        endpoint: str | None = None,
        webhooks: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Wait until all that is said holds, or raise TimeoutError, which says what is the case instead.

        `idle`: no job waits or runs, and no webhook is owed. `job`: the job of this id has ended. `status`: so many
        (`count`) jobs, of all or of one `endpoint`, were in this state. `webhooks`: so many calls were acknowledged.
        `timeout` is seconds on the emulator's clock, a text such as "10m", or a timedelta. On a virtual clock, which
        stands, the wait is over as soon as nothing runs.
        """
        from runpod_emulator.doors.admin.questions import Awaited, wait_until
        from runpod_emulator.doors.admin.whereabouts import whereabouts

        if not (idle or job or status or webhooks):
            raise ConfigurationError("say what to wait for: idle=True, job=ID, status=… or webhooks=1")
        self.link.refuse_in_handlers("wait_for")
        length = None if timeout is None else in_milliseconds(timeout, "timeout")
        said = {"idle": idle, "job": job, "status": status, "count": count, "endpoint": endpoint}
        given = checked(Awaited, {**said, "webhooks": webhooks, "timeout": None if length is None else f"{length}ms"})
        self._check(endpoint)
        patience = self._patience(length)
        ways = "clock.advance({}) or clock.run_until_idle()"
        work = wait_until(self.link.world, given, Caller(), ways, patience)
        problem = self.link.do(work, patience + _LEFT)
        if problem:
            raise TimeoutError(problem + self.link.do(whereabouts(self.link.world, given)) + blocking())

    def _patience(self, length: int | None) -> float:
        """Seconds of real time that a wait of so many ms may take: more than usual where time is real."""
        is_real = type(self.link.world.timeline.clock) is RealClock
        return max(self.link.patience, (length or 0) / 1000 + 1) if is_real else self.link.patience


class Aio:
    """What a test tells one world, and asks of it."""

    def __init__(self, subject: Verbs) -> None:
        self.subject = subject
        self.clock = AioClock(subject.clock)
        self.webhooks = AioWebhooks(subject.webhooks)
        self.state = AioState(subject.state)

    stub = Awaited(Verbs.stub)
    fault = Awaited(Verbs.fault)
    profile = Awaited(Verbs.profile)
    handler = Awaited(Verbs.handler)
    reset = Awaited(Verbs.reset)
    namespace = Awaited(Verbs.namespace)
    requests = Awaited(Verbs.requests)
    assert_requested = Awaited(Verbs.assert_requested)
    assert_order = Awaited(Verbs.assert_order)
    story = Awaited(Verbs.story)
    jobs = Awaited(Verbs.jobs)
    job = Awaited(Verbs.job)
    wait_for = Awaited(Verbs.wait_for)
