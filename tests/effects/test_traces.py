"""A trace of each job: which spans there are, when, below what, and who is handed the context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed
from runpod_emulator.core.jobs.tracing import parent_in
from runpod_emulator.core.settings import Span, default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.effects.own_post import call_headers
from runpod_emulator.http import wire
from runpod_emulator.world.world import World

from tests.core.steps import turns
from tests.tables import table
from tests.worlds import RecordingLauncher, RecordingPost, TestWorld

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

HOOK = "http://127.0.0.1:9/hook?token=abcdefghijklmnop"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MS = 1_000_000


class Traced(TestWorld):
    """A world whose spans a test reads, and the headers of its webhook calls."""

    spans: InMemorySpanExporter
    sent: list[str]

    def finished(self) -> dict[str, Any]:
        """The spans that are over, by their names; of several the last."""
        return {span.name: span for span in self.spans.get_finished_spans()}

    def all(self, name: str) -> list[Any]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]


class TracedPost(RecordingPost):
    """Writes down the context of each call."""

    def __init__(self, answer: Any) -> None:
        super().__init__(answer)
        self.traces: list[str] = []

    async def send(self, url: str, body: bytes) -> str:
        self.traces.append(call_headers()["traceparent"])
        return await super().send(url, body)


def traced(answer: Any = lambda url, body: "", **settings: Any) -> Traced:
    from runpod_emulator.core.platform import preset

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    platform, post, launcher = (
        preset("observed", webhook_retry_delays=(1_000,)),
        TracedPost(answer),
        RecordingLauncher(),
    )
    clock = VirtualClock()
    world = World(platform, wire.webhook_body, clock=clock, post=post, seed=1, tracer=provider.get_tracer("test"))
    endpoint = world.endpoints.add(default_settings("ep", platform, **settings), launcher.launch)
    it = Traced(world, endpoint, launcher, post, clock)
    it.spans, it.sent = exporter, post.traces
    return it


@pytest.fixture
async def it() -> AsyncIterator[Traced]:
    world = traced(cold_start=Span(3_000, 3_000))
    yield world
    await world.emulator.stop()


async def test_a_life_from_submission_to_webhook(it: Traced):
    begin = it.emulator.timeline.now() + it.emulator.timeline.drift()
    submission = Submission(b'{"a":1}', webhook=HOOK, headers=[(b"traceparent", PARENT.encode())])
    job = await it.endpoint.submit(submission)
    await it.advance(3_000)
    worker = it.launcher.started[-1]
    await it.endpoint.work.worker_ready(worker, 1)
    await it.advance(500)
    (taken,) = await it.take(worker)
    assert it.emulator._traces is not None
    context = it.emulator._traces.of_run(taken)
    await it.endpoint.work.report(job.id, Emitted(taken.lease, (b"1", b"2")))
    await it.advance(1_000)
    await it.endpoint.work.report(job.id, Completed(taken.lease, b"1"))
    await turns()
    spans = it.finished()
    root = spans["job ep"]
    assert {name: ((one.start_time // MS) - begin, (one.end_time // MS) - begin) for name, one in spans.items()} == {
        "job ep": (0, 4_500), "queued": (0, 3_500), "cold start": (0, 3_000), "run": (3_500, 4_500),
        "webhook": (4_500, 4_500),
    }  # fmt: skip
    parents = {name: one.parent.span_id for name, one in spans.items()}
    assert f"{parents.pop('job ep'):016x}" == PARENT.split("-")[2]
    assert parents.pop("cold start") == spans["queued"].context.span_id
    assert set(parents.values()) == {root.context.span_id}
    assert {f"{one.context.trace_id:032x}" for one in spans.values()} == {PARENT.split("-")[1]}
    assert dict(root.attributes) == {
        "runpod.endpoint.id": "ep", "runpod.job.id": job.id, "runpod.job.status": "COMPLETED",
    }  # fmt: skip
    assert context.split("-")[1:3] == [PARENT.split("-")[1], f"{spans['run'].context.span_id:016x}"]
    assert [(one.name, dict(one.attributes)) for one in spans["run"].events] == [("chunks", {"runpod.chunks": 2})]
    assert it.sent == [f"00-{PARENT.split('-')[1]}-{spans['webhook'].context.span_id:016x}-01"]
    assert spans["webhook"].attributes["url.full"] == HOOK.replace("abcdefghijkl", "****")
    assert not it.emulator._traces._lives


async def test_a_lost_worker_a_failure_and_a_retry():
    it = traced()
    worker, job = await it.running(Submission(b'{"a":1}', webhook=HOOK))
    await it.endpoint.work.worker_gone(worker)
    (again,) = await it.take(await it.worker())
    await it.endpoint.work.report(job.id, Failed("key=abcdefghijklmnop", None, again.lease))
    first = it.finished()["job ep"]
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "key=****mnop")
    assert [one.status.description for one in it.all("run")] == ["the worker was lost", "key=****mnop"]
    assert len(it.all("queued")) == 2
    await turns()
    assert len(it.sent) == 1, "its webhook is over before it is retried"
    await it.endpoint.retry(job.id)
    await it.endpoint.cancel(job.id)
    second = it.finished()["job ep"]
    assert second.context.trace_id != first.context.trace_id
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert (second.attributes["runpod.job.status"], second.status.status_code) == ("CANCELLED", StatusCode.UNSET)
    await it.emulator.stop()


async def test_each_attempt_of_a_webhook_is_a_span():
    it = traced(lambda url, body: "refused")
    _, job = await it.running(Submission(b'{"a":1}', webhook=HOOK))
    await it.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await turns()
    await it.advance(1_000)
    await turns()
    calls = it.all("webhook")
    assert [one.attributes["runpod.webhook.attempt"] for one in calls] == [1, 2]
    assert {(one.status.status_code, one.status.description) for one in calls} == {(StatusCode.ERROR, "refused")}
    assert len(set(it.sent)) == 2
    assert it.emulator._traces is not None and not it.emulator._traces._lives
    await it.emulator.stop()


async def test_a_reset_ends_what_is_open():
    it = traced()
    await it.running()
    await it.emulator.reset()
    assert set(it.finished()) == {"job ep", "queued", "run"}
    await it.emulator.stop()


@table("given, expected", [
    ([(b"traceparent", PARENT.encode())], PARENT),
    ([(b"accept", b"x"), (b"traceparent", b" " + PARENT.encode())], PARENT),
    ([], ""), ([(b"traceparent", b"")], ""), ([(b"traceparent", b"nonsense")], ""),
    ([(b"traceparent", PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32).encode())], ""),
    ([(b"traceparent", b"ff" + PARENT[2:].encode())], ""), ([(b"traceparent", PARENT.encode() + b"\n\x00")], ""),
])  # fmt: skip
def test_what_is_taken_for_a_context(given: Any, expected: str):
    assert parent_in(given) == expected


async def test_without_a_tracer_nothing_is_kept_and_calls_have_contexts_of_their_own():
    from tests.worlds import make_world

    world = make_world()
    job = await world.endpoint.submit(Submission(b"{}", headers=[(b"traceparent", PARENT.encode())]))
    assert (job.trace, world.emulator._traces) == ("", None)
    first, second = (call_headers()["traceparent"] for _ in range(2))
    assert first != second and first.endswith("-00")
