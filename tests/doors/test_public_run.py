"""POST /run: what is accepted, what is answered, and what reaches the worker."""

import json
import re

from runpod_emulator.core.jobs.handout import handout
from runpod_emulator.core.jobs.job import Completed

from tests.doors.doors import JOB, PROFILES, Doors, open_doors
from tests.tables import table

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
S3 = b'{"accessId":"AKIA","accessSecret":"hush","bucketName":"b","endpointUrl":"https://s3","objectPath":"p/"}'


async def handed_out(doors: Doors) -> bytes:
    job = await doors.take()
    return handout(job, doors.endpoint.platform)


@table("profile", PROFILES)
@table("suffix", ["-u1", ""])
async def test_it_answers_exactly_id_and_status(profile, suffix):
    answer = await open_doors(profile, id_suffix=suffix).post("/run", content=JOB)
    job_id = answer.json()["id"]
    assert re.fullmatch(UUID4 + suffix, job_id)
    assert answer.content == b'{"id":"%s","status":"IN_QUEUE"}' % job_id.encode()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_it_answers_at_once_though_no_worker_is_there():
    doors = open_doors(settings=lambda settings: settings, paused_endpoint="queue", workers_max=0)
    job_id = await doors.submit()
    assert (await doors.get(f"/status/{job_id}")).json() == {"id": job_id, "status": "IN_QUEUE"}


@table("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", None])
async def test_the_content_type_of_the_request_does_not_matter(content_type):
    headers = {"content-type": content_type} if content_type else {}
    assert (await open_doors().post("/run", content=JOB, headers=headers)).status_code == 200


@table(
    "text",
    [
        b'{"n":123456789012345678901234567890}',
        b'{"n":' + b"9" * 5_000 + b"}",
        b'{"n":[0.1,1.0,1e2,1E+2,-0.0,1e-400,3.141592653589793238462643383]}',
        b'{"k":1,"k":2,"K":3}',
        '{"t":"żółw 🐢 \u2028 \x7f"}'.encode(),
        b'{"t":"\\u00e9\\ud83d\\udc22\\u0000\\/\\b"}',
        b'{ "a" :\t[ 1 ,\n2 ]\r\n}',
        b'{"":{"":[]}}',
        b'{"id":"mine","input":{"input":{}},"webhook":"http://h/","policy":1}',
    ],
)
@table("route", ["/run", "/runsync"])
async def test_the_input_reaches_the_worker_byte_for_byte(text, route):
    doors = open_doors()
    request = doors.post(route, content=b'{"before":[],  "input" : ' + text + b' ,"after":{}}')
    if route == "/run":
        job_id = (await request).json()["id"]
        assert await handed_out(doors) == b'{"id":"%s","input":%s}' % (job_id.encode(), text)
        return
    held = await doors.hold(request)
    job = await doors.take()
    assert job.input == text
    await doors.complete(job, output=text)
    answer = await held
    assert b'"output":' + text + b"," in answer.content


async def test_the_last_of_two_inputs_counts():
    doors = open_doors()
    await doors.submit(b'{"input":{"a":1},"input":{"a":2}}')
    assert (await doors.take()).input == b'{"a":2}'


async def test_an_escaped_key_is_the_same_key():
    doors = open_doors()
    await doors.submit(b'{"\\u0069nput":{"a":1}}')
    assert (await doors.take()).input == b'{"a":1}'


async def test_s3_config_reaches_the_worker_and_is_never_shown():
    doors = open_doors()
    job_id = await doors.submit(b'{"input":{"a":1},"webhook":"http://127.0.0.1:9/","s3Config":%s}' % S3)
    shown = [(await doors.get(f"/status/{job_id}")).content]
    job = await doors.take()
    assert handout(job, doors.endpoint.platform) == b'{"id":"%s","input":{"a":1},"s3Config":%s}' % (job_id.encode(), S3)
    shown.append((await doors.get(f"/status/{job_id}")).content)
    assert await doors.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    for path in (f"/status/{job_id}", f"/status-sync/{job_id}", f"/stream/{job_id}", "/requests"):
        shown.append((await doors.get(path)).content)
    await doors.world.emulator.timeline.settle()
    shown.append(doors.world.post.calls[0][1])
    assert len(shown) == 7
    for text in shown:
        assert b"hush" not in text and b"s3" not in text.lower()


@table("text", [b"null", b"{}"])
async def test_an_empty_s3_config_is_none(text):
    doors = open_doors()
    await doors.submit(b'{"input":{"a":1},"s3Config":%s}' % text)
    assert b"s3Config" not in await handed_out(doors)


async def test_unknown_keys_are_dropped():
    doors = open_doors()
    extra = {"timeout": 60000, "webhookV2": "x", "id": "mine", "status": "DONE", "output": 1, "policyy": None}
    answer = await doors.post("/run", json={"input": {"a": 1}, **extra, "policy": {"nope": "x"}})
    job_id = answer.json()["id"]
    assert await handed_out(doors) == b'{"id":"%s","input":{"a":1}}' % job_id.encode()


async def test_policy_reaches_the_job():
    doors = open_doors()
    policy = {"executionTimeout": 5_000, "ttl": 10_000, "lowPriority": True}
    await doors.post("/run", json={"input": {"a": 1}, "policy": policy})
    job = await doors.take()
    assert (job.execution_timeout, job.expires_at - job.submitted_at, job.low_priority) == (5_000, 10_000, True)


@table("policy", [{}, None, {"executionTimeout": None, "ttl": None, "lowPriority": None}])
async def test_without_policy_the_endpoint_decides(policy):
    doors = open_doors()
    await doors.post("/run", json={"input": {"a": 1}, "policy": policy})
    job = await doors.take()
    limits = (job.execution_timeout, job.expires_at - job.submitted_at, job.low_priority)
    assert limits == (600_000, 86_400_000, False)


@table("number", [b"20000", b"20000.0", b"2e4"])
async def test_a_whole_number_may_be_written_in_any_way(number):
    doors = open_doors()
    await doors.submit(b'{"input":{"a":1},"policy":{"ttl":%s}}' % number)
    job = await doors.take()
    assert job.expires_at - job.submitted_at == 20_000


@table(("name", "low", "high"), [("executionTimeout", 5_000, 604_800_000), ("ttl", 10_000, 604_800_000)])
async def test_out_of_range_is_clamped_when_asked(name, low, high):
    doors = open_doors(out_of_range="clamp")
    for number, becomes in ((1, low), (-(10**30), low), (10**30, high), (high, high), (low, low)):
        await doors.post("/run", json={"input": {"a": 1}, "policy": {name: number}})
        job = await doors.take()
        value = job.execution_timeout if name == "executionTimeout" else job.expires_at - job.submitted_at
        assert value == becomes


async def test_a_low_priority_job_starts_no_worker():
    doors = open_doors()
    await doors.post("/run", json={"input": {"a": 1}, "policy": {"lowPriority": True}})
    assert doors.world.launcher.started == []
    await doors.submit()
    assert len(doors.world.launcher.started) == 1


@table("url", ["http://127.0.0.1:9/done", "https://h/p?q=1#f", "http://[::1]:9/", "HTTP://h"])
async def test_a_webhook_is_called_with_the_result(url):
    doors = open_doors()
    job_id = (await doors.post("/run", json={"input": {"a": 1}, "webhook": url})).json()["id"]
    job = await doors.take()
    await doors.complete(job)
    await doors.world.emulator.timeline.settle()
    ((called, sent),) = doors.world.post.calls
    assert called == url
    assert sent == (
        b'{"delayTime":0,"executionTime":0,"id":"%s","input":{"a":1},"output":"done","status":"COMPLETED","webhook":%s}'
        % (job_id.encode(), json.dumps(url).encode())
    )


@table("extra", [{}, {"webhook": None}, {"webhook": ""}])
async def test_without_a_webhook_nobody_is_called(extra):
    doors = open_doors()
    await doors.post("/run", json={"input": {"webhook": "http://h/"}, **extra})
    await doors.complete(await doors.take())
    await doors.world.emulator.timeline.settle()
    assert doors.world.post.calls == []


async def test_any_webhook_text_goes_when_the_check_is_off():
    doors = open_doors(webhook_url_check=False)
    await doors.post("/run", json={"input": {"a": 1}, "webhook": "ftp://h/"})
    await doors.complete(await doors.take())
    await doors.world.emulator.timeline.settle()
    assert [url for url, _ in doors.world.post.calls] == ["ftp://h/"]


@table(("profile", "sent"), [("observed", False), ("documented", True)])
async def test_an_empty_input_is_accepted_and_stripped_on_its_way(profile, sent):
    doors = open_doors(profile)
    job_id = await doors.submit(b'{"input": { } }')
    expected = b'{"id":"%s","input":{ }}' if sent else b'{"id":"%s"}'
    assert await handed_out(doors) == expected % job_id.encode()


@table("text", [b"[1]", b'"text"', b"5", b"true"])
async def test_any_input_is_accepted_when_it_need_not_be_an_object(text):
    doors = open_doors(input_must_be_object=False)
    await doors.submit(b'{"input":%s}' % text)
    assert (await doors.take()).input == text


@table("profile", PROFILES)
async def test_the_answer_tells_its_evidence(profile):
    answer = await open_doors(profile).post("/run", content=JOB)
    assert answer.headers["x-emulator-fidelity"] == "observed; row=run.accepted"
