"""Where traces of jobs go: to a collector that speaks OTLP over HTTP. Only what asks for traces loads OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runpod_emulator import __version__
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.texts import masked_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("runpod_emulator")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables that name a collector, as every program with OpenTelemetry reads them."""
_INSTALL = "install it with: pip install 'runpod-emulator[otel]'"
_PATH = "/v1/traces"
_FLUSH = 2.0
"""Seconds that a stop waits for what is not sent yet."""


class Export:
    """Sends spans; `url` is what `--otel` says, without it the variables of OpenTelemetry say where to.

    Raises ConfigurationError where `--otel` is no URL, or is given and the extra is not installed.
    """

    def __init__(self, url: str | None) -> None:
        self._provider: TracerProvider | None = None
        wanted = bool(url) or any(os.environ.get(name) for name in ENDPOINTS)
        if not wanted or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return
        if url:
            _check(url)
        try:
            self._provider = _provider(url)
        except ImportError as error:
            if url:
                raise ConfigurationError(f"--otel needs OpenTelemetry ({error}): {_INSTALL}") from None
            log.warning(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, and no traces are sent: %s. To send them, %s", error, _INSTALL
            )

    @property
    def tracer(self) -> Any:
        """A tracer of OpenTelemetry; None where no traces are wanted."""
        return None if self._provider is None else self._provider.get_tracer("runpod_emulator", __version__)

    async def close(self) -> None:
        """Send what is not sent yet, if that goes soon."""
        if self._provider is not None:
            provider, self._provider = self._provider, None
            await _within(_FLUSH, provider.shutdown)


async def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do what blocks, for so long at most: the end of the process waits for no daemon, as it does for an executor."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def do() -> None:
        try:
            work()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(over.set)

    threading.Thread(target=do, daemon=True).start()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


def _provider(url: str | None) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=_whole(url)) if url else OTLPSpanExporter()
    about = {"service.version": __version__}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        about["service.name"] = "runpod-emulator"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--otel is no URL of a collector, {masked_text(url)}: write it as http://localhost:4318")


def _whole(url: str) -> str:
    """The address for traces of a collector that is named by its root, or by that address."""
    return url if url.rstrip("/").endswith(_PATH) else url.rstrip("/") + _PATH
