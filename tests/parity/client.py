"""The client of a batch: it hands all jobs in, looks at each when something happens to it, and tells what it saw."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.compat.servers import Command, until
from tests.parity.cases import Case, Handler
from tests.parity.hooks import Hooks
from tests.parity.seen import Normal, Seen

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "GONE")
UNCOUNTED = ("Renewed", "Emitted", "Progressed")
"""Transitions that are told by what came of them: how many chunks share one is the worker's affair."""
QUIET = 40.0
"""Seconds without news, heartbeats aside, after which jobs that are not over never will be."""
LAST_CALLS = 5.0
"""Seconds that webhook calls, and workers that go or come, may take after the last job."""


class Feed:
    """The transitions of a server's jobs, as they happen."""

    def __init__(self, server: Command) -> None:
        self.news: queue.Queue[dict[str, Any]] = queue.Queue()
        self._http = httpx.Client(trust_env=False, timeout=None)
        self._open = threading.Event()
        url = f"{server.root_url}/__emulator/events"
        threading.Thread(target=self._read, args=(url,), daemon=True).start()
        assert self._open.wait(10), "no event feed"

    def _read(self, url: str) -> None:
        try:
            with self._http.stream("GET", url) as answer:
                self._open.set()
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        self.news.put(json.loads(line.removeprefix("data:")))
        except (httpx.HTTPError, RuntimeError):  # the server, or this test, is over
            pass


@dataclass
class Job:
    """One job, and what was seen of it so far."""

    endpoint: str
    handler: Handler
    name: str
    case: Case
    gate: Path
    id: str = ""
    looks: int = 0
    bodies: list[str] = field(default_factory=list)
    stream: list[str] = field(default_factory=list)


class Client:
    """RunningScripts the cases of some endpoints on one server."""

    def __init__(self, server: Command, receiver: Hooks, folder: Path) -> None:
        self._server = server
        self._hooks = receiver
        self._folder = folder
        self._feed = Feed(server)
        self._jobs: dict[str, Job] = {}
        self._admin = httpx.Client(base_url=f"{server.root_url}/__emulator", trust_env=False, timeout=30)

    def submit(self, endpoint: str, handler: Handler) -> None:
        """Hand in every case of a handler."""
        for name, case in handler.all.items():
            gate = self._folder / f"{endpoint}-{name.replace(' ', '-').replace('/', '-')}"
            job = Job(endpoint, handler, name, case, gate)
            given = {"case": name, "gate": str(gate), **case.input}
            body = {"input": given, "webhook": self._webhook(job), **case.request}
            text = json.dumps(body)
            answer = self._server.http.post(
                f"/{endpoint}/run", content=text, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 200, (endpoint, name, answer.text)
            job.id = answer.json()["id"]
            self._jobs[job.id] = job

    def follow(self, limit: float) -> None:
        """Do what the cases want until every job is over, nothing happens any more, or the time is over."""
        latest = time.monotonic() + limit
        quiet = time.monotonic() + QUIET
        pending = set(self._jobs)
        while pending and time.monotonic() < min(quiet, latest):
            try:
                news = self._feed.news.get(timeout=1)
            except queue.Empty:
                continue
            job = self._jobs.get(news["id"])
            if job is None or news["event"] == "Renewed":
                continue
            quiet = time.monotonic() + QUIET
            if news["event"] in ("Progressed", "Emitted"):
                self._look(job, news["event"])
            if news["status"] in TERMINAL:
                pending.discard(job.id)

    def _look(self, job: Job, event: str) -> None:
        if event == "Progressed":
            job.bodies.append(self._status(job))
        if job.case.client == "stream":
            job.stream.append(self._get(f"/{job.endpoint}/stream/{job.id}"))
        if job.case.client == "cancel" and not job.looks:
            self._server.http.post(f"/{job.endpoint}/cancel/{job.id}")
        job.looks += 1
        job.gate.with_name(f"{job.gate.name}.{job.looks}").touch()

    def seen(self) -> dict[tuple[str, str], Seen]:
        """What was seen of each job, by endpoint and case."""
        paths = {self._path(job) for job in self._jobs.values()}
        _patiently(lambda: paths <= self._hooks.bodies.keys())
        records = {job.id: self._record(job) for job in self._jobs.values()}
        fresh = self._first_takes(records)
        return {
            (job.endpoint, job.name): self._seen(job, records[job.id]["transitions"], fresh)
            for job in self._jobs.values()
        }

    def _seen(self, job: Job, transitions: list[dict[str, Any]], fresh: set[tuple[str, int]]) -> Seen:
        workers = {moment["worker"] for moment in transitions if moment["worker"]}
        normal = Normal(job.endpoint, job.handler.name, job.id, workers)
        bodies = [*job.bodies, self._status(job)]
        stream = list(job.stream)
        if transitions[-1]["status"] in TERMINAL:  # /stream of any other is held for seconds
            stream.append(self._get(f"/{job.endpoint}/stream/{job.id}"))
        return Seen(
            states=" ".join(
                moment["event"] + ("(fresh)" if (job.id, at) in fresh else "")
                for at, moment in enumerate(transitions)
                if moment["event"] not in UNCOUNTED
            ),
            bodies=tuple(map(normal, bodies)),
            stream=tuple(map(normal, stream)),
            hooks=tuple(map(normal, self._hooks.bodies.get(self._path(job), ()))),
        )

    def health(self, pairs: list[tuple[str, str]]) -> dict[str, str]:
        """The counters of each endpoint, once those of a pair agree or have had the time to."""
        _patiently(lambda: all(self._health(one) == self._health(other) for one, other in pairs))
        return {endpoint: self._health(endpoint) for pair in pairs for endpoint in pair}

    def _health(self, endpoint: str) -> str:
        return self._get(f"/{endpoint}/health")

    def _first_takes(self, records: dict[str, dict[str, Any]]) -> set[tuple[str, int]]:
        """Job and position of each take by a worker that had taken nothing before."""
        takes = [
            (moment["at"], job, at, moment["worker"])
            for job, record in records.items()
            for at, moment in enumerate(record["transitions"])
            if moment["event"] == "Taken"
        ]
        known: Counter[str] = Counter()
        fresh = set()
        for _, job, at, worker in sorted(takes, key=lambda take: take[0]):  # of one moment: as they were handed in
            known[worker] += 1
            if known[worker] == 1:
                fresh.add((job, at))
        return fresh

    def _status(self, job: Job) -> str:
        return self._get(f"/{job.endpoint}/status/{job.id}")

    def _get(self, path: str) -> str:
        answer = self._server.http.get(path)
        return answer.content.decode("utf-8", "backslashreplace") if answer.status_code == 200 else str(answer)

    def _record(self, job: Job) -> dict[str, Any]:
        record: dict[str, Any] = self._admin.get(f"/jobs/{job.id}").json()
        return record

    def _path(self, job: Job) -> str:
        return f"/{job.endpoint}/{job.gate.name}"

    def _webhook(self, job: Job) -> str:
        return self._hooks.url + self._path(job)


def _patiently(condition: Any) -> None:
    """Wait for something that may never come true: then the comparison says so."""
    with contextlib.suppress(AssertionError):
        until(condition, LAST_CALLS)
