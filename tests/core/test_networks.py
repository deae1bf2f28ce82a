"""Which addresses webhooks may reach."""

from __future__ import annotations

import ipaddress

import pytest
from runpod_emulator.core.networks import Reach, network, plain_address

from tests.tables import table


@table(
    ("text", "denied", "is_denied"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.4", "10.1.2.3", False),
        ("10.1.2.3", "10.9.9.9/8", True),
        ("::1", "::1", True),
        ("::1", "127.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:10.1.2.3", "::ffff:0:0/96", True),
        ("0.0.0.0", "127.0.0.0/8", True),
        ("::ffff:0.0.0.0", "127.0.0.1", True),
        ("::", "::1", True),
        ("::", "127.0.0.0/8", False),
        ("64:ff9b::a01:203", "10.0.0.0/8", True),
        ("2002:a01:203::1", "10.0.0.0/8", True),
        ("2002:b01:203::1", "10.0.0.0/8", False),
        ("fe80::1", "fe80::/10", True),
        ("1.1.1.1", "0.0.0.0/0", True),
        ("1.1.1.1", "::/0", False),
    ],
)
def test_a_denied_network_holds_every_way_to_its_addresses(text: str, denied: str, is_denied: bool) -> None:
    assert (Reach(deny=["192.0.2.0/24", denied]).problem(text) != "") == is_denied


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.0.0.1", False), ("::1", False), ("127.0.0.1", True),
     ("0.0.0.0", True), ("64:ff9b::a01:203", False), ("2002:a01:203::1", False), ("fd00::7", True)],
)  # fmt: skip
def test_where_networks_are_allowed_others_are_not(text: str, is_allowed: bool) -> None:
    assert (Reach(["10.0.0.0/8", "127.0.0.1", "fd00::/8"]).problem(text) == "") == is_allowed


def test_without_networks_everything_may_be_called() -> None:
    assert not Reach().is_limited
    assert Reach(["10.0.0.0/8"]).is_limited and Reach(deny=["10.0.0.0/8"]).is_limited
    assert {Reach().problem(text) for text in ("127.0.0.1", "::", "1.1.1.1")} == {""}


def test_the_reason_names_the_option() -> None:
    reach = Reach(["10.0.0.0/8"], ["10.1.0.0/16"])
    assert reach.problem("10.1.2.3") == "10.1.2.3 is denied by --webhook-deny 10.1.0.0/16"
    assert reach.problem("1.1.1.1") == "1.1.1.1 is in no network of --webhook-allow"


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0-10.0.0.9", "*"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a network such as"):
        network(text)


def test_an_address_in_an_address_is_that_address() -> None:
    assert plain_address(ipaddress.ip_address("::ffff:127.0.0.1")) == ipaddress.ip_address("127.0.0.1")
    assert plain_address(ipaddress.ip_address("::1")) == ipaddress.ip_address("::1")
