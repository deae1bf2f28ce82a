"""What a snapshot tells of secrets.

The file of a server is for that server alone, and must bring back jobs that can still run: it tells all but the
headers that open something, which no job needs to run. Whoever is given a snapshot is told what people are shown
everywhere else.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import orjson

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.secrets.masks import Masks

_LARGE = 65_536
"""Bytes of a JSON text above which only known keys are looked for: parsing 20 MB takes 0.2 s."""


class Cover:
    """For the file of a server: whole, but for headers."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._headers = functools.lru_cache(1_000)(self._covered)

    def job(self, job: Job) -> Job:
        """A job, with the values of its request's headers as people are shown them."""
        script = job.script
        if script is None or not script.headers:
            return job
        return job._replace(script=script._replace(headers=self._headers(tuple(script.headers))))

    def delivery(self, delivery: Delivery) -> Delivery:
        """What is owed to a webhook."""
        return delivery

    def text(self, text: str) -> str:
        """A text in which a secret may be."""
        return text

    def json(self, text: bytes, path: str = "") -> bytes:
        """A JSON text, to which a path leads."""
        return text

    def value(self, value: Any) -> Any:
        """A value as it was written."""
        return value

    def _covered(self, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
        masks = self._masks
        return tuple(
            (name, masks.header(name.decode("latin-1"), value.decode("latin-1")).encode("latin-1", "replace"))
            for name, value in headers
        )


class Masked:
    """For whoever asks for a snapshot: without secrets."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._headers = Cover(masks)

    def job(self, job: Job) -> Job:
        """A job without secrets."""
        job = self._headers.job(job)
        return job._replace(
            input=self.json(job.input, "input"),
            output=None if job.output is None else self.json(job.output, "output"),
            s3_config=None if job.s3_config is None else self.json(job.s3_config, "s3Config"),
            webhook=job.webhook and self.text(job.webhook),
            error=job.error and self.text(job.error),
            worker=job.worker and self.text(job.worker),
        )

    def delivery(self, delivery: Delivery) -> Delivery:
        """What is owed to a webhook, without secrets."""
        return delivery._replace(url=self.text(delivery.url), body=self.json(delivery.body))

    def text(self, text: str) -> str:
        """What people are shown of a text."""
        return self._masks.text(text)

    def json(self, text: bytes, path: str = "") -> bytes:
        """What people are shown of a JSON text; the same bytes where nothing is hidden."""
        try:
            if len(text) > _LARGE:
                raise ValueError("large")
            parsed = orjson.loads(text)
            before = orjson.dumps(parsed)
            after = orjson.dumps(self._masks.value(parsed, path))
        except (ValueError, TypeError):
            return self._masks.text(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return text if after == before else after

    def value(self, value: Any) -> Any:
        """What people are shown of a value."""
        return self._masks.value(copy.deepcopy(value))
