"""Numbers for Prometheus: what is counted, by which labels, and that nobody makes series without end."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from runpod_emulator import __version__
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.settings import default_settings
from runpod_emulator.http.access import Access
from runpod_emulator.mocking.openai import LazyModel

from tests.core.steps import turns
from tests.doors.doors import Doors, Visit, open_doors
from tests.worlds import RecordingPost, make_world

HOOK = "http://127.0.0.1:9/hook"
PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
DASHBOARD = Path(__file__).parents[3] / "docker" / "grafana-dashboard.json"
Series = dict[tuple[str, str], float]


class Numbers(Doors):
    """The metrics of one world."""

    async def text(self, **headers: str) -> str:
        answer = await self.http.get("/__emulator/metrics", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def series(self) -> Series:
        """Each sample by its name, and its labels in short."""
        families = text_string_to_metric_families(await self.text())
        return {
            (sample.name.removeprefix("runpod_emulator_"), ",".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
async def it() -> AsyncIterator[Numbers]:
    numbers = Numbers(make_world(post=RecordingPost(lambda url, body: "refused"), webhook_retry_delays=(5,)), Access())
    yield numbers
    await numbers.world.emulator.stop()


async def some_life(it: Numbers) -> None:
    """A job that waits 2 s and takes 3 s, one that fails at once, one that waits; and requests that are refused."""
    await it.world.endpoint.submit(Submission(b"{}", webhook=HOOK))
    await it.world.advance(2_000)
    job = await it.take()
    await it.world.advance(3_000)
    await it.complete(job)
    await turns()
    await it.failed()
    await it.submit()
    await it.get("/status/nobody")
    await it.http.get("/v2/unknown/health")


@pytest.mark.parametrize("asked_before", [False, True])
async def test_what_is_counted(it: Numbers, asked_before: bool):
    if asked_before:
        await it.series()
    await some_life(it)
    found = await it.series()
    expected = {
        ("jobs", "ep,IN_QUEUE"): 1, ("jobs", "ep,COMPLETED"): 1, ("jobs", "ep,FAILED"): 1, ("jobs", "ep,TIMED_OUT"): 0,
        ("jobs_ended_total", "ep,COMPLETED"): 1, ("jobs_ended_total", "ep,CANCELLED"): 0, ("queue_jobs", "ep"): 1,
        ("queue_oldest_seconds", "ep"): 0, ("jobs_requeued_total", "ep"): 0, ("workers", "ep,unhealthy"): 0,
        ("workers_max", "ep"): 3,
        ("requests_total", "ep,run,200"): 2, ("requests_total", "ep,status,404"): 1,
        ("requests_total", ",health,404"): 1, ("webhook_calls_total", "ep,failed"): 1,
        ("job_delay_seconds_count", "ep"): 2, ("job_delay_seconds_sum", "ep"): 2,
        ("job_delay_seconds_bucket", "ep,1.0"): 1, ("job_delay_seconds_bucket", "ep,2.5"): 2,
        ("job_run_seconds_sum", "ep"): 3, ("job_run_seconds_bucket", "ep,+Inf"): 2,
        ("info", f"virtual,{__version__}"): 1,
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected
    assert sum(value for (name, _), value in found.items() if name == "workers") == len(it.world.endpoint.fleet.workers)
    assert found["process_resident_memory_bytes", ""] > 0


async def test_nobody_makes_series_without_end(it: Numbers):
    await it.series()
    for number in range(50):
        await it.http.get(f"/v2/unknown-{number}/health")
        await it.http.get(f"/v2/ep/no-such-verb-{number}")
    found = {labels: value for (name, labels), value in (await it.series()).items() if name == "requests_total"}
    assert found == {",health,404": 50, "ep,,404": 50}


async def test_a_reset_and_the_end_of_an_endpoint_end_series(it: Numbers):
    await some_life(it)
    assert ("job_run_seconds_count", "ep") in await it.series()
    await it.world.emulator.reset()
    after = await it.series()
    assert not [key for key in after if key[0].startswith(("requests", "job_", "webhook"))]
    await it.submit()
    await it.world.emulator.endpoints.remove("ep")
    assert not [key for key in await it.series() if key[1].startswith("ep")]


async def test_nothing_is_counted_until_somebody_asks(it: Numbers):
    before = len(it.world.emulator.news.answered)
    await it.series()
    await it.series()
    assert len(it.world.emulator.news.answered) == before + 1


async def test_whoever_speaks_openmetrics_gets_that(it: Numbers):
    await some_life(it)
    text = await it.text(accept="application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in openmetrics(text)}
    assert text.endswith("# EOF\n")
    assert families["runpod_emulator_requests"] == "counter"
    assert families["runpod_emulator_job_delay_seconds"] == "histogram"


async def test_a_model_tells_its_numbers_under_the_names_of_vllm(it: Numbers):
    asked = b'{"openai_route":"/v1/completions","openai_input":{"prompt":"one two","model":"tiny"}}'
    platform, endpoints = it.world.emulator.platform, it.world.emulator.endpoints
    for name in ("first", "second", "silent"):
        endpoints.add_mock(default_settings(name, platform), 1, LazyModel(ModelSettings()))
    assert "vllm:" not in await it.text()
    for name in ("first", "second"):
        endpoint = endpoints.queue(name)
        endpoint.workforce.begin()
        await endpoint.submit(Submission(asked))
    await it.world.emulator.timeline.settle()
    series = await it.series()
    found = {labels: number for (name, labels), number in series.items() if name == "vllm:generation_tokens_total"}
    assert found == {"first,tiny": 16, "second,tiny": 16}
    assert series["vllm:num_requests_running", "first,tiny"] == 0


async def test_a_server_with_an_admin_key_tells_numbers_to_those_who_have_it():
    doors = open_doors(key=None)
    doors.app.state.admin_access = Access(keys=frozenset({"adm"}))
    refused = await doors.http.get("/__emulator/metrics")
    told = await doors.http.get("/__emulator/metrics", headers={"authorization": "Bearer adm"})
    assert (refused.status_code, told.status_code) == (401, 200)
    stranger = Visit(doors, "GET", "/__emulator/metrics", headers={"host": "evil.example"})
    await stranger.task
    assert stranger.status == 401


async def test_the_page_tells_each_number_and_its_labels(it: Numbers):
    await some_life(it)
    told = {
        name.removesuffix("_total"): set(labels.split(", "))
        for name, labels in re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", PAGE.read_text(), re.MULTILINE)
    }
    there: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(await it.text()):
        if family.name.startswith("runpod_emulator_"):
            name = family.name.removeprefix("runpod_emulator_")
            there[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert told == there


async def test_each_query_of_the_dashboard_names_numbers_that_there_are(it: Numbers):
    await some_life(it)
    names = {f"runpod_emulator_{name}" for name, _ in await it.series()} | {name for name, _ in await it.series()}
    panels: list[Any] = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(queries) >= 8
    asked = {name for query in queries for name in re.findall(r"\b(?:runpod_emulator|process)_\w+", query)}
    assert asked <= names
    counted = {name.removesuffix("_bucket").removesuffix("_total") for name in asked}
    assert {f"runpod_emulator_{name}" for name in (
        "jobs", "queue_jobs", "job_delay_seconds", "job_run_seconds", "workers", "webhook_calls", "requests"
    )} <= counted  # fmt: skip


def test_the_dashboard_counts_jobs_once_that_several_emulators_tell_of() -> None:
    panels: list[Any] = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    shared = [query for query in queries if re.search(r"runpod_emulator_(jobs|queue_|workers_max)", query)]
    assert len(shared) == 8
    assert [query for query in shared if not re.search(r"\bmax(?: by \([a-z, ]+\) )?\(", query)] == []
