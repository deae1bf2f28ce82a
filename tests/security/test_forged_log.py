"""Nothing that a client or a handler sends makes a line of the log that is not one, or moves the reader's cursor."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest

from tests.compat.servers import Command, Starter, until

pytestmark = pytest.mark.compat

FAKE = "2026-01-01 12:00:00,000 INFO    FAKE"
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"]
EVIL = "x" + "".join(f"{one}{FAKE}" for one in BREAKS) + "\x1b[2J\x1b]0;t\x07\x9b2J\x08\x7f\u202e\u2066end"
QUOTED = urllib.parse.quote(EVIL)
HOOK = f"http://127.0.0.1:9/{EVIL}"
LATIN = "x\x85" + FAKE + "\x9b2J\x7f"
"""What can be in a header, and looks like two lines to some readers."""

HANDLER = """
import os, sys
import runpod

def handler(job):
    evil = job["input"]["evil"]
    what = job["input"]["what"]
    if what == "raise":
        raise ValueError(evil)
    if what == "error":
        return {"error": evil}
    if what == "print":
        print(evil); sys.stderr.write(evil); os.write(1, evil.encode() + b"\\n\\xff\\xfe\\n")
    if what == "exit":
        os.write(2, evil.encode())
        os._exit(3)
    return evil

runpod.serverless.start({"handler": handler})
"""


def send(server: Command, method: str, path: str, body: object = None, **headers: str) -> int:
    """A request as it is: nothing is quoted or refused on the way."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.root_url.rpartition(":")[2]), timeout=30)
    connection._validate_path = lambda path: None  # type: ignore[attr-defined]
    given = {"Authorization": "k", "Content-Type": "application/json", **headers}
    connection.putrequest(method, path, skip_accept_encoding=True)
    data = b"" if body is None else json.dumps(body).encode()
    for name, value in {**given, "Content-Length": str(len(data))}.items():
        connection.putheader(name.replace("_", "-"), value.encode("latin-1"))
    connection.endheaders(data)
    status = connection.getresponse().status
    connection.close()
    return status


def do(server: Command, what: str) -> None:
    send(server, "POST", "/v2/h/runsync", {"input": {"what": what, "evil": EVIL}})


WAYS: dict[str, Callable[[Command], object]] = {
    "webhook": lambda s: send(s, "POST", "/v2/h/runsync", {"input": {"what": "", "evil": EVIL}, "webhook": HOOK}),
    "webhook, as seen": lambda s: send(
        s, "POST", "/v2/h/run", {"input": {}, "webhook": f"http://127.0.0.1:9/\n{FAKE}"}
    ),
    "webhook host": lambda s: send(s, "POST", "/v2/h/run", {"input": {"a": 1}, "webhook": f"http://{EVIL}/"}),
    "raised error": lambda s: do(s, "raise"),
    "returned error": lambda s: do(s, "error"),
    "output": lambda s: do(s, ""),
    "printed": lambda s: do(s, "print"),
    "last words": lambda s: do(s, "exit"),
    "input key": lambda s: send(s, "POST", "/v2/h/runsync", {"input": {EVIL: EVIL}}),
    "endpoint": lambda s: send(s, "POST", f"/v2/{QUOTED}/run", {"input": {"a": 1}}),
    "job": lambda s: [send(s, "GET", f"/v2/h/{verb}/{QUOTED}") for verb in ("status", "stream", "status-sync")],
    "job's id": lambda s: send(s, "POST", "/v2/h/run", {"input": {"a": 1}, "id": EVIL}),
    "cancel": lambda s: send(s, "POST", f"/v2/h/cancel/{QUOTED}"),
    "worker": lambda s: send(s, "GET", f"/v2/far/job-stop/{QUOTED}"),
    "worker's ping": lambda s: send(s, "GET", f"/v2/far/ping/{QUOTED}?job_id={QUOTED}"),
    "worker's result": lambda s: send(s, "POST", f"/v2/far/job-done/{QUOTED}/{QUOTED}", {"error": EVIL}),
    "namespace": lambda s: send(s, "GET", f"/v2/far/job-stop/w?ns={QUOTED}"),
    "key": lambda s: send(s, "POST", "/v2/h/run", {"input": {"a": 1}}, Authorization=LATIN),
    "flash": lambda s: send(
        s, "POST", "/v2/flash/run", {"input": {}}, X_Flash_App=LATIN, X_Flash_Environment=LATIN, X_Flash_Endpoint=LATIN
    ),
    "admin": lambda s: send(s, "POST", "/__emulator/endpoints", {"id": EVIL, "mock": True}),
    "command": lambda s: send(s, "POST", "/__emulator/endpoints", {"id": "c", "command": f"printf '{EVIL}'"}),
    "stub": lambda s: send(s, "POST", "/__emulator/stubs", {"endpoint": "st", "respond": {"error": EVIL}}),
    "stub's job": lambda s: send(s, "POST", "/v2/st/runsync", {"input": {"a": 1}}),
    "load balancer": lambda s: send(s, "GET", f"/lb/{QUOTED}/{QUOTED}", Host=LATIN),
    "no HTTP": lambda s: send(s, f"GET{EVIL[:3]}".replace("\n", ""), "/\x01"),
}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) +\S.*")
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def test_no_way_in_forges_a_line_of_the_log(start: Starter, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("forged")
    (folder / "h.py").write_text(HANDLER)
    server = start(
        "serve", folder / "h.py", "--endpoint", "far", "--port", 0, "--no-rate-limits", "--log-level", "debug",
        "--set", "webhook_url_check=false", "--workers-max", 1,
    ).ready()  # fmt: skip
    for name, way in WAYS.items():
        refused = (http.client.HTTPException, OSError) if name in ("no HTTP", "load balancer") else ()
        with contextlib.suppress(*refused):
            way(server)
    until(lambda: server.err.text.count("webhook of") >= 2)
    assert server.stop() == 0
    log = server.err.whole() + server.out.whole()
    assert log.count(FAKE) > 50
    assert HIDDEN.findall(log) == []
    for line in server.err.whole().split("\n")[:-1]:
        assert LINE.fullmatch(line) or line.startswith("  "), line
        assert not line.startswith("2026-01-01")
    assert not any(line.startswith("2026-01-01") for line in server.out.whole().split("\n"))
