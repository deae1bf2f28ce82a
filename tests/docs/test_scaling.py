"""docs/scaling.md says what the code does: its URLs, its options, its numbers, and what it says of errors."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from runpod_emulator.config.options import all_options, flag
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.owners import BEAT, LEASE
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.store_errors import StoreAway, StoreFull
from runpod_emulator.effects import leases
from runpod_emulator.server import shared
from runpod_emulator.stores.redis import news, opening, transitions
from runpod_emulator.stores.redis.address import PREFIX, SCHEMES, read_address
from runpod_emulator.world import heartbeat

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())
TROUBLE = PAGE.partition("## When something is wrong")[2]
URLS = sorted(set(re.findall(r"(?:redis|rediss|valkey|valkeys)://[^\s`|]+", PAGE)))
_SOURCES = [Path(module.__file__ or "") for module in (shared, opening)]


def beginnings(source: str) -> set[str]:
    """How the messages of a file begin, up to what differs from case to case."""
    texts = re.findall(r'(?:ConfigurationError\(|log\.warning\(|_MISSING = )\s*f?"([^"]+)"', source)
    return {
        re.split(r"\{| \(?now|%s", text.replace("{shown} ", "… ").replace("%s ", "… ", 1))[0].strip() for text in texts
    }


@pytest.mark.parametrize("url", URLS)
def test_every_url_is_one(url: str) -> None:
    assert read_address(url).redis_url.startswith("redis")


def test_every_scheme_is_named_and_the_two_parameters_are() -> None:
    assert [scheme for scheme in SCHEMES if f"`{scheme}://`" not in PAGE] == []
    assert read_address("redis://host:6379/0?prefix=staging").prefix == "staging"
    assert read_address("redis://node:6379?cluster=1").cluster
    assert f"`{PREFIX}` if it does not say" in FLAT


def test_a_password_is_never_shown() -> None:
    address = read_address("rediss://user:hid-den-word@host:6380/0?ssl_ca_certs=ca.pem")
    assert "hid-den-word" not in f"{address!r} {address} {address.shown}"
    assert all_options()["store"].repr is False
    with pytest.raises(ConfigurationError) as told:
        read_address("redis://:hid-den-word@host:port/0")
    assert "hid-den-word" not in str(told.value)


def test_every_option_is_one() -> None:
    known = {flag(name) for name in all_options()}
    lines = re.findall(r"runpod-emulator serve [^\n]*", PAGE.replace("\\\n", ""))
    words = [word for line in lines for word in shlex.split(line) if word.startswith("--")]
    assert len(words) == 6
    assert [word for word in words if word not in known] == []


def test_every_refusal_and_warning_of_the_start_is_explained() -> None:
    found = sorted(one for source in _SOURCES for one in beginnings(source.read_text(encoding="utf-8")))
    assert len(found) == 8
    assert [one for one in found if one not in TROUBLE] == []


def test_what_clients_are_told_is_explained() -> None:
    for error in (StoreAway, StoreFull):
        assert f"`{error.detail.split(':')[0]}: …`" in TROUBLE
        assert f"{error.status} `{error.detail[:20]}" in TROUBLE


def test_what_the_log_says_is_explained() -> None:
    files = [*Path(news.__file__).parent.glob("*.py"), Path(heartbeat.__file__)]
    said = [
        text for path in files for text in re.findall(r'log\.warning\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    ]
    shown = [re.sub("%[sdg]", "", text.partition(":")[0]).split("  ")[0].strip() for text in said]
    known = re.sub("[…]|N |ENDPOINT|; N of", " ", TROUBLE)
    assert len(said) >= 8
    assert [text for text in shown if " ".join(text.split()) not in " ".join(known.split())] == []


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"every {BEAT // 1000} s that it lives. {LEASE // 1000} s after" in FLAT
    assert f"a delivery for {leases.LEASE // 1000} s" in FLAT
    assert f"expire {transitions.KEPT // 86_400_000} days after" in FLAT
    kept = re.search(r"NEWS_KEPT, .* = (\d+),", (Path(news.__file__).parent / "write.lua").read_text(encoding="utf-8"))
    assert kept is not None and f"the last {int(kept[1]):,} changes" in FLAT
    assert f"texts up to {transitions.TOLD // 1024} KB" in FLAT
    assert f"`run_retention`, {Platform().run_retention // 60_000} min" in FLAT
    assert f"held for {Platform().wait_max // 60_000} minutes" in FLAT
    assert f"up to {Platform().balancer_answer_limit // 1000} s" in FLAT


def test_proxies_wait_longer_than_any_request() -> None:
    longest = max(Platform().wait_max, Platform().balancer_answer_limit) // 1000
    waits = [int(found) for found in re.findall(r"(?:proxy_read_timeout|timeout (?:client|server)) (\d+)s", PAGE)]
    assert len(waits) == 3
    assert min(waits) > longest


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", PAGE) if anchor not in headings] == []
