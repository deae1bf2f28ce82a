"""What clients, workers and senders may ask of a store, in whatever order."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import (
    BEHIND,
    TRANSITIONS,
    Cancelled,
    Completed,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Released,
    Renewed,
    Requeued,
    Retried,
    Returned,
    Shortened,
    Taken,
    TimedOut,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.script_state import Looked, Paused, ScriptState
from runpod_emulator.core.jobs.store import Admit, Counts

from tests.stores.twins.world import ENDPOINTS, Refused, Twins

Move = Callable[[Twins, random.Random], Awaitable[None]]
IDS = (
    "a", "b-u1", "ü€🐢", "a b", "{c}", "d}e{", "*", "[x]?", "-1", "0", "1e5", "nil", 'q"\\', "line\nbreak", "x" * 300,
    "\x00\x7f", "false", "%s", "..", "'",
)  # fmt: skip
"""Names of jobs; with a number behind them there are more."""
SERVERS = ("server-0", "server-1", "gone")


def text(dice: random.Random) -> bytes:
    """JSON that a client or a worker may have sent: tiny, above what is told, or above what is kept beside a record."""
    size = dice.choice([0, 0, 0, 5, 2_040, 2_047, 5_000, 65_530, 65_536, 70_000])
    return b'"%s"' % (dice.choice([b"x", b"\xc3\xbc", b"{", b"\\n"]) * size)


def script(dice: random.Random, now: int) -> ScriptState | None:
    """What a job may be made to play."""
    if dice.random() < 0.6:
        return None
    headers = tuple((b"x-%d" % number, dice.choice([b"", b"\xff\x80", b"v"])) for number in range(dice.randrange(3)))
    held = now + dice.randrange(2_000) if dice.random() < 0.5 else None
    return ScriptState(
        dice.choice([None, "stub", "ü"]), dice.randrange(5), headers, dice.choice(["", "no stub"]), dice.randrange(3),
        dice.random() < 0.5, held, dice.choice([0, 0, 1, 2]),
    )  # fmt: skip


async def create(twins: Twins, dice: random.Random) -> None:
    """A job comes in, if it may."""
    place, _ = await twins.ask(dice, lambda store: store.next_place())
    endpoint = dice.choice(ENDPOINTS)
    name = dice.choice(IDS) + dice.choice(["", "", str(dice.randrange(40))])
    if await _now(twins, endpoint, name) is not None:
        return
    played = script(dice, twins.now)
    low = dice.random() < 0.2
    job = Job(
        endpoint, name, JobStatus.IN_QUEUE, text(dice), twins.now, twins.now + dice.choice([500, 60_000]),
        dice.choice([100, 30_000]), dice.choice([0, 3_000]), place + BEHIND * low, low,
        played is not None and played.held_until is not None, dice.choice([None, "http://h/?ü"]),
        dice.choice([None, None, text(dice)]), script=played, trace=dice.choice(["", "00-1-2-01"]),
    )  # fmt: skip
    limit = dice.choice([None, None, 0, 2, 5])
    await twins.ask(dice, lambda store: store.create(submit(job), None if limit is None else _admit(limit)))
    twins.jobs.append((endpoint, name))


def _admit(limit: int) -> Admit:
    def check(counts: Counts) -> None:
        if counts.queued > limit:
            raise Refused(f"{counts.queued} wait")

    return Admit(check, limit)


async def update(twins: Twins, dice: random.Random) -> None:
    """Something happens to a job, that may or that may not."""
    if not twins.jobs:
        return
    key = dice.choice(twins.jobs)
    job = await _now(twins, *key)
    event = await _event(twins, dice, job)
    at = twins.now
    await twins.ask(dice, lambda store: store.update(*key, lambda job: _changed(job, event, at)))


async def leave_alone(twins: Twins, dice: random.Random) -> None:
    """A change that finds nothing to do."""
    if twins.jobs:
        key = dice.choice(twins.jobs)
        await twins.ask(dice, lambda store: store.update(*key, lambda job: None))


async def claim(twins: Twins, dice: random.Random) -> None:
    """A worker asks for jobs: perhaps not for every one, and perhaps some are over."""
    endpoint, most, at = dice.choice(ENDPOINTS), dice.choice([1, 1, 1, 2, 3, 30]), twins.now
    bar = dice.choice([None, None, "low", "script", "some", "all"])
    until, owner = dice.choice([None, at + 700]), dice.choice([None, *SERVERS])
    taken = Taken(f"w{dice.randrange(3)}", until, owner, dice.randrange(3))

    def change(job: Job) -> Transition | None:
        if job.expires_at <= at:
            return _changed(job, _over(job), at)
        barred = {"low": job.low_priority, "script": job.script is not None, "some": len(job.id) % 2, "all": True}
        return None if bar is not None and barred[bar] else apply(job, taken, at)

    await twins.ask(dice, lambda store: store.claim(endpoint, most, change), fresh=True)


def _over(job: Job) -> Event:
    """How a job ends whose time is over: the same on every store."""
    return TimedOut("too late") if len(job.id) % 2 else Forgotten()


async def read(twins: Twins, dice: random.Random) -> None:
    """A reader is shown chunks."""
    if twins.jobs:
        key = dice.choice(twins.jobs)
        shown = await twins.ask(dice, lambda store: store.unread(*key))
        if not isinstance(shown[0], tuple) or hasattr(shown[0], "chunks"):
            twins.reads.append(shown)


async def acknowledge(twins: Twins, dice: random.Random) -> None:
    """A reader takes what it was shown, some time; perhaps twice, or another one was faster."""
    if twins.reads:
        own, other = dice.choice(twins.reads[-6:])
        assert own == other
        await twins.ask(dice, lambda store: store.acknowledge(other))


async def look(twins: Twins, dice: random.Random) -> None:
    """Somebody looks at jobs and counts."""
    endpoint, most = dice.choice(ENDPOINTS), dice.choice([None, 0, 1, 2, 50])
    await twins.ask(dice, lambda store: store.queued(endpoint, most))
    await twins.ask(dice, lambda store: store.counts(endpoint))
    page = dice.randrange(4), dice.choice([1, 3, 100])
    await twins.ask(dice, lambda store: store.recent(endpoint, *page))
    await twins.ask(dice, lambda store: store.first_due())
    if twins.jobs:
        key = dice.choice(twins.jobs)
        await twins.ask(dice, lambda store: store.get(*key))


async def pass_time(twins: Twins, dice: random.Random) -> None:
    """Time passes, and what is due then happens."""
    twins.now += dice.choice([1, 50, 1_000])
    for _ in range(dice.randrange(4)):
        due, _ = await twins.ask(dice, lambda store: store.first_due())
        if due is None or due[0] > twins.now:
            return
        if dice.random() < 0.3:
            await twins.ask(dice, lambda store, key=due[1]: store.give_up_deadline(*key))
        else:
            await _meet(twins, dice, due[1])


async def _meet(twins: Twins, dice: random.Random, key: tuple[str, str]) -> None:
    at = twins.now
    await twins.ask(dice, lambda store: store.update(*key, lambda job: _changed(job, _late(job), at)))


def _late(job: Job) -> Event:
    if job.status is JobStatus.IN_QUEUE:
        return Released() if job.held else TimedOut("in queue")
    return Forgotten() if job.status.terminal else Requeued(job.lease)


async def send(twins: Twins, dice: random.Random) -> None:
    """A sender asks for deliveries that are due."""
    await twins.ask(dice, lambda store: store.deliveries.next_due())
    now, most = twins.now + dice.choice([0, 0, 400]), dice.choice([1, 2, 50])
    until = dice.choice([None, now + 300, now + 5_000])
    given, _ = await twins.ask(dice, lambda store: store.deliveries.claim(now, most, until))
    twins.given += given


async def settle(twins: Twins, dice: random.Random) -> None:
    """A sender says what has become of a delivery: perhaps late, or twice, or it wants more time."""
    if not twins.given:
        return
    one, at = dice.choice(twins.given[-6:]), twins.now
    if dice.random() < 0.25:
        await twins.ask(dice, lambda store: store.deliveries.renew([one], at + 800))
        return
    status = dice.choice([DeliveryStatus.DELIVERED, DeliveryStatus.GIVEN_UP, DeliveryStatus.OWED])
    told = one._replace(attempts=one.attempts + 1, status=status, due=at + dice.choice([0, 500]))
    await twins.ask(dice, lambda store: store.deliveries.record(told))
    await twins.ask(dice, lambda store: store.deliveries.owes())


async def owe_again(twins: Twins, dice: random.Random) -> None:
    """Somebody asks for one more call."""
    if twins.given:
        again = dice.choice(twins.given)._replace(due=twins.now + dice.choice([0, 500]), attempts=0)
        await twins.ask(dice, lambda store: store.deliveries.owe_again(again))


async def clear(twins: Twins, dice: random.Random) -> None:
    """Somebody clears an endpoint, or all; or one is removed, of which nobody hears."""
    endpoint = dice.choice(ENDPOINTS)
    kind = dice.choice(["one", "one", "all", "drop"])
    if kind == "drop":
        await twins.ask(dice, lambda store: store.drop(endpoint))
    else:
        await twins.ask(dice, lambda store: store.clear(endpoint if kind == "one" else None), fresh=True)


MOVES: tuple[Move, ...] = (
    create, update, leave_alone, claim, read, acknowledge, look, pass_time, send, settle, owe_again, clear,
)  # fmt: skip
OFTEN = {create: 10, update: 20, claim: 7, read: 5, acknowledge: 5, send: 3, settle: 4, pass_time: 3}
"""How many times as often each is made as the others."""


async def _now(twins: Twins, endpoint: str, name: str) -> Job | None:
    jobs, _ = await twins.memory.recent(endpoint, 0, 10_000)
    return next((job for job in jobs if job.id == name), None)


def _changed(job: Job, event: Event, at: int) -> Transition:
    """The change, and what it owes, as the engine of an endpoint makes it."""
    transition = apply(job, event, at)
    after = transition.after
    if after is None or not transition.ended or after.webhook is None:
        return transition
    body = b'{"id":"%s"}' % after.id.encode() + (after.output or b"")
    return transition._replace(delivery=Delivery(after.endpoint, after.id, after.place, after.webhook, body, due=at))


async def _event(twins: Twins, dice: random.Random, job: Job | None) -> Event:
    status = JobStatus.IN_QUEUE if job is None else job.status
    row = list(TRANSITIONS[status]) if dice.random() < 0.85 else list(_MADE)
    kind = dice.choice(row)
    lease = 1 if job is None else job.lease + (dice.random() < 0.1)
    if kind is Retried:
        place, _ = await twins.ask(dice, lambda store: store.next_place())
        return Retried(place, script(dice, twins.now))
    return _MADE[kind](dice, lease, twins.now)


_MADE: dict[type[Any], Callable[[random.Random, int, int], Event]] = {
    Looked: lambda dice, lease, now: Looked(),
    Released: lambda dice, lease, now: Released(),
    Taken: lambda dice, lease, now: Taken("w9", dice.choice([None, now + 50]), dice.choice([None, *SERVERS]), 1),
    Renewed: lambda dice, lease, now: Renewed(lease, dice.choice([None, now + 900])),
    Returned: lambda dice, lease, now: Returned(lease),
    Requeued: lambda dice, lease, now: Requeued(lease),
    Progressed: lambda dice, lease, now: Progressed(lease, text(dice)),
    Emitted: lambda dice, lease, now: Emitted(lease, tuple(text(dice) for _ in range(dice.choice([0, 1, 2, 40])))),
    Paused: lambda dice, lease, now: Paused(lease, dice.randrange(3)),
    Completed: lambda dice, lease, now: Completed(lease, dice.choice([None, text(dice)])),
    Failed: lambda dice, lease, now: Failed(
        dice.choice(["böse", "\ud83d"]), dice.choice([None, text(dice)]), dice.choice([None, lease])
    ),
    Cancelled: lambda dice, lease, now: Cancelled(),
    TimedOut: lambda dice, lease, now: TimedOut(dice.choice(["late", "\udc00"])),
    Retried: lambda dice, lease, now: Retried(1),
    Shortened: lambda dice, lease, now: Shortened(dice.choice([10, 50_000])),
    Forgotten: lambda dice, lease, now: Forgotten(),
}
