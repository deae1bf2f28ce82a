"""The workers of one endpoint over all servers that share its store, as this server knows them.

It must guarantee that there are never more workers of ours than `workers_max`, whichever servers start some at the same
moment: each has its place in the store (`core/jobs/crews.py`) before its program starts. One server leads: it alone
decides how many there are to be, by the jobs and the workers of all, until its lease is over. It orders each new worker
where there are the fewest, and takes an order back that nobody carries out.

    leader: `start_one` ── a place ──> told to all ──> the server it names: `fleet.start` ──> up ──> ... ──> gone

Changes go to the store one after the other, in the order in which they happened here. Every heartbeat looks whether
what is known here is what the store says.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from runpod_emulator.core.endpoint.elsewhere import Elsewhere
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.steps import Steps
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.fleet.worker import Worker, WorkerState
from runpod_emulator.core.jobs.crews import Crews, Member, Word
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.core.jobs.owners import BEAT, LEASE
from runpod_emulator.core.store_errors import Unavailable

log = logging.getLogger("runpod_emulator.engine")

PATIENCE = 3_000
"""Milliseconds that another server has to take up an order: far more than one that lives needs."""
NOTED_EACH = 1_000
"""Milliseconds between two notes that a polling worker was heard."""


class Polled(Protocol):
    """Workers that poll, and are known at every server."""

    def meet(self, worker: str, slots: int) -> None:
        """A worker has come to another server, or takes another number of jobs at once."""
        ...

    def part(self, worker: str) -> None:
        """Another server has found that the worker is gone."""
        ...

    def freed(self, worker: str, jobs: tuple[str, ...]) -> None:
        """The worker has let go of jobs, as another server has heard."""
        ...


class Team(NamedTuple):
    """What is asked of the endpoint."""

    id: str
    shared: Shared
    fleet: Fleet
    polling: Polled
    kind: str
    """What its workers are."""
    is_stopped: Callable[[], bool]
    """Whether nothing starts any more."""
    balance: Callable[[], Awaitable[None]]
    """Starts the workers that are needed now."""
    waiting: Callable[[], Awaitable[int]]
    """How many jobs wait for workers."""
    later: Callable[[Coroutine[Any, Any, None]], None]
    """Does this soon; virtual time waits for it."""


class Crew:
    """All workers of one endpoint."""

    def __init__(self, team: Team, crews: Crews) -> None:
        self._team = team
        self._crews = crews
        self._id = team.id
        self._owner = team.shared.owner
        self._timeline = team.shared.timeline
        self._fleet = team.fleet
        self.members: dict[str, Member] = {}
        self.elsewhere = Elsewhere(self._owner, self.members)
        self._hosts: list[str] = []
        self._deaf: set[str] = set()
        """Servers that have not taken up an order."""
        self._lease = min(team.shared.platform.worker_lease, LEASE)
        """Milliseconds for which this server starts workers, and may decide, after each heartbeat."""
        self._leads_until = 0
        self._pending = 0
        """Workers to be started that have no place yet."""
        self._at_once: set[str] = set()
        self._started: set[str] = set()
        """Those of our members whose program was started here."""
        self._said: dict[str, tuple[int, bool]] = {}
        """Slots of our members, and whether they are up, as the store is told."""
        self._noted: dict[str, int] = {}
        """When it was noted last that a polling worker was heard."""
        self._steps = Steps(team.later)
        self._do = self._steps.add
        self._is_dirty = False
        self._reads: list[set[str]] = []
        """For each read of the store that is under way the workers of whom a word came, and jobs that left theirs."""

    # What the fleet asks

    @property
    def leads(self) -> bool:
        """Whether this server decides: not to the very end of its lease, for clocks differ."""
        return self._timeline.now() < self._leads_until

    @property
    def alive(self) -> int:
        """Workers with a place, and those that are about to have one."""
        return self._pending + sum(1 for member in self.members.values() if member.owner)

    @property
    def up(self) -> int:
        """Workers of ours that take jobs."""
        return sum(1 for member in self.members.values() if member.owner and member.is_up)

    def free_slots(self, running: int) -> int:
        """Slots of all workers, also of those that come up, but for those of the jobs that run."""
        slots = sum(member.slots for member in self.members.values())
        return max(0, slots + self._pending * self._fleet.concurrency - running)

    def start_one(self, here: bool, at_once: bool = False) -> None:
        """Bring up one worker more, if there is a place."""
        self._pending += 1
        self._do(lambda: self._order(here, at_once))

    def ask_to_go(self, worker: Worker, fewest: int) -> None:
        """End a worker that nobody needs, if more than `fewest` are up."""
        self._do(lambda: self._let_go(worker, fewest))

    def give_up_broken(self) -> None:
        """Another may have the places of workers that could not start."""
        for name, member in list(self.members.items()):
            known = self._fleet.workers.get(name)
            broken = name in self._started if known is None else known.state is WorkerState.UNHEALTHY
            if member.owner == self._owner and broken:
                self._leave(name)

    # What happens here

    async def attend(self) -> None:
        """Be one of the servers that start workers, if this one does, and see who leads and which workers there are."""
        now = self._timeline.now()
        if self._fleet.settings.starts_workers and not self._team.is_stopped():
            lead = await self._crews.lead(self._id, self._team.kind, self._owner, now, now + self._lease)
            self._hosts = list(lead.hosts)
            self._deaf &= {*self._hosts}
            self._leads_until = now + self._lease - self._lease * BEAT // LEASE if lead.leader == self._owner else 0
        await self._sync()
        if self.leads:
            self.look()

    async def start_first(self) -> None:
        """Bring up a worker here, if there is a place: so it is known whether the code can be started."""
        if self._fleet.settings.starts_workers:
            self._pending += 1
            await self._order(here=True, at_once=True)

    async def resign(self) -> None:
        """Start no worker any more, and decide nothing: this server ends."""
        await self._steps.close()
        now, self._leads_until = self._timeline.now(), 0
        if self._hosts:
            await self._crews.lead(self._id, self._team.kind, self._owner, now, now)

    async def owner_gone(self, owner: str) -> None:
        """A server is given up: others may have the places of its workers."""
        for name, member in (await self._crews.members(self._id)).items():
            if member.owner == owner:
                await self._crews.leave(self._id, name)

    async def welcome(self, worker: str, slots: int) -> None:
        """A polling worker has come that is not known; returns once all servers will hear of it before its jobs."""
        now = self._noted[worker] = self._timeline.now()
        await self._crews.join(self._id, worker, Member("", slots, True, now))

    def heard_of(self, worker: Worker) -> None:
        """A polling worker has asked for something: noted once a second."""
        now = self._timeline.now()
        if now >= self._noted.get(worker.id, 0) + NOTED_EACH:
            self._noted[worker.id] = now
            member = Member("", worker.concurrency, True, now)
            self._do(lambda: self._crews.join(self._id, worker.id, member))

    async def last_heard(self, worker: str, since: int) -> int:
        """When a polling worker was heard anywhere, at the latest that is known; 0 if that is not after this time.

        Then it has left for all servers.
        """
        member = self.members.get(worker)
        heard = 0 if member is None else member.heard
        if heard > since:
            return heard
        return 0 if await self._crews.leave(self._id, worker, unheard_since=since) else since + 1

    def freed(self, worker: str, jobs: list[str]) -> None:
        """A polling worker has let go of jobs that it was to stop: the others may forget that too."""
        self._do(lambda: self._crews.free(self._id, worker, jobs))

    def changed(self, worker: Worker, state: WorkerState | None) -> None:
        """A worker of this server is in another state, None for one that is gone."""
        if state is None and (worker.ours or worker.is_shared):
            self._leave(worker.id)
        elif worker.ours:
            said = (worker.concurrency if worker.counts else 0), worker.counts and not worker.is_coming_up
            if said != self._said.get(worker.id):
                self._said[worker.id] = said
                member = Member(self._owner, *said, self._timeline.now())
                self._do(lambda: self._crews.join(self._id, worker.id, member))

    # What is heard of

    def heard(self, word: Word) -> None:
        """A server has told of a worker, or of itself."""
        worker, member = word.worker, word.member
        if not worker:
            self._do(self.attend)
        elif word.freed:
            self._team.polling.freed(worker, word.freed)
        else:
            for names in self._reads:
                names.add(worker)
            if member is None:
                self._is_gone(worker)
            else:
                self._is_there(worker, member)

    def heard_job(self, transition: Transition) -> None:
        """Jobs may wait that nobody here has submitted, or wait no more."""
        if transition.left_worker:
            for names in self._reads:
                names.add(transition.job.id)
        before = transition.before
        waited = before is not None and before.status is JobStatus.IN_QUEUE
        if (transition.queued and self.leads) or (waited and self._fleet.queued):
            self.look()

    def look(self) -> None:
        """See soon whether the workers are enough; once, however often this is called until then."""
        if not self._is_dirty:
            self._is_dirty = True
            self._team.later(self._look())

    def looked(self) -> None:
        """Somebody has just seen."""
        self._is_dirty = False

    # Steps

    async def _look(self) -> None:
        if self._is_dirty:
            self._is_dirty = False
            try:
                await self._team.balance()
            except Unavailable:  # the next heartbeat looks again
                log.debug("%s: the store is away", self._id)

    def _leave(self, worker: str) -> None:
        self._said.pop(worker, None)
        self._do(lambda: self._crews.leave(self._id, worker))

    async def _order(self, here: bool, at_once: bool) -> None:
        host = self._owner if here else self._emptiest()
        is_own = host == self._owner
        worker, now = self._team.shared.ids.worker(), self._timeline.now()
        if at_once:
            self._at_once.add(worker)
        member = Member(host, self._fleet.concurrency, False, now if is_own else 0)
        try:
            joined = await self._crews.join(self._id, worker, member, self._fleet.settings.workers_max)
        finally:
            self._pending -= 1
        if joined and not is_own:
            self._timeline.at(now + PATIENCE, lambda: self._do(lambda: self._take_back(worker, host)))

    def _emptiest(self) -> str:
        numbers = {host: 0 for host in self._hosts if host not in self._deaf} or {self._owner: 0}
        for member in self.members.values():
            if member.owner in numbers:
                numbers[member.owner] += 1
        return min(numbers, key=lambda host: (numbers[host], host != self._owner))

    async def _take_back(self, worker: str, host: str) -> None:
        member = self.members.get(worker)
        if member is not None and not member.heard and await self._crews.leave(self._id, worker, unheard_since=0):
            log.warning("%s: server %s starts no worker that it is asked for", self._id, host)
            self._deaf.add(host)
            self.look()

    async def _obey(self, worker: str, slots: int) -> None:
        member = Member(self._owner, slots, False, self._timeline.now())
        await self._crews.join(self._id, worker, member, self._fleet.settings.workers_max)

    async def _let_go(self, worker: Worker, fewest: int) -> None:
        if await self._team.waiting():
            self._fleet.go(worker, waits=True)
        elif await self._crews.spare(self._id, worker.id, fewest):
            self._said[worker.id] = worker.concurrency, False
            if not self._fleet.go(worker):
                self.changed(worker, worker.state)

    async def _rejoin(self, worker: Worker) -> None:
        """A worker of ours has lost its place: this server was given up while it slept."""
        if worker.id not in self._fleet.workers or worker.id in self.members:
            return
        said = self._said.get(worker.id, (worker.concurrency, False))
        member = Member(self._owner, *said, self._timeline.now())
        if not await self._crews.join(self._id, worker.id, member, self._fleet.settings.workers_max):
            self._fleet.outdate(worker, "one too many: others took its place while this server was given up")

    async def _sync(self) -> None:
        """Know what the store knows, but for that of which a newer word has come meanwhile."""
        newer: set[str] = set()
        self._reads.append(newer)
        try:
            found = await self._crews.members(self._id)
            for name in [name for name in self.members if name not in found and name not in newer]:
                self._is_gone(name)
            unknown = {name for name, member in found.items() if not member.owner and name not in self._fleet.workers}
            for name in found.keys() - newer:
                self._is_there(name, found[name])
            if unknown:  # who have come before this server
                for job in await self._crews.polled(self._id):
                    if job.worker in unknown and job.id not in newer:
                        self._fleet.give(job.worker, job.id)
        finally:
            self._reads.remove(newer)
        for worker in list(self._fleet.workers.values()):
            if worker.counts and worker.id in self._started and worker.id not in self.members:
                await self._rejoin(worker)

    # Members

    def _is_there(self, worker: str, member: Member) -> None:
        old = self.members.get(worker)
        self.members[worker] = member
        if not member.owner:
            self._team.polling.meet(worker, member.slots)
        elif member.owner == self._owner:
            self._is_ours(worker, member)
        elif member.heard:
            self._deaf.discard(member.owner)
        if self.leads and (old is None or old.slots != member.slots):
            self.look()

    def _is_ours(self, worker: str, member: Member) -> None:
        if worker in self._fleet.workers:
            return
        if worker in self._started:  # it is gone, and the store was not told
            self._leave(worker)
        elif not member.heard:
            self._do(lambda: self._obey(worker, member.slots))
        elif self._team.is_stopped():
            self._leave(worker)
        else:
            self._started.add(worker)
            self._said[worker] = member.slots, False
            at_once = worker in self._at_once
            self._at_once.discard(worker)
            self._fleet.start(worker, at_once)

    def _is_gone(self, worker: str) -> None:
        old = self.members.pop(worker, None)
        known = self._fleet.workers.get(worker)
        self._noted.pop(worker, None)
        if known is None:
            self._started.discard(worker)
        elif known.is_shared:
            self._team.polling.part(worker)
        elif known.counts and old is not None:
            self._do(lambda: self._rejoin(known))
        if self.leads:
            self.look()
