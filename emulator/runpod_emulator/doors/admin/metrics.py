"""Numbers of one world for Prometheus, made when they are asked for, of what is counted anyway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from runpod_emulator import __version__
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.jobs.store import Counts
from runpod_emulator.core.records.tally import Histogram, Tally
from runpod_emulator.doors.admin.listings import MOST, jobs_of
from runpod_emulator.doors.admin.questions import mode
from runpod_emulator.doors.admin.state import Chosen
from runpod_emulator.mocking.openai import LazyModel
from runpod_emulator.world.world import World

if TYPE_CHECKING:
    from prometheus_client.core import Metric

router = APIRouter(tags=["what happened"])
PREFIX = "runpod_emulator"
Row = tuple[list[str], float]


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(world: Chosen, request: Request) -> PlainTextResponse:
    """The numbers of this world as Prometheus reads them.

    Requests, calls and durations are counted from the first time on that this is asked, with what is remembered then.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    tally = await tally_of(world, request.app.state.tallies)
    families = [*_facts(world), *await _jobs(world), *_workers(world), *_counted(world, tally), *_models(world)]
    registry = CollectorRegistry()
    registry.register(_Ready(families))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return PlainTextResponse(encode(registry), media_type=content_type)


async def tally_of(world: World, known: WeakKeyDictionary[World, Tally]) -> Tally:
    """What is counted in this world, from the first time on that somebody asks."""
    if world in known:
        return known[world]
    jobs, _ = await jobs_of(world, None, None, 0, MOST, _has_ended)
    if world not in known:  # nobody was faster
        known[world] = Tally(lambda endpoint: endpoint in world.endpoints, world.journal, world.attempts, jobs)
        world.news.tell([known[world]])
    return known[world]


def _has_ended(job: Job) -> bool:
    return job.ended_at is not None


class _Ready:
    """The collector of numbers that are there already: what they are made of is asked for in coroutines."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def _gauge(name: str, about: str, labels: list[str], rows: Iterable[Row]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _counter(name: str, about: str, labels: list[str], rows: Iterable[Row]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"{PREFIX}_{name}", about, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _histogram(name: str, about: str, found: dict[str, Histogram], world: World) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"{PREFIX}_{name}", about, labels=["endpoint"])
    for endpoint, one in found.items():
        family.add_metric([world.masks.text(endpoint)], one.rows(), one.seconds)
    return family


def _facts(world: World) -> Iterator[Metric]:
    about = [__version__, mode(world)]
    yield _gauge("info", "The emulator itself", ["version", "clock"], [(about, 1)])


async def _jobs(world: World) -> list[Metric]:
    counts = {world.masks.text(name): await world.store.counts(name) for name in world.endpoints.queues}
    now = world.timeline.now()
    ages: list[Row] = []
    for name in world.endpoints.queues:
        for first in await world.store.queued(name, 1):
            with contextlib.suppress(JobNotFound):
                oldest = await world.store.get(name, first)
                ages.append(([world.masks.text(name)], (now - oldest.submitted_at) / 1000))
    return [
        _gauge("jobs", "Jobs that there are, by their state", ["endpoint", "status"], _by_status(counts, "now")),
        _counter("jobs_ended", "Jobs that have ended", ["endpoint", "status"], _by_status(counts, "ended")),
        _counter("jobs_requeued", "Jobs of lost workers that were put back", ["endpoint"], (
            ([name], one.requeued) for name, one in counts.items()
        )),
        _gauge("queue_jobs", "Jobs that wait", ["endpoint"], (([name], one.queued) for name, one in counts.items())),
        _gauge("queue_oldest_seconds", "How long the first job in the queue has waited", ["endpoint"], ages),
    ]  # fmt: skip


def _by_status(counts: dict[str, Counts], which: str) -> Iterator[Row]:
    for name, one in counts.items():
        for status, number in getattr(one, which).items():
            if which == "now" or status.terminal:
                yield [name, status.value], number


def _workers(world: World) -> Iterator[Metric]:
    states: list[Row] = []
    most: list[Row] = []
    for endpoint_id, endpoint in world.endpoints.items():
        name, found = world.masks.text(endpoint_id), [one.state for one in endpoint.fleet.workers.values()]
        states += [([name, state.value], found.count(state)) for state in WorkerState]
        most.append(([name], endpoint.settings.workers_max))
    yield _gauge("workers", "Workers by their state", ["endpoint", "state"], states)
    yield _gauge("workers_max", "Workers that there may be", ["endpoint"], most)


def _counted(world: World, tally: Tally) -> Iterator[Metric]:
    shown = world.masks.text
    asked = (
        ([shown(name), operation, str(status)], count) for (name, operation, status), count in tally.requests.items()
    )
    called = (([shown(name), outcome], count) for (name, outcome), count in tally.calls.items())
    labels = ["endpoint", "operation", "status"]
    yield _counter("requests", "Requests of clients, by what they asked for and how they were answered", labels, asked)
    yield _counter("webhook_calls", "Webhook calls by their outcome", ["endpoint", "outcome"], called)
    yield _histogram("job_delay_seconds", "From a job's submission until a worker had it", tally.delays, world)
    yield _histogram("job_run_seconds", "How long the last worker worked on a job", tally.runs, world)


def _models(world: World) -> Iterable[Metric]:
    """Under vLLM's own names, the numbers of each endpoint whose model has been asked anything."""
    from prometheus_client.core import Metric

    shown = world.masks.text
    found: dict[str, Metric] = {}
    for name, queue in world.endpoints.queues.items():
        model = queue.scripts.model.known if isinstance(queue.scripts.model, LazyModel) else None
        if model is None:
            continue
        for metric in model.meter.look(model.name, queue.scripts.waiting()).collect():
            family = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                labels = {"endpoint": name, **sample.labels}
                texts = {label: shown(text) for label, text in labels.items()}
                family.add_sample(sample.name, texts, sample.value)
    return found.values()
