"""Webhook calls to the built-in receiver: none goes over HTTP, and the receiver can't tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from runpod_emulator.core.records.receiver import Received
from runpod_emulator.effects.http_post import HttpPost
from runpod_emulator.effects.own_post import OwnPost
from runpod_emulator.testing import Emulator

BODY = b'{"id":"j1","status":"COMPLETED"}'


@dataclass
class Elsewhere:
    """A `Post` that notes what it is asked."""

    urls: list[str] = field(default_factory=list)

    async def send(self, url: str, body: bytes) -> str:
        self.urls.append(url)
        return "went elsewhere"

    async def close(self) -> None:
        self.urls.append("closed")


@contextlib.contextmanager
def emulator(**options: str) -> Iterator[tuple[Emulator, OwnPost, Elsewhere]]:
    with Emulator("m", **options) as emu:
        elsewhere = Elsewhere()
        yield emu, OwnPost(elsewhere, emu.link.server._take_own, emu.link.world._pass_time, 5_000), elsewhere


def told(call: Received) -> dict[str, str]:
    return {name: "" if name == "traceparent" else value for name, value in call.headers.items()}


def test_the_receiver_can_not_tell() -> None:
    async def over_http(url: str) -> str:
        post = HttpPost(5_000)
        try:
            return await post.send(url, BODY)
        finally:
            await post.close()

    with emulator() as (emu, own, elsewhere):
        assert emu.link.do(own.send(emu.webhooks.url, BODY)) == ""
        assert emu.link.do(over_http(emu.webhooks.url)) == ""
        direct, sent = emu.webhooks.received
        assert (direct.name, direct.body, direct.status) == (sent.name, sent.body, sent.status) == ("test", BODY, 200)
        assert told(direct) == told(sent)
        assert elsewhere.urls == []


def test_what_it_answers_counts() -> None:
    with emulator() as (emu, own, _):
        emu.webhooks.answer(503)
        assert emu.link.do(own.send(emu.webhooks.url, BODY)) == "answered 503"
        assert emu.link.do(own.send(emu.webhooks.url, BODY)) == ""


def test_one_of_another_namespace_gets_its_own_once_that_is_there() -> None:
    async def named() -> object:
        return emu.link.server.worlds.named("tenant")

    with emulator(namespaces="key") as (emu, own, _):
        assert emu.link.do(own.send(emu.webhooks.url.replace("/-/", "/tenant/"), BODY)) == "answered 404"
        emu.link.do(named())
        assert emu.link.do(own.send(emu.webhooks.url.replace("/-/", "/tenant/"), BODY)) == ""
        assert emu.webhooks.received == []
        assert len(emu.link.server.worlds.named("tenant").receiver) == 1


@pytest.mark.parametrize(
    "change",
    [("/test", "/test?a=1"), ("/test", "/a/b"), ("/test", "/"), ("127.0.0.1", "localhost"), ("/-/", "/%2D/"),
     ("hooks", "health")],
)  # fmt: skip
def test_all_others_go_where_they_say(change: tuple[str, str]) -> None:
    with emulator() as (emu, own, elsewhere):
        url = emu.webhooks.url.replace(*change)
        assert emu.link.do(own.send(url, BODY)) == "went elsewhere"
        assert elsewhere.urls == [url]
        emu.link.do(own.close())
        assert elsewhere.urls == [url, "closed"]
