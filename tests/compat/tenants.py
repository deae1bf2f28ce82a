"""One worker of pytest-xdist on a server that it shares: what it does in its world, and what it must find there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.compat.servers import LIMIT

JOBS = 3
"""As many as a mock endpoint has workers."""
MINUTE = 60_000


class Tenant:
    """A client whose world is that of its key; `number` tells it from all others, whatever their keys are."""

    def __init__(self, root_url: str, key: str, number: int) -> None:
        self.number = number
        self.minutes = number + 1
        self.busy = 500 + number
        self._root, self._key = root_url, key
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}", "X-Tenant": str(number)},
            timeout=LIMIT,
            trust_env=False,
            verify=False,
        )
        self._began = 0
        self._jobs: list[str] = []

    def tell(self) -> None:
        """Begin anew: a stub and a fault of its own."""
        self.admin("reset", {})
        respond = {"delay": f"{self.minutes}m", "output": {"tenant": self.number, "prompt": "{{ input.prompt }}"}}
        self.admin("stubs", {"id": f"stub-{self.number}", "endpoint": "llm", "respond": respond})
        fault = {"fault": "status", "status": self.busy, "operations": ["health"], "times": self.minutes}
        self.admin("faults", {"id": f"fault-{self.number}", **fault})
        self._began = self.admin("clock")["now"]

    def submit(self) -> None:
        """Hand in jobs, each with a webhook to its own receiver."""
        hook = f"{self._root}/__emulator/hooks/{self._key}/done"
        jobs = [{"input": {"prompt": f"{self.number}.{one}"}, "webhook": hook} for one in range(JOBS)]
        self._jobs = [self._http.post(f"{self._root}/v2/llm/run", json=job).json()["id"] for job in jobs]

    def advance(self) -> None:
        """Move its clock on to the moment at which its jobs end."""
        self.admin("clock/advance", {"by": f"{self.minutes}m"})

    def has_its_own_clock(self) -> None:
        expected = {"mode": "virtual", "now": self._began + self.minutes * MINUTE, "heldBy": []}
        assert self.admin("clock") == expected

    def is_at_its_beginning(self) -> None:
        assert self.admin("clock")["now"] == self._began

    def has_its_own_stub(self) -> None:
        assert [(stub["id"], stub["matched"]) for stub in self.admin("stubs")] == [(f"stub-{self.number}", JOBS)]

    def has_its_own_fault(self) -> None:
        assert [fault["id"] for fault in self.admin("faults")] == [f"fault-{self.number}"]
        codes = [self._http.get(f"{self._root}/v2/llm/health").status_code for _ in range(self.minutes + 1)]
        assert codes == [*[self.busy] * self.minutes, 200]

    def has_its_own_jobs(self) -> None:
        jobs = self.admin("jobs")["jobs"]
        assert sorted(job["id"] for job in jobs) == sorted(self._jobs)
        assert {job["output"]["tenant"] for job in jobs} == {self.number}

    def has_its_own_results(self) -> None:
        states = [self._state(job) for job in self._jobs]
        expected = [{"tenant": self.number, "prompt": f"{self.number}.{one}"} for one in range(JOBS)]
        assert [state["output"] for state in states] == expected
        assert {state["executionTime"] for state in states} == {self.minutes * MINUTE}

    def has_its_own_requests(self) -> None:
        requests = self.admin("requests")["requests"]
        assert {request["headers"]["x-tenant"] for request in requests} == {str(self.number)}
        assert self.admin("requests/verify", {"match": {"operation": "run"}, "count": JOBS})["ok"]

    def has_its_own_webhooks(self) -> None:
        calls = self.admin("hooks")
        assert [call["body"]["output"]["tenant"] for call in calls] == [self.number] * JOBS
        assert len(self.admin("webhooks")["webhooks"]) == JOBS

    @property
    def checks(self) -> list[Callable[[], None]]:
        """What must hold after `tell`, `submit` and `advance`."""
        return [
            self.has_its_own_clock,
            self.has_its_own_stub,
            self.has_its_own_fault,
            self.has_its_own_jobs,
            self.has_its_own_results,
            self.has_its_own_requests,
            self.has_its_own_webhooks,
        ]

    def broken(self) -> list[str]:
        """The names of the checks that do not hold."""
        names = []
        for check in self.checks:
            try:
                check()
            except (AssertionError, KeyError, TypeError):
                names.append(check.__name__)
        return names

    def admin(self, path: str, body: Any = None) -> Any:
        """Ask the admin API, or tell it `body`."""
        url = f"{self._root}/__emulator/{path}"
        answer = self._http.get(url) if body is None else self._http.post(url, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _state(self, job: str) -> Any:
        return self._http.get(f"{self._root}/v2/llm/status/{job}").json()
