"""Three servers over one store, six workers, and what may happen to them; and what must be so when all is over.

`light` is served by workers of the servers' own, `sdk` by two official workers and `one` by a single official worker,
each at one server. What happened to each job is read from the store's own news, not asked of the servers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import redis
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.stores.redis.transitions import transition_read
from runpod_emulator.workers.environment import worker_environment

from tests.compat.sdk_workers import Calls, receiver
from tests.compat.servers import LIMIT, Command, Starter, commands
from tests.plain import PLAIN
from tests.stores.servers import StoreServer
from tests.workers.processes import Family

HANDLER = """
import time
import runpod


def handler(job):
    time.sleep(job["input"]["seconds"])
    return {"number": job["input"]["number"]}


runpod.serverless.start({"handler": handler})
"""
LEASE, PING = 4_000, 500
"""Milliseconds: a lost worker's job is back soon, and a living one says so often enough."""
ENDPOINTS = {"light": 0.9, "sdk": 0.07, "one": 0.03}
"""The part of the jobs that each gets: an official worker does less than one a second."""
PATIENCE = 60.0
"""Seconds without any end after which what has not ended counts as lost."""
PREFIX = "chaos"


class News:
    """Every transition, as the store's streams tell it, by job and in order."""

    def __init__(self, port: int) -> None:
        self.all: dict[str, list[Transition]] = {endpoint: [] for endpoint in ENDPOINTS}
        self.ends: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.gaps = 0
        """Pieces that were never seen: then nothing can be said."""
        self._port = port
        self._last = dict.fromkeys(ENDPOINTS, 0)
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._over = True
        self._thread.join(LIMIT)

    def _read(self) -> None:
        while not self._over:
            with suppress(redis.RedisError, OSError):
                client = redis.Redis(port=self._port, socket_timeout=5)
                while not self._over:
                    keys = {f"{PREFIX}:{{{name}}}:news": f"{number}-0" for name, number in self._last.items()}
                    for key, entries in client.xread(keys, 1_000, 500):  # type: ignore[arg-type,union-attr]
                        self._heard(key.decode().partition("{")[2].partition("}")[0], entries)
            time.sleep(0.05)

    def _heard(self, endpoint: str, entries: list[Any]) -> None:
        for name, fields in entries:
            number = int(name.partition(b"-")[0])
            self.gaps += number - self._last[endpoint] - 1
            self._last[endpoint] = number
            if b"m" not in fields:  # of workers
                continue
            transition = transition_read(fields)
            self.all[endpoint].append(transition)
            self.ends[transition.job.id] += transition.ended
            self.runs[transition.job.id] += type(transition.event).__name__ == "Taken"

    def out_of_order(self, endpoint: str) -> list[str]:
        """Jobs that were taken while one waited that had come before, and that nobody had put back since."""
        waiting: dict[str, int] = {}
        wrong: list[str] = []
        for transition in self.all[endpoint]:
            job, kind = transition.job, type(transition.event).__name__
            waiting.pop(job.id, None)
            if kind == "Submitted":
                waiting[job.id] = job.place
            elif kind == "Taken" and any(place < job.place for place in waiting.values()):
                wrong.append(job.id)
        return wrong

    def negative(self) -> list[str]:
        """Jobs that began before they came, or ended before they began."""
        return [
            one.job.id
            for heard in self.all.values()
            for one in heard
            if (one.job.taken_at or one.job.submitted_at) < one.job.submitted_at
            or (one.ended and (one.job.ended_at or 0) < (one.job.taken_at or 0))
        ]


class Cluster:
    """The servers, the workers and the store's server."""

    def __init__(self, start: Starter, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = StoreServer("--appendonly", "yes", "--appendfsync", "always")
        self.done: Counter[str] = Counter()
        """How often each thing was done to them."""
        self._start = start
        self._handler = folder / "handler.py"
        self._handler.write_text(HANDLER)
        self._family = Family()
        self.servers = [self._serve(0) for _ in range(3)]
        for server in self.servers:
            server.ready()
        self.urls = [server.root_url for server in self.servers]
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        for number, endpoint in enumerate(("sdk", "sdk", "one")):
            self._work(f"{endpoint}-{number}", endpoint, number)

    def _serve(self, port: int | str) -> Command:
        return self._start(
            "serve", "--endpoint", f"light={self._handler}", "--endpoint", "sdk", "--endpoint", "one", "--store",
            f"{self.store.url}?prefix={PREFIX}", "--port", port, "--workers-min", 1, "--workers-max", 1,
            "--no-rate-limits", "--set", f"worker_lease={LEASE}", "--set", "platform_retries=1000", "--set",
            "worker_poll_hold=2000", "--set", "queue_limit_rule=false", "--log-level", "warning", "--no-reload",
        )  # fmt: skip

    def _work(self, worker: str, endpoint: str, server: int) -> None:
        own = worker_environment(self.urls[server], endpoint, worker, "any-key", "any-key", ping_interval=PING)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        self.workers[worker] = subprocess.Popen(
            [sys.executable, "-u", str(self._handler)],
            env={**environment, **self._family.environment, **own, "RUNPOD_LOG_LEVEL": "INFO"},
            stdin=subprocess.DEVNULL, stdout=(self._handler.parent / f"{worker}.log").open("wb"),
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    # What may happen

    def strike(self) -> None:
        """Let one thing happen; returns when what was taken away is there again."""
        kinds = (
            self.kill_server, self.kill_light_worker, self.kill_official_worker, self.pause_store, self.restart_store,
            self.cut_connections,
        )  # fmt: skip
        kind = self.dice.choice(kinds)
        self.done[kind.__name__] += 1
        kind()

    def kill_server(self) -> None:
        """SIGKILL of a server, and a new one at its port."""
        number = self.dice.randrange(3)
        old = self.servers[number]
        old.process.kill()
        old.process.wait(LIMIT)
        self.servers[number] = self._serve(old.root_url.rpartition(":")[2]).ready()
        old.close()

    def kill_light_worker(self) -> None:
        """SIGKILL of a worker's process of one server."""
        server = self.dice.choice(self.servers)
        own = [pid for pid in server.processes() if pid != server.process.pid]
        if own:
            with suppress(ProcessLookupError):
                os.kill(self.dice.choice(own), signal.SIGKILL)

    def kill_official_worker(self) -> None:
        """SIGKILL of an official worker, and a new one of another name."""
        name = self.dice.choice(sorted(self.workers))
        process = self.workers.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT)
        endpoint, number, *_ = name.split("-")
        self._work(f"{endpoint}-{number}-{sum(self.done.values())}", endpoint, int(number))

    def pause_store(self) -> None:
        """SIGSTOP of the store's server, mostly for less than a command may take."""
        assert self.store.process is not None
        self.store.process.send_signal(signal.SIGSTOP)
        time.sleep(self.dice.choice((0.3, 1.0, 2.0, 7.0)))
        self.store.process.send_signal(signal.SIGCONT)

    def restart_store(self) -> None:
        """SIGKILL of the store's server, and after a while a new one with its file."""
        self.store.stop(hard=True)
        time.sleep(self.dice.choice((0.0, 0.5, 2.0)))
        self.store.start()

    def cut_connections(self) -> None:
        """Every connection to the store's server is cut."""
        with suppress(redis.RedisError):
            client = redis.Redis(port=self.store.port, socket_timeout=5)
            client.client_kill_filter(_type="normal", skipme=True)
            client.close()

    def looked_at(self) -> str:
        """What each server says of itself, for whoever looks for what went wrong."""
        told = [f"; workers {[(name, one.poll()) for name, one in self.workers.items()]}"]
        told += [(self._handler.parent / f"{name}.log").read_text()[-1_500:] for name in self.workers]
        for server in self.servers:
            with suppress(httpx.HTTPError):
                told += [server.http.get(f"/{endpoint}/health").text for endpoint in ENDPOINTS]
            told.append(server.err.text[-4_000:] + server.out.text[-1_000:])
        return "\n".join(told)

    def close(self) -> None:
        """End the workers and the store; the servers are the starter's."""
        for process in self.workers.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LIMIT)
        self._family.kill()
        self.store.close()


class Client(threading.Thread):
    """Hands `count` jobs in at one endpoint, at each server in turn; what is not accepted is handed in anew."""

    def __init__(self, cluster: Cluster, endpoint: str, count: int, webhook: str, pace: float) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []
        self.refused: Counter[str] = Counter()
        """Answers that were none, by what they were."""
        self.longest = 0.0
        """Seconds until a server answered 503."""
        self._cluster, self._endpoint, self._count, self._webhook, self._pace = cluster, endpoint, count, webhook, pace

    def run(self) -> None:
        with httpx.Client(headers={"Authorization": "any-key"}, timeout=LIMIT, **PLAIN) as http:
            turn = 0
            while len(self.accepted) < self._count:
                turn += 1
                began = time.monotonic()
                given = {"seconds": 0.005, "number": len(self.accepted)}
                try:
                    url = f"{self._cluster.urls[turn % 3]}/v2/{self._endpoint}/run"
                    answer = http.post(url, json={"input": given, "webhook": self._webhook})
                except httpx.HTTPError as error:
                    self.refused[type(error).__name__] += 1
                    time.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    self.accepted.append(answer.json()["id"])
                    time.sleep(self._pace)
                    continue
                self.refused[str(answer.status_code)] += 1
                assert answer.headers.get("retry-after") == "1", (answer.status_code, answer.text)
                self.longest = max(self.longest, time.monotonic() - began)
                time.sleep(0.1)


@contextmanager
def cluster(folder: Path, seed: int) -> Iterator[Cluster]:
    """All of it, and nothing left behind."""
    with commands(folder) as start:
        made = Cluster(start, folder, seed)
        try:
            yield made
        finally:
            made.close()


def endure(
    folder: Path, jobs: int, strikes: int, seed: int, limit: float, say: Callable[[str], None] = lambda text: None
) -> str:
    """Run jobs while all kinds of things happen; returns the figures. Asserts that nothing was lost or doubled."""
    began = time.monotonic()
    with cluster(folder, seed) as here, receiver() as calls:
        news = News(here.store.port)
        clients = {
            name: Client(here, name, max(1, round(jobs * part)), calls.url, pace=0.005 / part)
            for name, part in ENDPOINTS.items()
        }
        for client in clients.values():
            client.start()
        while sum(here.done.values()) < strikes or any(client.is_alive() for client in clients.values()):
            time.sleep(here.dice.uniform(0.2, 1.5))
            if sum(here.done.values()) < strikes or strikes > 20:
                here.strike()
                say(f"{time.monotonic() - began:.0f} s: {dict(here.done)}, {sum(map(bool, news.ends.values()))} ended")
            assert time.monotonic() - began < limit, {name: len(one.accepted) for name, one in clients.items()}
        accepted = [job for client in clients.values() for job in client.accepted]
        left = _left(accepted, news, calls)
        news.close()
        figures = (
            f"{len(accepted)} jobs in {time.monotonic() - began:.0f} s, seed {seed}; {dict(here.done)}; "
            f"not accepted {dict(sum((one.refused for one in clients.values()), Counter()))}, "
            f"503 after {max(one.longest for one in clients.values()):.1f} s at most; "
            f"ended twice {[job for job in news.ends if news.ends[job] > 1]}, never {len(left[0])} {left[0][:3]}, "
            f"run more than once {sum(runs > 1 for runs in news.runs.values())}; "
            f"webhooks lost {len(left[1])} {left[1][:3]}, repeated {sum(calls.count[job] > 1 for job in accepted)}; "
            f"out of order {news.out_of_order('one')}; gaps {news.gaps}; ends {_ends(news)}"
        )
        if any(left):
            figures += here.looked_at()
        say(figures)
        assert (news.gaps, left) == (0, ([], [])), figures
        assert {news.ends[job] for job in accepted} == {1} and max(news.ends.values()) == 1, figures
        assert (news.out_of_order("one"), news.negative()) == ([], []), figures
    return figures


def _left(accepted: list[str], news: News, calls: Calls) -> tuple[list[str], list[str]]:
    """The jobs that have not ended, and those whose webhook was not called, once that is all or nothing comes more."""
    before, since = -1, time.monotonic()
    while True:
        left = [job for job in accepted if not news.ends[job]], [job for job in accepted if not calls.count[job]]
        if (now := sum(map(len, left))) != before:
            before, since = now, time.monotonic()
        if not now or time.monotonic() > since + PATIENCE:
            return left
        time.sleep(0.1)


def _ends(news: News) -> dict[str, int]:
    ends: dict[JobStatus, int] = defaultdict(int)
    for heard in news.all.values():
        for transition in heard:
            if transition.ended:
                ends[transition.job.status] += 1
    return {status.value: number for status, number in ends.items()}
