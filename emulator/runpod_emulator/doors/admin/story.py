"""What happened in a world, as a text of at most 40 lines: for a test that has failed, and whoever looks on."""

from __future__ import annotations

from collections.abc import Iterator

from runpod_emulator.core.durations import length
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.records.history import Moment
from runpod_emulator.core.records.news import Attempt, Entry
from runpod_emulator.core.secrets.shown import visible
from runpod_emulator.doors.admin.questions import mode
from runpod_emulator.doors.admin.told import lines
from runpod_emulator.doors.admin.whereabouts import hook_line, stub_of
from runpod_emulator.world.world import World

_REQUESTS, _JOBS, _STUBS, _FAULTS, _HOOKS = 12, 8, 5, 4, 4
"""Lines about each: with their headings, two more and what was left out they are 40."""
_CHANGES = 6
"""Changes of a job that are told; of more the first and the last."""
_HELD = ("end", "stream")
"""The topics of clients' requests whose answer is held, with the endpoint and the job."""
_HOLDS = (Operation.RUNSYNC.value, Operation.STATUS_SYNC.value)
"""Operations whose answer waits for the job, and says what that is."""
_LONGEST = 220
"""Characters of a line."""


async def story(world: World) -> str:
    """What happened since the start, or the last reset; without secrets."""
    parts = [
        f"seed {world.faults.seed}, {await _clock(world)}",
        *_part(f"requests{_forgotten(world)}", len(world.journal), lines(
            ((entry, _held(world, entry)) for entry in world.journal), world.masks, _REQUESTS, world.began_at
        )),
        *_part("jobs", len(jobs := list(world.history.jobs())), [await _job(world, key) for key in jobs[-_JOBS:]]),
        *_part("stubs", len(stubs := list(world.stubs)), [_stub(world, stub) for stub in stubs[:_STUBS]]),
        *_part("faults", len(faults := list(world.faults)), [
            f"{world.masks.text(one.id)} ({one.kind.value}): asked {one.asked}, struck {one.struck}"
            for one in faults[:_FAULTS]
        ]),
        *_part("webhooks", len(hooks := _hooks(world)), [hook_line(world, one) for one in hooks[-_HOOKS:]]),
    ]  # fmt: skip
    return "\n".join(map(_cut, parts))


def _part(heading: str, count: int, told: list[str]) -> Iterator[str]:
    """A heading with the number of things, and a line about each; nothing for none."""
    if count:
        shown = len(told) if count > len(told) and not heading.startswith("requests") else count
        yield f"{heading}: {count}" if shown == count else f"{heading}: {shown} of {count}"
        yield from (f"  {line}" for line in told)


def _held(world: World, entry: Entry) -> str:
    """What the job of a request that was held was when that was answered, and how long that took."""
    if entry.operation not in _HOLDS or not entry.took or entry.status >= 400:
        return ""
    states = [one.status for one in world.history.of(entry.endpoint, entry.job) if one.at <= entry.at]
    return f", {states[-1]} after {length(entry.took)}" if states else ""


def _forgotten(world: World) -> str:
    number = world.journal.forgotten
    return f" (older ones forgotten: {number})" if number else ""


async def _clock(world: World) -> str:
    """How the clock goes, how much time has passed, and what comes next."""
    now = world.timeline.now()
    due = await world.timeline.next_due()
    held = [topic[2] for topic in world.room.held() if isinstance(topic, tuple) and topic[0] in _HELD]
    told = f"{mode(world)} clock at +{length(now - world.began_at)}"
    told += ", no deadline comes" if due is None else f", the next deadline in {length(max(0, due - now))}"
    return told + "".join(f", a client's request waits for job {job}" for job in dict.fromkeys(held))


async def _job(world: World, key: tuple[str, str]) -> str:
    endpoint, job_id = key
    moments = world.history.of(endpoint, job_id)
    told = f"{job_id} of {world.masks.text(endpoint)}: {', '.join(_changes(moments, world))}"
    if (queue := world.endpoints.queues.get(endpoint)) is not None:
        for run in queue.work.hooks.second_runs.get(job_id, ()):
            told += f"; also run by {world.masks.text(run.worker)} +{length(run.at - world.began_at)}, in vain"
    try:
        found = await world.store.get(endpoint, job_id)
    except JobNotFound:
        return told
    if stub := stub_of(found):
        told += f"; stub {world.masks.text(stub)}"
    if found.status is JobStatus.FAILED and found.error:
        told += f"; {world.masks.text(' '.join(found.error.split()))}"
    return told


def _changes(moments: list[Moment], world: World) -> list[str]:
    """The changes of a job; those that are alike and follow each other are one."""
    told: list[str] = []
    before = ""
    for one in moments:
        at = f"+{length(one.at - world.began_at)}"
        what = f"{one.event} by {world.masks.text(one.worker or '')}" if one.event == "Taken" else one.event
        if what == before:
            count = told[-1].partition(" x ")[0]
            number = int(count) + 1 if count.isdecimal() else 2
            told[-1] = f"{number} x {what}, the last {at}"
        else:
            told.append(f"{what} {at}")
        before = what
    if len(told) > _CHANGES:
        return [*told[:2], "…", *told[2 - _CHANGES :]]
    return told


def _stub(world: World, stub: Stub) -> str:
    problem = f"; {world.masks.text(stub.problem)}" if stub.problem else ""
    return f"{world.masks.text(stub.id)}: asked {stub.asked}, matched {stub.matched}, played {stub.played}{problem}"


def _hooks(world: World) -> list[Attempt]:
    """The last attempt of each webhook, the latest last."""
    last: dict[tuple[int, str, str], Attempt] = {}
    for one in world.attempts:
        last.pop(one.delivery.key, None)
        last[one.delivery.key] = one
    return list(last.values())


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
