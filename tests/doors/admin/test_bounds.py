"""Numbers and times of the admin API that cannot be: each is refused, and says how it may be."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HUGE = (10**30, -1, -(10**30), "9999999999d", "-1s", "nan", "9" * 400 + "s", "1e400", 1 << 63)
TRUTHS = (True, False)
PLACES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/clock/advance", {"by": None}),
    ("POST", "/clock/advance", {"to": None}),
    ("POST", "/clock/run-until-idle", {"most": None}),
    ("POST", "/wait", {"idle": True, "timeout": None}),
    ("POST", "/wait", {"status": "COMPLETED", "count": None}),
    ("POST", "/wait", {"webhooks": None}),
    ("PATCH", "/endpoints/ep", {"idle_timeout": None}),
    ("PATCH", "/endpoints/ep", {"execution_timeout": None}),
    ("PATCH", "/endpoints/ep", {"job_ttl": None}),
    ("PATCH", "/endpoints/ep", {"init_timeout": None}),
    ("PATCH", "/endpoints/ep", {"workers_min": None}),
    ("PATCH", "/endpoints/ep", {"workers_max": None}),
    ("PATCH", "/endpoints/ep", {"worker_capacity": None}),
    ("POST", "/endpoints", {"id": "q", "workers_max": None}),
    ("POST", "/endpoints", {"id": "q", "stop_grace": None}),
    ("POST", "/hooks/answers", {"status": None}),
    ("POST", "/hooks/answers", {"status": 200, "times": None}),
    ("POST", "/faults", {"fault": "status", "status": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "times": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "calls": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "calls": [None]}),
    ("POST", "/faults", {"fault": "status", "status": 500, "probability": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "headers": {"X-A": [None]}}),
    ("POST", "/faults", {"fault": "latency", "delay": "1s", "larger_than": None}),
    ("POST", "/faults", {"fault": "worker_crash", "chunks": None}),
    ("POST", "/faults", {"fault": "webhook_duplicate", "copies": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "ttl": None}),
    ("POST", "/faults", {"fault": "status", "status": 500, "delay": None}),
    ("POST", "/stubs", {"respond": {}, "times": None}),
    ("POST", "/stubs", {"respond": {"delay": None}}),
    ("POST", "/stubs", {"respond": {"queue_delay": None}}),
    ("POST", "/stubs", {"respond": {"polls_before_completed": None}}),
]
BOUNDLESS: list[tuple[str, str, dict[str, Any]]] = [
    ("PATCH", "/endpoints/ep", {"scaler_value": None}),
    ("POST", "/endpoints", {"id": "q", "concurrency": None}),
    ("POST", "/requests/find", {"status": None}),
    ("POST", "/requests/verify", {"match": {"endpoint": "ep"}, "count": None}),
    ("POST", "/requests/verify", {"match": {"endpoint": "ep"}, "at_most": None}),
]
"""Where any number may stand."""


def filled(body: Any, value: Any) -> Any:
    if isinstance(body, dict):
        return {key: filled(one, value) for key, one in body.items()}
    if isinstance(body, list):
        return [filled(one, value) for one in body]
    return value if body is None else body


def test_what_cannot_be_is_a_400():
    import httpx

    with Emulator("ep", clock="virtual") as emu, httpx.Client(**PLAIN) as http:
        root = emu.base_url.removesuffix("/v2") + "/__emulator"
        before = http.get(f"{root}/clock").json()["now"]
        cases = [(place, value) for place in PLACES for value in (*HUGE, *TRUTHS)]
        cases += [(place, value) for place in BOUNDLESS for value in TRUTHS]
        for (method, path, body), value in cases:
            answer = http.request(method, root + path, json=filled(body, value))
            assert answer.status_code == 400 and answer.json()["detail"], (path, body, value, answer.text)
        for query in ("limit", "offset"):
            for path in ("/jobs", "/requests", "/webhooks", "/hooks"):
                for value in ("-1", str(10**30), "nan", "9" * 5_000):
                    assert http.get(root + path, params={query: value}).status_code == 400
        for text in ("NaN", "Infinity", "9" * 5_000):
            answer = http.post(f"{root}/clock/advance", content=f'{{"by": {text}}}')
            assert answer.status_code == 400
        answer = http.post(f"{root}/clock/advance", json={"to": before - 1})
        assert answer.status_code == 400
        assert f"a clock moves from now, {before}, up to 253402300799000" in answer.json()["detail"]
        assert http.get(f"{root}/clock").json()["now"] == before


@pytest.mark.parametrize("seconds", [-1, 1e30, float("nan"), float("inf"), -1e30])
def test_the_clock_of_python_refuses_the_same(seconds: float):
    with Emulator("ep", clock="virtual") as emu:
        with pytest.raises(ConfigurationError, match="is no duration: write seconds, from 0 to"):
            emu.clock.advance(seconds)
        if seconds != -1:
            with pytest.raises(ConfigurationError):
                emu.clock.run_until_idle(seconds)
