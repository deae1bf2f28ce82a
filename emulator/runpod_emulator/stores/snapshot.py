"""All that the store of one process keeps, as it was in one step; and its jobs and deliveries as rows of JSON.

What clients and workers have sent is JSON text, and stands in the rows as a text: whoever reads it has the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.stores.records import Texts, job_of, job_values

Row = list[Any]


class Shelf(NamedTuple):
    """One endpoint's jobs, those that came first being the first, and what no job's record says."""

    endpoint: str
    jobs: Sequence[Job]
    chunks: Mapping[str, Sequence[bytes]] = MappingProxyType({})
    """By job: those that no reader has taken."""
    taken: Mapping[str, int] = MappingProxyType({})
    """By job: how many chunks of its present run readers have taken."""
    ended: Mapping[JobStatus, int] = MappingProxyType({})
    """How many jobs have ever come to each end."""
    requeued: int = 0
    """How many lost workers' jobs have ever been put back."""


class Contents(NamedTuple):
    """A whole store."""

    places: int
    """The highest queue rank that was given so far."""
    shelves: Sequence[Shelf]
    deliveries: Sequence[Delivery]


NOTHING = Contents(0, (), ())


def text_of(data: bytes | None) -> Any:
    """JSON text as JSON can hold it; what is no UTF-8, which a worker may have sent, as a list with its characters."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return [data.decode("latin-1")]


def bytes_of(text: Any) -> bytes:
    """The bytes of which `text_of` has made this; raises ValueError or TypeError for anything else."""
    if isinstance(text, str):
        return text.encode()
    (characters,) = text
    if not isinstance(characters, str):
        raise TypeError("a text is expected")
    return characters.encode("latin-1")


def job_row(job: Job) -> Row:
    """A job with its texts."""
    row = job_values(job)
    row[_INPUT], row[_OUTPUT], row[_S3] = text_of(job.input), text_of(job.output), text_of(job.s3_config)
    return row


def job_in(row: Sequence[Any]) -> Job:
    """The job of a row; raises ValueError or TypeError for anything else."""
    texts = Texts(bytes_of(row[_INPUT]), _maybe(row[_OUTPUT]), _maybe(row[_S3]))
    return msgspec.convert(tuple(job_of(list(row), texts)), Job, builtin_types=(bytes,))


def delivery_row(delivery: Delivery) -> Row:
    """A delivery with its body."""
    row: Row = list(delivery)
    row[_BODY], row[_STATUS] = text_of(delivery.body), delivery.status.value
    return row


def delivery_in(row: Sequence[Any]) -> Delivery:
    """The delivery of a row; raises ValueError or TypeError for anything else."""
    values = list(row)
    values[_BODY], values[_STATUS] = bytes_of(values[_BODY]), DeliveryStatus(values[_STATUS])
    return msgspec.convert(tuple(values), Delivery, builtin_types=(bytes,))


def shelf_row(shelf: Shelf) -> dict[str, Any]:
    """What a shelf says beside its jobs and their chunks."""
    ended = {status.value: count for status, count in shelf.ended.items() if count}
    return {"id": shelf.endpoint, "ended": ended, "requeued": shelf.requeued}


def chunk_rows(shelves: Iterable[Shelf], shown: Callable[[bytes], bytes]) -> Iterator[Row]:
    """Endpoint, job, how many chunks were taken, and what is `shown` of others, of each job with a stream."""
    for shelf in shelves:
        for job in dict.fromkeys((*shelf.chunks, *shelf.taken)):
            yield [
                shelf.endpoint,
                job,
                shelf.taken.get(job, 0),
                [text_of(shown(one)) for one in shelf.chunks.get(job, ())],
            ]


def shelves_in(endpoints: Iterable[Mapping[str, Any]], jobs: Iterable[Job], chunks: Iterable[Row]) -> list[Shelf]:
    """The shelves of these rows; raises ValueError, TypeError or KeyError for what does not fit together."""
    found = {row["id"]: _empty(row) for row in endpoints}
    there: dict[str, list[Job]] = {name: [] for name in found}
    for job in jobs:
        there[job.endpoint].append(job)
    unread: dict[str, dict[str, list[bytes]]] = {name: {} for name in found}
    read: dict[str, dict[str, int]] = {name: {} for name in found}
    for endpoint, job_id, taken, texts in chunks:
        if texts:
            unread[endpoint][job_id] = list(map(bytes_of, texts))
        if taken:
            read[endpoint][job_id] = int(taken)
    for name, several in there.items():
        if len({job.id for job in several}) < len(several):
            raise ValueError(f"two jobs of endpoint {name} have the same id")
    return [shelf._replace(jobs=there[name], chunks=unread[name], taken=read[name]) for name, shelf in found.items()]


def _empty(row: Mapping[str, Any]) -> Shelf:
    ended = {JobStatus(name): int(count) for name, count in row["ended"].items()}
    return Shelf(str(row["id"]), (), ended=ended, requeued=int(row["requeued"]))


def _maybe(text: Any) -> bytes | None:
    return None if text is None else bytes_of(text)


_INPUT, _OUTPUT, _S3 = (Job._fields.index(name) for name in Texts._fields)
_BODY, _STATUS = Delivery._fields.index("body"), Delivery._fields.index("status")
