"""What passes through the load balancer, byte for byte, and what it refuses to pass."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.doors.doors import KEY, Visit, body, expect_problem
from tests.http.upstream import CHUNKED, BalancedDoors, Received, Talk, balanced_doors, chunk, ended, says, talks
from tests.waits import until


async def visited(
    doors: BalancedDoors, method: str = "GET", parts: tuple[bytes, ...] = (), limit: float = 5.0, **headers: str
) -> Visit:
    """A request with these headers, to its end."""
    made = Visit(doors, method, "/lb/lb/x", headers=headers, parts=parts)
    await ended(made, limit)
    return made


def free(doors: BalancedDoors) -> bool:
    """Whether no worker holds a request."""
    return not any(doors.balanced.held.values())


# Headers to the worker


async def test_headers_of_the_connection_stay_at_it():
    async with balanced_doors() as doors:
        hop = {"keep-alive": "timeout=5", "te": "trailers", "trailer": "x", "proxy-authorization": "p",
               "upgrade": "h2c", "proxy-connection": "keep-alive", "x-private": "1", "x-other": "2"}  # fmt: skip
        await visited(doors, **hop, connection="keep-alive, X-Private , upgrade", **{"x-mine": "3", "cookie": "a=b"})
        names = [name.decode() for name, _ in doors.upstream.last.headers]
        assert not ({"x-private", *hop} - {"x-other"}) & {*names}
        got = doors.upstream.last
        assert (got.all("x-other"), got.all("x-mine"), got.all("cookie")) == ([b"2"], [b"3"], [b"a=b"])


async def test_nothing_is_added_but_whom_a_proxy_serves():
    async with balanced_doors() as doors:
        await visited(doors, host="lb.x")
        assert sorted(doors.upstream.last.headers) == [
            (b"host", b"lb.x"), (b"x-forwarded-for", b"127.0.0.1"), (b"x-forwarded-proto", b"http"),
        ]  # fmt: skip


async def test_proxies_before_this_one_are_still_named():
    async with balanced_doors() as doors:
        await visited(doors, **{"x-forwarded-for": "10.1.2.3"})
        assert b", ".join(doors.upstream.last.all("x-forwarded-for")) == b"10.1.2.3, 127.0.0.1"


async def test_the_scheme_that_a_proxy_before_this_one_served_is_kept():
    async with balanced_doors() as doors:
        await visited(doors, **{"x-forwarded-proto": "https"})
        assert doors.upstream.last.all("x-forwarded-proto") == [b"https"]


@pytest.mark.parametrize(("forward", "seen"), [(False, []), (True, [KEY.encode()])])
async def test_the_key_reaches_the_worker_only_if_it_shall(forward: bool, seen: list[bytes]):
    async with balanced_doors(forward_authorization=forward) as doors:
        await visited(doors)
        assert doors.upstream.last.all("authorization") == seen


async def test_a_header_in_utf_8_is_verbatim():
    async with balanced_doors() as doors:
        await visited(doors, **{"x-name": "é".encode().decode("latin-1")})
        assert doors.upstream.last.all("x-name") == ["é".encode()]


async def test_a_worker_need_not_know_what_expect_continue_is():
    async with balanced_doors() as doors:
        made = await visited(doors, "POST", (b"hello",), **{"content-length": "5", "expect": "100-continue"}, limit=1)
        assert (made.status, doors.upstream.last.body) == (200, b"hello")


# Headers to the client


async def test_the_answer_names_its_worker_and_loses_what_is_of_its_connection():
    lines = ("Connection: close, X-Private", "X-Private: 1", "Keep-Alive: timeout=9", "Set-Cookie: a=1", "X-Mine: é",
             "Set-Cookie: b=2", "X-Runpod-Worker-Id: liar", "Content-Type: text/x", "Upgrade: h2c")  # fmt: skip
    async with balanced_doors(says("201 Created", b"hi", *lines)) as doors:
        made = await visited(doors)
        assert made.sent[0]["headers"] == [
            (b"set-cookie", b"a=1"), (b"x-mine", "é".encode("latin-1")), (b"set-cookie", b"b=2"),
            (b"content-type", b"text/x"), (b"content-length", b"2"), (b"x-runpod-worker-id", doors.worker.encode()),
        ]  # fmt: skip
        assert (made.status, made.body) == (201, b"hi")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_has_none(status: str):
    async with balanced_doors(talks(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode())) as doors:
        made = await visited(doors)
        assert (made.status, made.body, made.headers["etag"]) == (int(status[:3]), b"", "x")
        assert not {"content-length", "transfer-encoding"} & {*made.headers}


async def test_the_length_of_an_answer_to_head_is_kept():
    async with balanced_doors(says(body=b"", length=99_999_999)) as doors:
        made = await visited(doors, "HEAD")
        assert (made.status, made.headers["content-length"], made.body) == (200, "99999999", b"")


async def test_redirects_and_compressed_bodies_pass_as_they_are():
    async with balanced_doors(says("302 Found", b"\x1f\x8b?", "Location: /y", "Content-Encoding: gzip")) as doors:
        made = await visited(doors)
        assert (made.status, made.headers["location"], made.body) == (302, "/y", b"\x1f\x8b?")
        assert len(doors.upstream.heard) == 1


async def test_an_answer_may_have_a_long_header():
    async with balanced_doors(says("200 OK", b"hi", "X-Long: " + "x" * 9_000)) as doors:
        assert (await visited(doors)).status == 200


# Bodies


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
async def test_a_body_with_a_length_arrives_with_its_length(size: int):
    async with balanced_doors() as doors:
        sent = os.urandom(size)
        made = await visited(doors, "POST", (sent[:100], sent[100:]), **{"content-length": str(size)})
        got = doors.upstream.last
        assert (made.status, got.body == sent, got.all("content-length")) == (200, True, [str(size).encode()])
        assert got.all("transfer-encoding") == []


async def test_a_body_without_a_length_arrives_in_chunks():
    async with balanced_doors() as doors:
        await visited(doors, "PUT", (b"ab", b"", b"cd"), **{"transfer-encoding": "chunked"})
        got = doors.upstream.last
        assert (got.body, got.all("content-length"), got.all("transfer-encoding")) == (b"abcd", [], [b"chunked"])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_body_where_none_is_usual_arrives_too(method: str):
    async with balanced_doors() as doors:
        await visited(doors, method, (b"hello",), **{"content-length": "5"})
        assert doors.upstream.last.body == b"hello"


async def test_an_answer_comes_in_the_parts_it_is_sent_in():
    gate = asyncio.Event()

    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in (b"data: 1\n\n", b"data: 2\n\n"):
            writer.write((CHUNKED if part.endswith(b"1\n\n") else b"") + chunk(part))
            await gate.wait()
        writer.write(b"0\r\n\r\n")

    async with balanced_doors(talk) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        await until(lambda: made.body == b"data: 1\n\n")
        assert not free(doors)
        gate.set()
        await ended(made)
        assert made.body == b"data: 1\n\ndata: 2\n\n" and free(doors)


async def test_a_worker_may_answer_while_it_still_reads():
    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        while size := int(await reader.readuntil(b"\r\n"), 16):
            writer.write(chunk((await reader.readexactly(size + 2))[:-2]))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with balanced_doors(talk) as doors:
        doors.upstream.serve = echo  # type: ignore[method-assign]
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        await doors.balanced.balancer.worker_gone(doors.worker)
        doors.upstream.port = server.sockets[0].getsockname()[1]
        await doors.up()
        made = Visit(doors, "POST", "/lb/lb/x", headers={"transfer-encoding": "chunked"}, parts=None)
        for number in range(20):
            made.feed(b"%d;" % number)
            if not number:
                await until(lambda: made.body == b"0;")
            await asyncio.sleep(0)
        made.feed(b"", more=False)
        await ended(made, 1)
        server.close()
        assert made.body == b"".join(b"%d;" % number for number in range(20))


# Too large


LIMIT = 100_000
REFUSED = f"bad request: body: exceeded max body size of {LIMIT} bytes"


async def test_a_body_over_the_limit_is_refused_before_the_worker_sees_it():
    async with balanced_doors(balancer_body_limit=LIMIT) as doors:
        for size, status in ((LIMIT, 200), (LIMIT + 1, 400)):
            made = await visited(doors, "POST", (b"x" * size,), **{"content-length": str(size)})
            assert made.status == status
        assert made.body == body(400, "Bad Request", REFUSED)
        assert len(doors.upstream.heard) == 1 and free(doors)


@pytest.mark.parametrize("parts", [(b"x" * (LIMIT + 1),), (b"x" * 60_000,) * 3])
async def test_a_body_over_the_limit_that_was_not_announced_is_refused_too(parts: tuple[bytes, ...]):
    async with balanced_doors(balancer_body_limit=LIMIT) as doors:
        made = await visited(doors, "POST", parts, **{"transfer-encoding": "chunked"})
        assert (made.status, made.body) == (400, body(400, "Bad Request", REFUSED))
        assert free(doors) and not any(len(one.body) > LIMIT for one in doors.upstream.heard)


async def test_the_refusal_of_a_body_is_labelled_a_guess():
    async with balanced_doors(balancer_body_limit=LIMIT) as doors:
        made = await visited(doors, "POST", (b"",), **{"content-length": str(LIMIT + 1)})
        assert made.headers["x-emulator-fidelity"].startswith("guess;")


async def test_an_answer_over_the_limit_is_no_answer():
    async with balanced_doors(says(body=b"x" * (LIMIT + 1)), balancer_body_limit=LIMIT) as doors:
        got = await doors.call()
        assert (got.status_code, got.json()["title"]) == (502, "Bad Gateway")
        assert got.json()["detail"].startswith("the worker's answer is larger than") and free(doors)


async def test_the_refusal_of_an_answer_names_the_limit():
    async with balanced_doors(says(body=b"x" * (LIMIT + 1)), balancer_body_limit=LIMIT) as doors:
        assert "100000 bytes" in (await doors.call()).json()["detail"]


async def test_an_answer_over_the_limit_that_was_not_announced_is_cut():
    large = CHUNKED + chunk(b"x" * 60_000) * 3 + b"0\r\n\r\n"
    async with balanced_doors(talks(large), balancer_body_limit=LIMIT) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        with pytest.raises(ConnectionResetError):
            await ended(made)
        assert made.status == 200 and len(made.body) <= LIMIT and free(doors)


# Too late, too little


async def test_an_answer_that_comes_too_late_is_524():
    async with balanced_doors(talks(60.0), balancer_answer_limit=50) as doors:
        detail = "the worker has not answered within 0.05 s"
        assert expect_problem(await doors.call(), 524, "A Timeout Occurred", detail)
        assert free(doors)


async def test_an_answer_that_does_not_end_in_time_is_cut():
    async with balanced_doors(talks(CHUNKED + chunk(b"1"), 60.0), balancer_answer_limit=100) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        with pytest.raises(ConnectionResetError):
            await ended(made)
        assert (made.status, made.body) == (200, b"1") and free(doors)


@pytest.mark.parametrize(
    "steps",
    [
        (None,),
        (b"nonsense\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nX-Half: ", None),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine\r\n\r\n", None),
    ],
)
async def test_a_worker_that_does_not_answer_rightly_is_a_bad_gateway(steps: tuple[bytes | None, ...]):
    async with balanced_doors(talks(*steps)) as doors:
        got = await doors.call(method="POST", content=b"{}")
        assert (got.status_code, got.json()["title"]) == (502, "Bad Gateway")
        assert f"the worker {doors.worker} did not answer" in got.json()["detail"] and free(doors)


async def test_a_worker_that_does_not_listen_is_a_bad_gateway():
    async with balanced_doors() as doors:
        await doors.balanced.balancer.worker_ill(doors.worker, "gone")
        await doors.balanced.balancer.worker_healthy(doors.worker, "http://127.0.0.1:9")
        assert (await doors.call()).status_code == 502
        assert free(doors)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nothing_is_sent_twice(method: str):
    async with balanced_doors(talks(None)) as doors:
        assert (await doors.call(method=method)).status_code == 502
        assert len(doors.upstream.heard) == 1


@pytest.mark.parametrize("begun", [CHUNKED + chunk(b"half"), b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhalf"])
@pytest.mark.parametrize("pause", [0.05, pytest.param(0.0)])
async def test_an_answer_that_breaks_off_is_cut_after_what_has_come(begun: bytes, pause: float):
    async with balanced_doors(talks(begun, pause, None)) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        with pytest.raises(ConnectionResetError):
            await ended(made)
        assert (made.status, made.body) == (200, b"half") and free(doors)


# Clients who leave


BEGUN = CHUNKED + chunk(b"1")


@pytest.mark.parametrize(
    ("size", "begun"),
    [
        (10, b""),
        (10, CHUNKED + chunk(b"1")),
        (70_000, CHUNKED + chunk(b"1")),
        pytest.param(70_000, b""),
    ],
    ids=["before the answer", "in its middle", "large, in its middle", "large, before the answer"],
)
async def test_the_worker_notices_that_the_client_has_left(size: int, begun: bytes):
    async with balanced_doors(talks(begun, b"")) as doors:
        made = Visit(doors, "POST", "/lb/lb/x", headers={"content-length": str(size)}, parts=(b"x" * size,))
        await until(lambda: made.body == b"1" if begun else bool(doors.upstream.heard))
        await until(lambda: not free(doors))
        made.leave()
        await ended(made, 1)
        await asyncio.wait_for(doors.upstream.left.wait(), 5)
        assert free(doors)


async def test_the_worker_notices_it_too_when_its_answer_is_small_and_slow():
    async with balanced_doors(talks(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow")) as doors:
        made = Visit(doors, "GET", "/lb/lb/x")
        await until(lambda: bool(doors.upstream.heard))
        await asyncio.wait({made.task}, timeout=0.1)
        made.leave()
        await ended(made, 0.5)
        assert free(doors)


async def test_a_client_who_leaves_while_he_sends_is_forgotten():
    async with balanced_doors() as doors:
        made = Visit(doors, "POST", "/lb/lb/x", headers={"content-length": "100000"}, parts=None)
        made.feed(b"x" * 1_000)
        await until(lambda: not free(doors))
        made.leave()
        await ended(made)
        assert free(doors)


# Kept connections


def fails_and_leaves(after: float) -> Talk:
    """What uvicorn does after an exception: a 500, and then the connection is closed without a word."""

    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken = received.target == b"/broken"
        status = b"500 Internal Server Error" if broken else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % status)
        await writer.drain()
        if broken:
            await asyncio.sleep(after)
            writer.close()

    return talk


@pytest.mark.parametrize("after", [0.0, 0.001])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH"])
async def test_no_request_is_lost_to_a_connection_that_its_worker_gave_up(method: str, after: float):
    async with balanced_doors(fails_and_leaves(after)) as doors:
        for _ in range(30):
            assert (await doors.call("/broken", "POST", content=b"{}")).status_code == 500
            together = [doors.call("/x", method, content=b"{}") for _ in range(3)]
            assert [got.status_code for got in await asyncio.gather(*together)] == [200] * 3


async def test_a_kept_connection_that_dies_under_a_request_costs_nothing_where_that_may_be_sent_again():
    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if received.target == b"/first":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            await reader.readexactly(1)  # of the next request, which finds nobody
            writer.transport.abort()
        else:
            await says()(received, reader, writer)

    async with balanced_doors(talk) as doors:
        for method, expected in (("GET", 200), ("DELETE", 200), ("POST", 502)):
            assert (await doors.call("/first")).status_code == 200
            assert (await doors.call("/second", method)).status_code == expected
