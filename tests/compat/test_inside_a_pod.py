"""Where the environment names a proxy, and the server runs in a real pod: nothing goes astray, everything works."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, commands

pytestmark = pytest.mark.compat

_HANDLER = """
import os
import runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]

def handler(job):
    runpod.serverless.progress_update(job, "half")
    if job["input"].get("calls"):
        return runpod.Endpoint("echo").run_sync({"input": {"n": 1}}, timeout=20)
    return sorted(name for name in os.environ if name.startswith("RUNPOD_TCP_PORT_"))

runpod.serverless.start({"handler": handler})
"""
_CLIENT = """
import os
import runpod
runpod.api_key = os.environ["RUNPOD_API_KEY"]
print(runpod.Endpoint("echo").run_sync({"input": {"n": 2}}, timeout=20))
"""


class Trap:
    """Listens where nobody should come."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.caught: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(1)
                self.caught.append(caller.recv(1_000))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def pod(trap: str) -> dict[str, str]:
    """What a pod of the platform has in its environment."""
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{trap}/v2/real/job-take/$ID?gpu=A", "RUNPOD_WEBHOOK_PING": f"{trap}/ping/$ID",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{trap}/v2/real/job-done/$RUNPOD_POD_ID/$ID",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{trap}/v2/real/job-stream/$RUNPOD_POD_ID/$ID", "RUNPOD_AI_API_KEY": "real",
        "RUNPOD_API_KEY": "real", "RUNPOD_ENDPOINT_BASE_URL": f"{trap}/v2", "RUNPOD_ENDPOINT_ID": "real",
        "RUNPOD_POD_ID": "real", "RUNPOD_POD_HOSTNAME": "real-1", "RUNPOD_REALTIME_PORT": "18999",
        "RUNPOD_PING_INTERVAL": "100", "RUNPOD_API_BASE_URL": trap, "RUNPOD_TCP_PORT_22": "1",
    }  # fmt: skip


def proxied(trap: str) -> dict[str, str]:
    """What somebody behind a proxy has in theirs, who has not thought of this machine."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: trap for one in names for name in (one, one.lower())} | {"NO_PROXY": "", "no_proxy": "intranet"}


def test_every_worker_and_client_finds_the_server_and_nobody_else(trap: Trap, tmp_path: Path) -> None:
    environment = pod(trap.url) | proxied(trap.url)
    (tmp_path / "calls.py").write_text(_HANDLER)
    (tmp_path / "client.py").write_text(_CLIENT)
    (tmp_path / "app.py").write_text("import os\nasync def app(scope, receive, send):\n"
        "    await receive()\n    body = os.environ.get('RUNPOD_TCP_PORT_22', 'clean').encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n")  # fmt: skip
    with commands(tmp_path) as start:
        server = start(
            "serve", "--port", 0, "--endpoint", f"echo={HANDLERS / 'echo.py'}", "--endpoint", "light=calls.py",
            "--command", f"official={sys.executable} -u calls.py", "--load-balancer", "web=app.py:app", **environment,
        ).ready()  # fmt: skip
        for endpoint in ("light", "official"):
            done = server.http.post(f"/{endpoint}/runsync", json={"input": {"a": 1}}).json()
            assert (done["status"], done["output"]) == ("COMPLETED", []), server.err.text
            done = server.http.post(f"/{endpoint}/runsync", json={"input": {"calls": True}}).json()
            assert done.get("output") == {"n": 1}, (done, server.err.text)
        assert server.http.get(f"{server.root_url}/lb/web/").text == "clean"
        waits = start("wait", "--url", server.root_url, "--timeout", 10, **environment)
        assert waits.code() == 0, waits.err.text
        child = start(
            "exec", "--endpoint", f"echo={HANDLERS / 'echo.py'}", "--", sys.executable, "client.py", **environment
        )
        assert child.code() == 0, child.err.text
        assert json.loads(child.out.whole().replace("'", '"')) == {"n": 2}
    assert trap.caught == []
