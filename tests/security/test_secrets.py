"""Secrets in every place that takes one, and a search for them in everything that the server shows."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.exceptions
import websockets.sync.client
from runpod_emulator.doors.admin.happenings import KINDS

from tests.compat.servers import Command, Starter, until
from tests.plain import PLAIN

pytestmark = pytest.mark.compat

HANDLER = """
    import os
    import runpod

    def handler(job):
        print(dict(os.environ), flush=True)
        print(job, flush=True)
        if job["input"].get("fails"):
            raise ValueError(f"no bucket for {job['s3Config']}")
        return {"api_key": job["input"].get("api_key"), "environment": dict(os.environ)}

    runpod.serverless.start({"handler": handler})
"""
BALANCED = """
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
"""


class Plants:
    """Secrets by where they were planted."""

    def __init__(self) -> None:
        self._planted: dict[str, str] = {}

    def __call__(self, where: str) -> str:
        """A new secret, or the one of that place."""
        return self._planted.setdefault(where, "Zq" + secrets.token_hex(12))

    def found_in(self, shown: dict[str, str], but: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        """Where a secret is shown, and which it is. Tables break lines, so blanks and frames do not count."""
        bare = {name: re.sub(r"[\s│┃|]+", "", text) for name, text in shown.items()}
        return [
            (name, where)
            for name, text in bare.items()
            for where, secret in self._planted.items()
            if secret in text and where not in but
        ]


@pytest.fixture
def plant() -> Plants:
    return Plants()


def get(server: Command, path: str, key: str) -> str:
    return httpx.get(server.root_url + path, headers={"authorization": f"Bearer {key}"}, **PLAIN).text


def all_admin(server: Command, key: str, job: str) -> dict[str, str]:
    """Every GET of the admin API but the one that tells the key of workers, and what is open to all."""
    paths: dict[str, Any] = json.loads(get(server, "/__emulator/openapi.json", key))["paths"]
    asked = [path for path, verbs in paths.items() if "get" in verbs and path not in ("/events", "/worker-key")]
    assert len(asked) >= 9
    shown = {path: get(server, f"/__emulator{path.replace('{job_id}', job)}", key) for path in asked}
    return shown | {path: get(server, path, key) for path in ("/docs", "/openapi.json")}


@contextlib.contextmanager
def following(server: Command, key: str) -> Iterator[list[str]]:
    """The event feed meanwhile."""
    lines: list[str] = []
    connected = threading.Event()
    with httpx.Client(headers={"authorization": key}, **PLAIN, timeout=30) as http:

        def read() -> None:
            with (
                contextlib.suppress(httpx.HTTPError),
                http.stream("GET", f"{server.root_url}/__emulator/events?kinds={','.join(KINDS)}") as feed,
            ):
                connected.set()
                lines.extend(feed.iter_lines())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert connected.wait(30)
        yield lines
        server.stop()
        reader.join(30)


def told(plant: Plants) -> dict[str, str]:
    """Headers of a client that is full of secrets."""
    return {
        "x-api-key": plant("x-api-key"),
        "cookie": f"session={plant('cookie')}; a=b",
        "proxy-authorization": f"Basic {plant('proxy-authorization')}",
        "x-amz-security-token": plant("x-amz-security-token"),
        "referer": f"https://user:{plant('referer')}@example.org/?token={plant('referer-token')}",
    }


def submission(plant: Plants, server: Command, **input: Any) -> dict[str, Any]:
    return {
        "input": {"api_key": plant("input"), "note": f"Authorization: Bearer {plant('note')}", **input},
        "webhook": f"http://user:{plant('webhook')}@127.0.0.1:9/hook?token={plant('webhook-token')}",
        "s3Config": {
            "accessId": plant("s3-id"),
            "accessSecret": plant("s3-secret"),
            "bucketName": "bucket",
            "endpointUrl": f"https://user:{plant('s3-endpoint')}@s3.example.org",
        },
    }


def visit(plant: Plants, server: Command) -> tuple[str, list[str]]:
    """Whatever a client can send; answers a job and what the errors said."""
    http, headers = server.http, told(plant)
    keyed = {**headers, "authorization": f"Bearer {plant('api-key')}"}
    bare = {**headers, "authorization": plant("second-key")}
    query = f"?api_key={plant('query')}&token={plant('query-token')}"
    job = http.post(f"/ep/run{query}", json=submission(plant, server), headers=keyed).json()["id"]
    http.post("/ep/run", json=submission(plant, server, fails=True), headers=bare)
    sent = [
        http.post("/ep/run", json=submission(plant, server), headers={"authorization": f"Bearer {plant('wrong')}"}),
        http.post("/ep/run", content=b'{"s3Config": {"accessSecret": "' + plant("broken").encode(), headers=bare),
        http.post("/ep/run", content=f"api_key={plant('form')}&a=1", headers=bare),
        http.get(f"/ep/status/{job}x{query}", headers=keyed),
        http.get(f"/nobody/health{query}", headers=keyed),
        http.get(f"/ep/nothing{query}", headers=keyed),
        http.post("/flash/run", json={"input": {}}, headers={**keyed, "x-flash-endpoint": "nobody"}),
        http.post("/flash/run", json={"input": {}}, headers={**headers, "authorization": plant("flash")}),
        http.get(f"/ep/job-take/w1{query}", headers={"authorization": plant("worker-guess")}),
        http.get(f"/far/job-take/w1{query}", headers={"authorization": plant("worker-guess")}),
        httpx.get(
            f"{server.root_url}/lb/web/x{query}", headers={**headers, "authorization": plant("lb-wrong")}, **PLAIN
        ),
        httpx.get(f"{server.root_url}/lb/web/x{query}", headers=keyed, timeout=30, **PLAIN),
        httpx.post(
            f"{server.root_url}/__emulator/hooks/-/test{query}",
            json=submission(plant, server),
            headers=headers,
            **PLAIN,
        ),
    ]
    url = f"{server.root_url.replace('http', 'ws')}/lb/web/x{query}"
    for key in (plant("api-key"), plant("ws-wrong")):
        with pytest.raises(websockets.exceptions.InvalidStatus):
            websockets.sync.client.connect(url, additional_headers={**headers, "Authorization": key})
    return job, [answer.text for answer in sent if answer.status_code >= 400]


def visit_oddly(plant: Plants, server: Command) -> str:
    """Secrets where a name says of them what they are, or that are names themselves; answers what the errors said."""
    http, far = server.http, f"{server.base_url}/far"
    shaped = f"rpa_{plant('name')}"
    quoted = "".join(f"http://u:p{sign}{plant('odd-userinfo')}@127.0.0.1:9/ " for sign in "'\"<\\")
    key = f"-----BEGIN PRIVATE KEY-----\n{plant('pem')}\n-----END PRIVATE KEY-----"
    odd: dict[str, Any] = {
        shaped: 1, f"https://u:{plant('name-url')}@h/": 1, "env": {"TOKEN": plant("env")}, "quoted": quoted, "pem": key,
        "headers": [["X-Api-Key", plant("pair")]], "vars": [{"name": "HF_TOKEN", "value": plant("variable")}],
        "nested": {"credentials": {"x": plant("covered")}},
        **{name: plant(f"member {name}") for name in ("token", "auth", "pass", "signature", "npm_token", "ssh_key")},
        "lines": f"api_key: {plant('yaml')}\nX-Auth-Token: {plant('line')}\ncurl -u u:{plant('curl')}",
    }  # fmt: skip
    headers = {name: plant(name) for name in ("x-jwt", "x-pat", "x-session-id", "licensekey", "sec-websocket-protocol")}
    body = {"input": odd, "webhook": f"http://u:p'{plant('webhook-quote')}@127.0.0.1:9/?auth[token]={plant('bracket')}"}
    job = http.post("/far/run", json=body, headers=headers).json()["id"]
    printed = {name: value for name, value in odd.items() if name != "nested"}  # below a name only JSON is masked
    http.post("/ep/run", json={**body, "input": printed}, headers=headers)
    http.get(f"/far/job-take/{shaped}")
    http.post("/far/run", content=f'name="password"\r\n\r\n{plant("multipart")}\r\n--', headers=headers)
    http.post("/far/run", content=b'{"pass\\u0077ord": "a\\"' + plant("escaped").encode(), headers=headers)
    sent = [http.get(f"/far/status/{shaped}?api%5Fkey={plant('percent')}"), http.post(f"/{shaped}/run", json=body)]
    sent += [http.request(shaped, "/far/status/x"), http.post("/mock/runsync", json=body)]
    named = {"x-emulator-namespace": shaped, "authorization": plant("api-key")}
    httpx.post(f"{server.root_url}/__emulator/hooks/-/{shaped}", json=body, headers={shaped: "a"}, **PLAIN)
    httpx.get(f"{far}/health", headers=named, **PLAIN)
    return "\n".join((job, *(answer.text for answer in sent)))


def test_no_secret_is_shown_that_another_name_tells_of(start: Starter, tmp_path: Path, plant: Plants) -> None:
    (tmp_path / "ep.py").write_text(textwrap.dedent(HANDLER))
    server = start(
        "serve", "--endpoint", "ep=ep.py", "--mock", "mock", "--endpoint", "far", "--port", 0, "--log-level", "debug"
    ).ready()
    root = f"{server.root_url}/__emulator"
    stub = {"endpoint": "mock", "match": {"input": {"nested": {"credentials": {"x": "b"}}}}, "respond": {"output": 1}}
    assert httpx.post(f"{root}/stubs", json=stub, **PLAIN).status_code == 201
    told = visit_oddly(plant, server)
    wish = {"match": {"endpoint": "far", "body": {"input": {"nested": {"credentials": {"x": "b"}}}}}}
    answer = httpx.post(f"{root}/requests/verify", json=wish, **PLAIN).text
    until(lambda: "COMPLETED" in get(server, "/__emulator/jobs?endpoint=ep", "any"))
    shown = all_admin(server, "any", told.partition("\n")[0]) | {"told": told, "verify": answer}
    server.stop()
    shown |= {"stdout": server.out.whole(), "stderr": server.err.whole()}
    assert plant.found_in(shown) == []
    for place in ("odd-userinfo", "covered", "name", "pem", "member token", "variable", "webhook-quote"):
        assert f"****{plant(place)[-4:]}" in "".join(shown.values()) or place == "pem", f"{place} was never there"


def operate(plant: Plants, server: Command, admin: str) -> list[str]:
    """What an operator tells the admin API, and what that answers."""
    keyed = {"authorization": f"Bearer {admin}"}
    secret = {"authorization": f"Bearer {plant('expected')}"}
    stub = {
        "endpoint": "mock",
        "match": {"headers": secret, "input": {"api_key": plant("stub")}},
        "respond": {"output": 1},
    }
    calls = [
        ("/stubs", stub),
        ("/stubs", {"respond": {"output": f"{{{{ {plant('template')} }}}} Bearer {plant('stub-output')}"}, "wrong": 1}),
        ("/requests/verify", {"match": {"endpoint": "ep", "headers": secret}}),
        (
            "/requests/verify",
            {"match": {"endpoint": "ep", "body": {"s3Config": {"accessSecret": plant("expected-s3")}}}},
        ),
        ("/requests/find", {"endpoint": "ep"}),
        ("/endpoints", {"id": "new", "command": f"false --api-key={plant('command')}"}),
        ("/endpoints", {"id": "new", "handler": "none.py", "environment": {"API_TOKEN": plant("environment-of-api")}}),
    ]
    answers = [
        httpx.post(f"{server.root_url}/__emulator{path}", json=body, headers=keyed, timeout=30, **PLAIN).text
        for path, body in calls
    ]
    body = {"input": {"api_key": plant("unmatched")}}
    keyed = {"authorization": f"Bearer {plant('api-key')}"}
    return [*answers, server.http.post("/mock/runsync", json=body, headers=keyed).json()["error"]]


def test_no_secret_is_shown_anywhere(start: Starter, tmp_path: Path, plant: Plants) -> None:
    (tmp_path / "ep.py").write_text(textwrap.dedent(HANDLER))
    (tmp_path / "web.py").write_text(textwrap.dedent(BALANCED))
    words = (
        "--endpoint", "ep=ep.py", "--load-balancer", "web=web.py:app", "--mock", "mock", "--endpoint", "far",
        "--api-key", plant("api-key"), "--api-key", plant("second-key"), "--worker-key", plant("worker-key"),
        "--environment", f"HF_TOKEN={plant('environment')}", "--environment", f"DB=http://u:{plant('database')}@h/",
    )  # fmt: skip
    variables = {"RUNPOD_EMULATOR_ADMIN_KEY": json.dumps([plant("admin-key")])}
    printed = start("config", *words, **variables)
    server = start(
        "serve", *words, "--port", 0, "--log-level", "debug", "--set", "webhook_retry_delays=50", **variables
    )
    server.ready()
    admin = plant("admin-key")
    with following(server, admin) as events:
        job, errors = visit(plant, server)
        answers = operate(plant, server, admin)
        webhooks = f"{server.root_url}/__emulator/wait"
        headers = {"authorization": admin}
        assert httpx.post(webhooks, json={"idle": True, "timeout": "20s"}, headers=headers, timeout=30, **PLAIN).json()[
            "ok"
        ]
        shown = all_admin(server, admin, job)
        errors += [get(server, "/__emulator/jobs", plant("admin-wrong")), get(server, "/__emulator/nothing", admin)]
    shown |= {"errors": "\n".join(errors), "answers": "\n".join(answers), "events": "\n".join(events)}
    shown |= {"stdout": server.out.whole(), "stderr": server.err.whole(), "config": printed.out.whole()}
    assert printed.code() == 0 and len(events) > 5
    assert plant.found_in(shown, but=("template",)) == []
    for place in ("api-key", "s3-secret", "webhook", "query", "broken"):
        assert f"****{plant(place)[-4:]}" in "".join(shown.values()), f"{place} was never there at all"
    assert f"****{plant('database')[-4:]}" in shown["config"]
    assert f"****{plant('environment')[-4:]}" in shown["stderr"], "the handler has printed it"


def test_a_made_worker_key_is_shown_nowhere_but_where_it_is_asked_for(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import os\nprint(dict(os.environ), flush=True)\n")
    words = ("--endpoint", "far", "--mock", "llm", "--command", "ep=python3 program.py", "--workers-min", 0)
    server = start("serve", *words, "--reload", "--port", 0, "--api-key", "a-key-of-clients", "--log-level", "debug")
    server.out.line("Ready")
    server.err.line("RUNPOD_AI_API_KEY")
    root, admin = f"{server.root_url}/__emulator", PLAIN
    key = httpx.get(f"{root}/worker-key", **admin).json()["key"]
    shown = {path: httpx.get(root + path, **admin).text for path in ("/jobs", "/requests", "/endpoints", "/ready")}
    server.stop()
    shown |= {"stdout": server.out.whole(), "stderr": server.err.whole()}
    assert [name for name, text in shown.items() if key in text] == []
    assert f"****{key[-4:]}" in shown["stderr"] and f"****{key[-4:]}" in shown["/ready"]


def test_a_start_that_fails_shows_no_secret(start: Starter, tmp_path: Path, plant: Plants) -> None:
    """The last lines of a program are the reason."""
    (tmp_path / "program.py").write_text(
        "import os, sys\nsys.exit(os.environ['RUNPOD_API_KEY'] + os.environ['HF_TOKEN'])\n"
    )
    program = f"ep=python3 program.py --password {plant('flag')}"
    words = ("--command", program, "--api-key", plant("api"), "--environment", f"HF_TOKEN={plant('environment')}")
    server = start("serve", *words, "--port", 0)
    assert server.code() == 2
    assert f"****{plant('api')[-4:]}" in server.err.whole()
    assert plant.found_in({"out": server.out.whole(), "err": server.err.whole()}) == []


def test_where_keys_choose_worlds_no_name_of_one_is_shown(start: Starter, plant: Plants) -> None:
    server = start("serve", "--mock", "llm", "--port", 0, "--namespaces", "key", "--log-level", "debug").ready()
    key, root = plant("key"), f"{server.root_url}/__emulator"
    headers = {"authorization": f"Bearer {key}"}
    hook = f"{root}/hooks/{key}/test"
    body = {"input": {"own": key}, "webhook": hook}
    job = server.http.post("/llm/run", json=body, headers=headers).json()["id"]
    until(lambda: len(httpx.get(f"{root}/hooks", headers=headers, **PLAIN).json()) == 1)
    bad = f"{plant('bad')}/+"
    refused = server.http.get("/llm/health", headers={"authorization": f"Bearer {bad}"})
    unknown = httpx.delete(f"{root}/namespaces/{plant('unknown')}", **PLAIN)
    shown = {path: httpx.get(root + path, headers=headers, **PLAIN).text for path in (
        "/namespaces", "/jobs", f"/jobs/{job}", "/requests", "/webhooks", "/hooks", "/stubs"
    )}  # fmt: skip
    assert json.loads(shown["/namespaces"]) == [f"****{key[-4:]}"]
    assert job in shown["/jobs"] and job in shown["/requests"]
    assert (refused.status_code, unknown.status_code) == (400, 404)
    assert httpx.delete(f"{root}/namespaces/{key}", **PLAIN).status_code == 204
    assert httpx.get(f"{root}/namespaces", **PLAIN).json() == []
    server.stop()
    shown |= {"refused": refused.text, "unknown": unknown.text, "out": server.out.whole(), "err": server.err.whole()}
    assert plant.found_in(shown) == []


def test_the_worker_and_the_receiver_get_what_was_sent(start: Starter, plant: Plants) -> None:
    """Masks are for eyes only."""
    server = start("serve", "--endpoint", "far", "--port", 0).ready()
    body = {"input": {"api_key": plant("input")}, "s3Config": {"accessSecret": plant("s3")}}
    job = server.http.post("/far/run", json=body).json()["id"]
    assert server.http.get("/far/job-take/w1").json() == {"id": job, **body}
    output = {"access_token": plant("output")}
    server.http.post(f"/far/job-done/w1/{job}", json={"output": output})
    assert server.http.get(f"/far/status/{job}").json()["output"] == output
