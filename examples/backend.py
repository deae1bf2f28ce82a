"""A backend that calls RunPod, as many are written: it submits jobs, polls, backs off and takes webhooks."""

import os
import time
from collections.abc import Callable

import httpx


class Busy(Exception):
    """RunPod refused the job too often."""


class Backend:
    """Runs prompts on endpoint `llm`. `sleep(seconds)` waits; tests give one that moves a virtual clock."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        base_url = os.environ.get("RUNPOD_ENDPOINT_BASE_URL", "https://api.runpod.ai/v2")
        key = os.environ.get("RUNPOD_API_KEY", "")
        self._http = httpx.Client(
            base_url=f"{base_url}/llm", headers={"Authorization": f"Bearer {key}"}, trust_env=False
        )
        self._sleep = sleep

    def submit(self, prompt: str, webhook: str | None = None) -> str:
        """Hand a prompt in; raises Busy when RunPod goes on refusing."""
        for _ in range(5):
            answer = self._http.post("/run", json={"input": {"prompt": prompt}, "webhook": webhook})
            if answer.status_code != 429:
                return str(answer.raise_for_status().json()["id"])
            self._sleep(float(answer.headers.get("Retry-After", 1)))
        raise Busy

    def state(self, job: str) -> dict[str, object]:
        """The job as RunPod tells it; its status is EXPIRED when RunPod knows it no more."""
        answer = self._http.get(f"/status/{job}")
        return {"status": "EXPIRED"} if answer.status_code == 404 else answer.json()

    def wait(self, job: str, patience: float = 120) -> dict[str, object]:
        """Poll until the job has ended; cancel it when that takes longer than `patience` seconds."""
        for _ in range(int(patience)):
            state = self.state(job)
            if state["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
                return state
            self._sleep(1)
        self.cancel(job)
        return self.state(job)

    def cancel(self, job: str) -> None:
        """Stop a job."""
        self._http.post(f"/cancel/{job}")
