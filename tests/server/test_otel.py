"""Where traces go, and what is said where they can't."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server.otel import Export

from tests.tables import table


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@table("url", ["localhost:4318", "nonsense", "ftp://localhost:4318", "http://", "http://[::1"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(ConfigurationError, match=r"--otel .*: write it as http://localhost:4318"):
        Export(url)


def test_without_the_extra_the_option_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'runpod-emulator\[otel\]'"):
        Export("http://localhost:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    assert Export(None).tracer is None
    assert "pip install 'runpod-emulator[otel]'" in caplog.text


@table("variables, is_wanted", [
    ({}, False), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "TRUE"}, False),
])  # fmt: skip
async def test_variables_say_whether_traces_are_sent(
    variables: dict[str, Any], is_wanted: bool, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("opentelemetry.sdk")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    export = Export(None)
    assert (export.tracer is not None) == is_wanted
    await export.close()
