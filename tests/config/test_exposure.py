"""Whoever listens to more than this machine without a key is told so."""

from __future__ import annotations

import os

import pytest
from runpod_emulator.config.exposure import exposure
from runpod_emulator.config.settings import read_settings

LOCAL = ["127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"]
OPEN = ["0.0.0.0", "::", "10.0.0.7", "192.168.1.5", "fe80::1%eth0", "::ffff:10.0.0.7", "8.8.8.8"]


def told(address: str, **options: object) -> str:
    return exposure(read_settings(config=os.devnull, **options), address)


@pytest.mark.parametrize("address", LOCAL)
@pytest.mark.parametrize("options", [{}, {"no_auth": True}])
def test_nothing_is_said_of_what_only_this_machine_reaches(address: str, options: dict[str, object]) -> None:
    assert told(address, **options) == ""


@pytest.mark.parametrize("address", OPEN)
def test_an_open_address_without_a_key_is_named_with_the_way_out(address: str) -> None:
    text = told(address)
    assert address in text and "without --api-key" in text and "take the jobs" in text
    assert text.endswith("To close it: --api-key KEY, or --host 127.0.0.1") and "\n" not in text
    assert told(address, api_key=["k"]) == ""


@pytest.mark.parametrize("options", [{}, {"api_key": ["k"]}])
def test_no_auth_is_no_key(options: dict[str, object]) -> None:
    text = told("0.0.0.0", no_auth=True, **options)
    assert "with --no-auth" in text and text.endswith("no --no-auth, or --host 127.0.0.1")


def test_with_worker_keys_workers_are_no_part_of_it() -> None:
    text = told("0.0.0.0", worker_key=["k"])
    assert "run jobs" in text and "take the jobs" not in text
