"""Lines of curl in the form of the service's own documentation: a raw `authorization` header, pasted into a shell."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import Queue
from tests.compat.servers import LIMIT, Command
from tests.conftest import require

pytestmark = pytest.mark.compat


class Shell:
    """Pastes lines."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def paste(self, line: str) -> Any:
        """The JSON that a line prints; BASE stands for the base URL."""
        done = subprocess.run(
            ["sh", "-c", line.replace("BASE", self._base_url)], capture_output=True, text=True, timeout=LIMIT
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def shell(live: Command) -> Shell:
    require("curl")
    return Shell(live.base_url)


RUNSYNC = """
curl --silent --request POST \\
     --url BASE/echo/runsync \\
     -H "accept: application/json" \\
     -H "authorization: any-key" \\
     -H "content-type: application/json" \\
     -d '{"input": {"prompt": "Hello, world!"}}'
"""


def test_runsync(shell: Shell) -> None:
    answer = shell.paste(RUNSYNC)
    assert list(answer) == ["delayTime", "executionTime", "id", "output", "status", "workerId"]
    assert answer["id"].startswith("sync-")
    assert (answer["status"], answer["output"]) == ("COMPLETED", {"prompt": "Hello, world!"})


def test_without_a_content_type(shell: Shell) -> None:
    line = "curl -s BASE/echo/runsync -H 'Authorization: Bearer any-key' -d '{\"input\": {\"a\": 1}}'"
    assert shell.paste(line)["output"] == {"a": 1}


def test_a_large_body_that_curl_announces_first(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps({"input": {"text": "x" * 15_000_000}}))
    line = f"curl -s BASE/echo/runsync -H 'authorization: any-key' -d @{tmp_path}/body.json"
    assert len(shell.paste(line)["output"]["text"]) == 15_000_000
    too_large = shell.paste(line.replace("runsync", "run"))
    assert too_large["detail"] == "bad request: body: exceeded max body size of 10MiB"


def test_run_status_stream_and_cancel(shell: Shell) -> None:
    key = "-s -H 'authorization: any-key'"
    accepted = shell.paste(f"""curl {key} BASE/tokens/run -d '{{"input": {{"text": "one two", "delay": 0.05}}}}'""")
    assert list(accepted) == ["id", "status"]
    assert accepted["status"] == "IN_QUEUE"
    job = accepted["id"]
    chunks = []
    status, deadline = "", time.monotonic() + LIMIT
    while status not in ("COMPLETED", "FAILED") and time.monotonic() < deadline:
        answer = shell.paste(f"curl {key} --request GET --url BASE/tokens/stream/{job}")
        assert list(answer) == ["status", "stream"]
        chunks += answer["stream"]
        status = answer["status"]
    assert chunks == [{"output": "one "}, {"output": "two"}]
    assert shell.paste(f"curl {key} BASE/tokens/status/{job}")["output"] == ["one ", "two"]
    assert shell.paste(f"curl {key} -X POST BASE/tokens/status-sync/{job}")["status"] == "COMPLETED"
    cancelled = shell.paste(f"curl {key} --request POST --url BASE/tokens/cancel/{job}")
    assert cancelled == {"id": job, "status": "COMPLETED"}


def test_server_sent_events(live: Command) -> None:
    require("curl")
    asked = {"input": {"text": "one two", "delay": 0.05}}
    job = live.http.post("/tokens_async/run", json=asked).json()["id"]
    line = f"curl -sN {live.base_url}/tokens_async/stream/{job} -H 'authorization: k' -H 'Accept: text/event-stream'"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout.split("\n\n") == [
        'data: {"output":{"index": 0, "token": "one"}}',
        'data: {"output":{"index": 1, "token": "two"}}',
        'event: status\ndata: {"status":"COMPLETED"}',
        "",
    ]


def test_health(shell: Shell) -> None:
    health = shell.paste("curl -s --request GET --url BASE/echo/health -H 'authorization: any-key'")
    assert [list(part) for part in health.values()] == [
        ["completed", "failed", "inProgress", "inQueue", "retried"],
        ["idle", "initializing", "ready", "running", "throttled", "unhealthy"],
    ]


@pytest.mark.parametrize("full_queue", ["own_curl"], indirect=True)
def test_purge_queue(shell: Shell, full_queue: Queue) -> None:
    line = f"curl -s --request POST --url BASE/{full_queue.endpoint}/purge-queue -H 'authorization: any-key'"
    assert shell.paste(line) == {"removed": 2, "status": "completed"}


def test_retry(shell: Shell) -> None:
    key = "-s -H 'authorization: any-key'"
    failed = shell.paste(f"""curl {key} BASE/failing/runsync -d '{{"input": {{"mode": "return", "message": "no"}}}}'""")
    assert (failed["status"], failed["error"]) == ("FAILED", "no")
    again = shell.paste(f"curl {key} --request POST --url BASE/failing/retry/{failed['id']}")
    assert again == {"id": failed["id"], "status": "IN_QUEUE"}
    assert shell.paste(f"curl {key} BASE/failing/status-sync/{failed['id']}")["error"] == "no"


def test_without_a_key(shell: Shell) -> None:
    assert shell.paste("curl -s BASE/echo/health") == {
        "status": 401,
        "title": "Unauthorized",
        "detail": "no token provided",
    }


@pytest.mark.parametrize("framing", ["", "-H 'Transfer-Encoding: chunked'"])
@pytest.mark.parametrize("size", [1, 100_000])
def test_curl_that_would_like_http_2(shell: Shell, tmp_path: Path, size: int, framing: str) -> None:
    (tmp_path / "body.json").write_text(json.dumps({"input": {"text": "x" * size}}))
    line = f"curl -s --http2 BASE/echo/runsync -H 'authorization: any-key' {framing} -d @{tmp_path}/body.json"
    assert shell.paste(line)["output"] == {"text": "x" * size}
