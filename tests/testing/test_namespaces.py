"""Another world of the same server, with the same verbs."""

from __future__ import annotations

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.testing.conftest import Client


def test_a_namespace_is_a_world_of_its_own(emu: Emulator, client: Client):
    other = emu.namespace("w2")
    assert other.base_url == emu.base_url and other.key == emu.key
    assert other.headers == {**emu.headers, "X-Emulator-Namespace": "w2"}
    assert other.environment == emu.environment
    emu.stub(endpoint="llm", respond={"output": 1})
    other.stub(endpoint="llm", respond={"output": 2, "delay": "5m"})
    theirs = Client(other)
    mine, its = client.run(), theirs.run(webhook=other.webhooks.url_for("a"))
    emu.wait_for(job=mine)
    other.clock.advance("5m")
    other.wait_for(webhooks=1)
    assert [one.output for one in emu.jobs()] == [1]
    assert ([one.id for one in other.jobs()], other.job(its).output) == ([its], 2)
    assert emu.webhooks.received == []
    other.webhooks.assert_received(name="a", count=1)
    other.assert_requested(operation="run", count=1)
    assert emu.clock.now() != other.clock.now()
    other.reset()
    assert (len(emu.jobs()), other.jobs()) == (1, [])
    theirs.run()
    emu.reset()
    assert (emu.jobs(), other.jobs()) == ([], []), "the emulator's own reset is one of those that it was asked for too"
    assert emu.namespace("w2") is other.namespace("w2") is other
    assert {"", "w2"} <= set(emu.worlds)


def test_they_can_be_dropped(emu: Emulator, client: Client):
    other = emu.namespace("gone")
    Client(other).run()
    emu.drop_namespaces()
    assert (set(emu.worlds), "gone" in emu.link.server.worlds.names) == ({""}, False)
    assert emu.namespace("gone").jobs() == [] and emu.namespace("gone") is not other


def test_with_keys_its_key_chooses_it():
    with Emulator("llm", namespaces="key") as emu:
        other = emu.namespace("tenant")
        assert (other.key, other.headers) == ("tenant", {"Authorization": "Bearer tenant"})
        assert other.environment == {**emu.environment, "RUNPOD_API_KEY": "tenant"}
        Client(other).run()
        Client(emu).run()
        assert (len(other.requests()), len(emu.requests())) == (1, 1)
    with Emulator("llm", namespaces="key", api_key=["one", "two"]) as emu:
        assert emu.namespace("two").key == "two"
        with pytest.raises(ConfigurationError, match="three is none of the keys"):
            emu.namespace("three")


def test_a_name_that_is_none_is_refused(emu: Emulator):
    for name in ("", "a b", "-x"):
        with pytest.raises(ConfigurationError):
            emu.namespace(name)


def test_it_runs_no_longer_than_its_emulator():
    with Emulator() as emu:
        other = emu.namespace("w2")
    with pytest.raises(RuntimeError, match="does not run"):
        other.jobs()
