"""A transition as `write.lua` takes it, and as the news of it is written and read.

News holds no large text: what a worker has sent is in the record, and only small ones are told along with it. So who
hears of another server's transition knows all of the job but, perhaps, its texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Emitted, Job, JobStatus, Requeued, Retried, Returned, Transition
from runpod_emulator.core.jobs.store import Cleared, Counts
from runpod_emulator.stores.counting import count
from runpod_emulator.stores.records import (
    Texts,
    delivery_written,
    event_names,
    event_of,
    event_values,
    job_of,
    job_values,
    job_written,
    read,
    written,
)
from runpod_emulator.stores.redis.replies import named

KEPT = 8 * 24 * 3_600_000
"""Milliseconds that keys outlive the last write: a day more than the longest life of a job (`ttl`, 7 days)."""
TOLD = 2_048
"""Bytes of the texts of one transition that are told along with its news."""
NOT_TOLD = b"null"
"""Stands for an input that is not told."""
_OTHERS = 3
"""Fields of news that are no texts of an event."""
_DROPS = (Requeued, Retried, Returned)
"""Events after which no chunk of the job is left."""


def step(transition: Transition, version: str) -> list[Any]:
    """The arguments of one transition of a record that had this version, "" for a new one."""
    before, after, job = transition.before, transition.after, transition.job
    status = None if after is None else after.status
    waits = status is JobStatus.IN_QUEUE
    due = transition.due
    return [
        job.id,
        version,
        b"" if after is None else job_written(after),
        run_of(job),
        job.input if before is None else b"",
        (job.s3_config or b"") if before is None else b"",
        *_listed(_output(before, after)),
        job.place if waits else "",
        "1" if waits and job.held else "",
        "" if due is None else due,
        "1" if status is JobStatus.IN_PROGRESS else "",
        (before and before.owner) or "",
        (after and after.owner) or "",
        job.taken_at or 0,
        "1" if isinstance(transition.event, _DROPS) else "",
        *_listed(transition.event.chunks if isinstance(transition.event, Emitted) else ()),
        *_listed(_owed(transition.delivery)),
        *_listed(_counted(transition)),
        *_listed(news(transition)),
        KEPT + max(0, (due or transition.at) - transition.at),
    ]


def run_of(job: Job) -> str:
    """What tells the runs of a job apart; "" for one that waits, of which nobody can read."""
    return "" if job.status is JobStatus.IN_QUEUE else f"{job.place}:{job.lease}"


def counts_of(found: Mapping[bytes, bytes] | Sequence[bytes]) -> Counts:
    """The counts of these names and numbers."""
    counts = Counts()
    for name, number in named(found).items():
        kind, _, status = name.partition(":")
        if status:
            getattr(counts, kind)[JobStatus(status)] = int(number)
        elif kind in _COUNTED:
            setattr(counts, kind, int(number))
    return counts


def delivery_name(delivery: Delivery) -> str:
    """What a delivery is called within its endpoint; those due in one moment are given out in this order."""
    return f"{delivery.serial:020}:{delivery.job}"


def news(transition: Transition) -> list[Any]:
    """The fields of a transition's news."""
    kind, fields, texts = event_values(transition.event)
    job = transition.job
    text = job.input if len(job.input) <= TOLD else NOT_TOLD
    if sum(map(len, texts)) > TOLD:
        texts = []
    values = job_values(job)
    before = None
    if transition.before is not None:
        was = job_values(transition.before)
        before = [[place, value] for place, value in enumerate(was) if value != values[place]]
    flags = [transition.after is None, transition.ended, transition.left_worker, transition.queued]
    owed = None if transition.delivery is None else transition.delivery.due
    told = [kind, fields, transition.at, values, before, flags, transition.due, owed]
    named: list[Any] = ["m", written(told), "i", text]
    for number, part in enumerate(texts):
        named += (f"t{number}", part)
    return named


def transition_read(fields: Mapping[bytes, bytes]) -> Transition:
    """The transition of which this is the news; raises KeyError for an event that there is not."""
    kind, of_event, at, values, changed, flags, due, owed = read(fields[b"m"])
    texts = [fields[b"t%d" % number] for number in range(len(fields) - _OTHERS)]
    event = event_of(kind, of_event if texts else _without_texts(kind, of_event), texts)
    output = getattr(event, "output", None)
    job = job_of(values, Texts(fields[b"i"], output, None))
    before = None
    if changed is not None:
        for place, value in changed:
            values[place] = value
        before = job_of(values, Texts(fields[b"i"], None, None))
    is_gone, ended, left_worker, queued = flags
    delivery = None
    if owed is not None:
        delivery = Delivery(job.endpoint, job.id, job.place, job.webhook or "", b"", due=owed)
    after = None if is_gone else job
    return Transition(before, event, after, at, job, ended, left_worker, queued, due, delivery)


def cleared_read(endpoint: str, fields: Mapping[bytes, bytes]) -> Cleared:
    """The clear of which this is the news."""
    return Cleared(endpoint, [job_of(one, untold()) for one in read(fields[b"clear"])])


def untold() -> Texts:
    """Stands for the texts of a job that were not asked for."""
    return Texts(NOT_TOLD, None, None)


def _without_texts(kind: str, fields: list[Any]) -> list[Any]:
    """The fields of an event whose texts were not told: as many as there are, none."""
    names = event_names(kind)
    return [0 if name in ("chunks", "output") else value for name, value in zip(names, fields, strict=True)]


def _listed(values: Any) -> list[Any]:
    return [len(values), *values]


def _output(before: Job | None, after: Job | None) -> list[Any]:
    if after is None or (before is not None and before.output == after.output):
        return []
    if after.output is None:
        return [] if before is None else ["drop"]
    return ["set", after.output]


def _owed(delivery: Delivery | None) -> list[Any]:
    if delivery is None:
        return []
    return [delivery_name(delivery), delivery.due, delivery_written(delivery), delivery.body]


def _counted(transition: Transition) -> list[Any]:
    """What the transition adds to each count."""
    counts = Counts()
    count(counts, transition)
    pairs: list[Any] = []
    for name in _COUNTED[:-1]:
        if number := getattr(counts, name):
            pairs += (name, number)
    for kind in ("kept", "ended"):
        for status, number in getattr(counts, kind).items():
            if number:
                pairs += (f"{kind}:{status.value}", number)
    return pairs


_COUNTED = ("queued", "running", "queued_unscaled", "held", "scripted", "scripted_scaled", "requeued", "writes")
"""The counts that are one number; the script itself counts the writes."""
