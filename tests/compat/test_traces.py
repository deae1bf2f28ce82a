"""Traces of a live server, at a small collector: what an unmodified handler with OpenTelemetry takes part in."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.compat.sdk_workers import python_command
from tests.compat.servers import Starter, commands, until

pytestmark = pytest.mark.compat
proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
proto_status = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2").Status

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PLAIN_HANDLER = """
    import runpod
    runpod.serverless.start({"handler": lambda job: sorted(job)})
"""
TRACED_HANDLER = """
    import runpod
    from opentelemetry import trace

    def handler(job):
        context = trace.get_current_span().get_span_context()
        return [f"{context.trace_id:032x}", f"{context.span_id:016x}", sorted(job)]

    runpod.serverless.start({"handler": handler})
"""


BROKEN_HANDLER = """
    import runpod

    def handler(job):
        raise ValueError("no luck")

    runpod.serverless.start({"handler": handler})
"""


class Collector:
    """Takes what is exported, and webhook calls."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.contexts: list[str] = []
        self.refused = 0
        """How many webhook calls are still to be refused."""
        collector = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 200
                if self.path == "/v1/traces":
                    collector.take(body)
                else:
                    collector.contexts.append(self.headers["traceparent"])
                    collector.refused, status = max(0, collector.refused - 1), 500 if collector.refused else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> None:
        for group in proto.ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({one.key: one.value.string_value for one in group.resource.attributes})
            self.spans += [span for scope in group.scope_spans for span in scope.spans]

    def ids(self, name: str) -> list[str]:
        return [span.span_id.hex() for span in self.spans if span.name == name]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as starter:
        yield starter


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def handler(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(textwrap.dedent(text))
    return file


@pytest.mark.parametrize("by_option", [False, True])
def test_a_trace_from_client_to_handler_to_webhook(
    start: Starter, collector: Collector, tmp_path: Path, by_option: bool
):
    told = ["--otel", collector.url] if by_option else []
    variables = {} if by_option else {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    files = handler(tmp_path, "plain", PLAIN_HANDLER), handler(tmp_path, "traced", TRACED_HANDLER)
    server = start("serve", *files, "--port", 0, *told, **variables).ready()

    def ask(endpoint: str) -> Any:
        url = f"{server.base_url}/{endpoint}/runsync"
        body = {"input": {"a": 1}, "webhook": f"{collector.url}/hook"}
        return server.http.post(url, json=body, headers={"traceparent": PARENT}).json()

    trace_id, span_id, members = ask("traced")["output"]
    assert trace_id == PARENT.split("-")[1]
    assert ask("plain")["output"] == members, "a job looks alike to all"
    until(lambda: len(collector.contexts) >= 2)
    assert server.stop() == 0
    assert span_id in collector.ids("run")
    assert {context.split("-")[2] for context in collector.contexts} <= set(collector.ids("webhook"))
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id}
    assert {"job traced", "job plain", "queued", "run", "webhook"} <= {span.name for span in collector.spans}
    assert collector.resources[0]["service.name"] == "runpod-emulator"
    assert "Traceback" not in server.err.whole()


def test_failures_of_the_official_worker_and_their_retries_are_traced(
    start: Starter, collector: Collector, tmp_path: Path
):
    file = handler(tmp_path, "broken", BROKEN_HANDLER)
    told = ["--otel", collector.url, "--set", "webhook_retry_delays=[50]"]
    server = start("serve", "--command", f"broken={python_command(file)}", "--port", 0, *told).ready()
    collector.refused = 1
    body = {"input": {"a": 1}, "webhook": f"{collector.url}/hook"}
    job = server.http.post(f"{server.base_url}/broken/run", json=body, headers={"traceparent": PARENT}).json()["id"]
    until(lambda: len(collector.contexts) >= 2, 30)
    assert server.http.post(f"{server.base_url}/broken/retry/{job}").status_code == 200
    until(lambda: len(collector.contexts) >= 3, 30)
    assert server.stop() == 0
    jobs = [span for span in collector.spans if span.name == "job broken"]
    assert [(span.status.code, "no luck" in span.status.message, len(span.links)) for span in jobs] == [
        (proto_status.STATUS_CODE_ERROR, True, 0), (proto_status.STATUS_CODE_ERROR, True, 1),
    ]  # fmt: skip
    assert jobs[1].links[0].span_id == jobs[0].span_id
    calls = [(span.parent_span_id, span.status.code) for span in collector.spans if span.name == "webhook"]
    assert calls == [
        (jobs[0].span_id, proto_status.STATUS_CODE_ERROR), (jobs[0].span_id, proto_status.STATUS_CODE_UNSET),
        (jobs[1].span_id, proto_status.STATUS_CODE_UNSET),
    ]  # fmt: skip
    assert len([span for span in collector.spans if span.name == "run"]) == 2


def test_a_collector_that_is_away_stops_nothing(start: Starter, tmp_path: Path):
    file = handler(tmp_path, "plain", PLAIN_HANDLER)
    server = start("serve", file, "--port", 0, "--otel", "http://127.0.0.1:9").ready()
    assert (
        server.http.post(f"{server.base_url}/plain/runsync", json={"input": {"a": 1}}).json()["status"] == "COMPLETED"
    )
    assert server.stop() == 0
