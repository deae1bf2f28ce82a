"""What vLLM's metrics tell of a model: a subset of them, under the names that dashboards know."""

from __future__ import annotations

import contextlib
from collections import Counter as Numbers
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
_BETWEEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
"""Seconds, as the buckets of vLLM's histograms of these names."""
_LABEL = ["model_name"]
MOST_NAMES = 100
"""Models that are told apart; of more, all further ones are one: clients may ask for any name."""
OTHERS = "others"


class Counted:
    """One request that is answered."""

    def __init__(self, meter: Meter, model: str) -> None:
        self._model = model
        self._success = meter.success
        self._generated = meter.generated.labels(model)
        self._first = meter.first.labels(model)
        self._between = meter.between.labels(model)
        self._before: float | None = None

    def token(self, at: float, number: int) -> None:
        """So many tokens came `at` ms from the start."""
        if self._before is None:
            self._first.observe(at / 1_000)
        else:
            self._between.observe((at - self._before) / 1_000)
        self._generated.inc(number)
        self._before = at

    def ended(self, reasons: list[str]) -> None:
        """It was answered, each choice for its reason."""
        for reason in reasons:
            self._success.labels(self._model, reason).inc()


class Meter:
    """The numbers of one endpoint's model in one world."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._running: Numbers[str] = Numbers()
        self._gauge = Gauge("vllm:num_requests_running", "Requests that are answered now", _LABEL, registry=registry)
        self._waiting = Gauge("vllm:num_requests_waiting", "Requests that wait for a worker", _LABEL, registry=registry)
        self._prompt = Counter("vllm:prompt_tokens", "Tokens of prompts", _LABEL, registry=registry)
        self.generated = Counter("vllm:generation_tokens", "Tokens of answers", _LABEL, registry=registry)
        self.success = Counter(
            "vllm:request_success",
            "Answers by the reason of their end",
            [*_LABEL, "finished_reason"],
            registry=registry,
        )
        self.first = Histogram(
            "vllm:time_to_first_token_seconds", "Time to the first token", _LABEL, buckets=_FIRST, registry=registry
        )
        self.between = Histogram(
            "vllm:inter_token_latency_seconds", "Time between two tokens", _LABEL, buckets=_BETWEEN, registry=registry
        )

    @contextlib.contextmanager
    def request(self, model: str, prompt: int) -> Iterator[Counted]:
        """One request to a model with so many tokens, from its first moment to its last."""
        name = model if model in self._running or len(self._running) < MOST_NAMES else OTHERS
        self._running[name] += 1
        self._prompt.labels(name).inc(prompt)
        try:
            yield Counted(self, name)
        finally:
            self._running[name] -= 1

    def others(self) -> int:
        """How many requests are answered beside the one that asks."""
        return max(0, self.running - 1)

    @property
    def running(self) -> int:
        """How many requests are answered now."""
        return self._running.total()

    def look(self, model: str, waiting: int) -> CollectorRegistry:
        """All numbers as they are now; `waiting` are the requests in the queue, whatever model they want."""
        for name, number in self._running.items():
            self._gauge.labels(name).set(number)
        self._waiting.labels(model).set(waiting)
        return self._registry

    def text(self, model: str, waiting: int) -> str:
        """The same, as Prometheus reads them."""
        return generate_latest(self.look(model, waiting)).decode()
