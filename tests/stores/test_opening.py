"""Which servers a store is opened at, what is said of those that won't do, and that no password is ever shown."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from runpod_emulator.core.errors import ConfigurationError, JobNotFound
from runpod_emulator.core.jobs.job import submit
from runpod_emulator.server.shared import StoreMaker
from runpod_emulator.stores.records import FORMAT
from runpod_emulator.stores.redis import opening
from runpod_emulator.stores.redis.address import Address, read_address
from runpod_emulator.stores.redis.store import RedisStore
from runpod_emulator.stores.redis.transitions import KEPT

from tests.conftest import require
from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import NAMES, StoreServer, free_port, program, shared_server
from tests.stores.twins.keys import lives
from tests.waits import until

SECRET = "hunter2"


@pytest.fixture(scope="module")
def guarded() -> Iterator[StoreServer]:
    """A server that asks for a password."""
    server = StoreServer("--requirepass", SECRET)
    yield server
    server.close()


async def opened(url: str | Address, namespace: str = "") -> RedisStore:
    address = read_address(url) if isinstance(url, str) else url
    store = RedisStore(address, namespace)
    try:
        await asyncio.wait_for(store.open(), 30)
    except BaseException:
        await store.close()
        raise
    return store


async def refused(url: str | Address) -> str:
    """Why a store is not opened."""
    with pytest.raises(ConfigurationError) as error:
        await opened(url)
    return str(error.value)


# URLs


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "write redis://, rediss://, valkey://, valkeys://"),
        ("127.0.0.1:6379", "write redis://"),
        (f"http://:{SECRET}@h/0", "write redis://"),
        (f"redis://:{SECRET}@h:port/0", "not a URL"),
        (f"redis://:{SECRET}@[h/0", "not a URL"),
        (f"redis:/:{SECRET}@h/0", "not a URL"),
        (f"redis://:{SECRET}@/0", "not a URL"),
        (f"redis://:{SECRET}@h/staging", "a database is a number"),
        (f"redis://:{SECRET}@h/0/1", "a database is a number"),
        (f"redis://:{SECRET}@h/0?prefx=a", "there is no parameter 'prefx'"),
        (f"redis://:{SECRET}@h/0?socket_timeout=abc", "there is no parameter 'socket_timeout'"),
        (f"rediss://:{SECRET}@h/0?ssl_cert_reqs=nonsense", "write none or optional or required"),
        (f"redis://:{SECRET}@h/0?prefix=", "prefix must not be empty"),
        (f"redis://:{SECRET}@h/0?prefix=a%20b", "prefix must not"),
        (f"redis://:{SECRET}@h/0?prefix=a{{b", "prefix must not"),
        (f"redis://:{SECRET}@h/0?prefix=a/b", "prefix must not"),
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str, says: str):
    with pytest.raises(ConfigurationError) as error:
        read_address(url)
    assert says in str(error.value) and SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", Address("redis://h", "runpod-emulator", False)),
        ("valkey://h:1/2?prefix=mine", Address("valkey://h:1/2", "mine", False)),
        ("valkeys://h/0?cluster=true&client_name=a", Address("valkeys://h/0?client_name=a", "runpod-emulator", True)),
        ("redis://h?cluster=0&prefix=a:b", Address("redis://h", "a:b", False)),
    ],
)
def test_what_a_url_says(url: str, expected: Address):
    assert read_address(url) == expected


def test_the_library_knows_schemes_of_its_own():
    urls = ("valkey://valkey:1/0", "valkeys://h/0?username=b", "rediss://valkey", "redis://h")
    expected = ["redis://valkey:1/0", "rediss://h/0?username=b", "rediss://valkey", "redis://h"]
    assert [read_address(url).redis_url for url in urls] == expected


def test_an_address_is_shown_without_its_password():
    address = read_address(f"rediss://user:{SECRET}@host:6390/3?prefix=mine&password={SECRET}")
    assert address.shown == "rediss://host:6390/3"
    assert repr(address) == str(address) == "Address('rediss://host:6390/3', 'mine')"


# Servers


async def test_a_server_that_is_not_there_is_named():
    port = free_port()
    said = await refused(f"redis://user:{SECRET}@127.0.0.1:{port}/0")
    expected = f"--store: redis://127.0.0.1:{port}/0 does not answer: is the server up, and the password right?"
    assert said.startswith(f"{expected} It said: Error 111")


async def test_a_file_of_the_url_that_is_not_there_is_named():
    assert await refused("rediss://h/0?ssl_ca_certs=no.pem") == "--store: ssl_ca_certs: there is no file no.pem"


@pytest.mark.parametrize("user", ["", ":wrong@", "nobody:wrong@", f"nobody:{SECRET}@"])
async def test_a_wrong_password_is_told_and_not_shown(
    guarded: StoreServer, user: str, caplog: pytest.LogCaptureFixture
):
    said = await refused(f"redis://{user}127.0.0.1:{guarded.port}/0")
    assert said.startswith(f"--store: redis://127.0.0.1:{guarded.port}/0 ") and "the password right?" in said
    for secret in (SECRET, "wrong"):
        assert secret not in said and secret not in caplog.text


async def test_the_right_password_opens_and_is_not_logged(guarded: StoreServer, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    store = await opened(f"redis://:{SECRET}@127.0.0.1:{guarded.port}/0?prefix=mine")
    assert await store.next_place() == 1
    await store.close()
    assert "keeps nothing over a restart" in caplog.text and SECRET not in caplog.text


async def test_a_password_is_not_logged_when_its_server_goes(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    server = StoreServer("--requirepass", SECRET)
    try:
        store = await opened(f"redis://:{SECRET}@127.0.0.1:{server.port}/0")
        store.news.follow("ep")
        await store.counts("ep")
        server.stop()
        await until(lambda: "is away" in caplog.text)
        await store.close()
    finally:
        server.close()
    assert SECRET not in caplog.text


def test_config_shows_no_password(tmp_path: Path):
    (tmp_path / "echo.py").write_text("def handler(job):\n    return 1\n")
    url = f"redis://user:{SECRET}@127.0.0.1:1/0?prefix=mine"
    words = ["config", "--store", url, "--endpoint", f"e={tmp_path / 'echo.py'}", "--no-config"]
    command = [sys.executable, "-m", "runpod_emulator", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "127.0.0.1:1/0" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_serve_says_why_it_does_not_start_and_shows_no_password(tmp_path: Path):
    (tmp_path / "echo.py").write_text("def handler(job):\n    return 1\n")
    words = ["serve", "--endpoint", f"e={tmp_path / 'echo.py'}", "--no-config", "--port", "0"]
    url = f"redis://user:{SECRET}@127.0.0.1:{free_port()}/0"
    command = [sys.executable, "-m", "runpod_emulator", *words, "--store", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "does not answer: is the server up, and the password right?" in done.stderr
    assert SECRET not in done.stdout + done.stderr


# TLS


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoreServer, Path]]:
    """A server behind TLS, and the file of the CA that has signed its certificate."""
    found = [name for name in (program(), *map(shutil.which, NAMES)) if name is not None and _speaks_tls(name)]
    if not found:
        require("redis-server")
        pytest.skip("no Valkey or Redis server here speaks TLS: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", SECRET]
    for name in ("cert", "key"):
        options += [f"--tls-{name}-file", str(folder / f"{name}.pem")]
    server = StoreServer(*options, "--tls-ca-cert-file", str(folder / "ca.pem"), named=found[0])
    server.port = port
    yield server, folder / "ca.pem"
    server.close()


def _speaks_tls(name: str) -> bool:
    words = [name, "--port", "0", "--tls-port", str(free_port()), "--save", ""]
    said = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    return "No tls-cert-file configured" in said.stdout


async def test_a_server_behind_tls_is_opened_with_its_ca(secure: tuple[StoreServer, Path]):
    server, ca = secure
    store = await opened(f"rediss://:{SECRET}@localhost:{server.port}/0?prefix=tls&ssl_ca_certs={ca}")
    await store.create(submit(QUEUED))
    assert (await store.get("ep", QUEUED.id)).id == QUEUED.id
    await store.close()


async def test_a_certificate_of_nobody_known_is_refused(secure: tuple[StoreServer, Path]):
    server, _ = secure
    said = await refused(f"rediss://:{SECRET}@localhost:{server.port}/0")
    assert "does not answer" in said and SECRET not in said
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


# What is on the server already


@pytest.mark.parametrize("found", ["0", str(FORMAT + 1), "x", ""])
async def test_keys_of_another_format_are_refused_and_left_alone(found: str):
    address = shared_server().address()
    store = RedisStore(address)
    await store.connection.do("SET", f"{address.prefix}:format", found)
    said = await refused(address)
    assert said == (
        f"--store: {address.shown} has keys of format {found} under {address.prefix}, this version of the emulator "
        f"writes format {FORMAT}: use the version that wrote them, or another ?prefix="
    )
    assert await store.connection.do("GET", f"{address.prefix}:format") == found.encode()
    await store.close()


async def test_an_old_server_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "OLDEST", 99)
    said = await refused(shared_server().address())
    assert said.startswith("--store: the server is Redis ") and said.endswith("99 or newer, or Valkey, is needed")


class Told:
    """A connection to a server that says these things."""

    def __init__(self, **answers: Any) -> None:
        self.address = read_address("redis://h/0")
        self._answers = answers

    async def do(self, *command: Any) -> Any:
        name = command[-1].replace("-", "_") if command[0].startswith("CONFIG") else command[0]
        answer = self._answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


FINE: dict[str, Any] = {
    "PING": True, "INFO": {"redis_version": "8.0.1"}, "SET": True, "GET": str(FORMAT).encode(),
    "save": ["save", b"60 1"],
    "maxmemory_policy": {"maxmemory-policy": "noeviction"}, "maxmemory": [b"maxmemory", b"0"],
    "appendonly": [b"appendonly", b"no"],
}  # fmt: skip
MAY_THROW_AWAY = "redis://h/0 may throw away jobs when it is full: set maxmemory-policy to noeviction (now %s)"
KEEPS_NOTHING = "redis://h/0 keeps nothing over a restart of its own: set appendonly to yes if jobs must survive it"


@pytest.mark.parametrize(
    ("answers", "warnings"),
    [
        ({}, []),
        ({"maxmemory": [b"maxmemory", b"1000"]}, []),
        ({"maxmemory_policy": [b"", b"allkeys-lru"]}, []),
        ({"maxmemory_policy": [b"", b"allkeys-lru"], "maxmemory": [b"", b"9"]}, [MAY_THROW_AWAY % "allkeys-lru"]),
        ({"maxmemory_policy": {"": "volatile-ttl"}, "maxmemory": {"": "9"}}, [MAY_THROW_AWAY % "volatile-ttl"]),
        ({"save": [b"save", b""]}, [KEEPS_NOTHING]),
        ({"save": [b"save", b""], "appendonly": [b"appendonly", b"yes"]}, []),
        ({"save": [], "appendonly": [], "maxmemory": [], "maxmemory_policy": []}, []),
    ],
)
async def test_what_may_surprise_is_warned_of(
    answers: dict[str, Any], warnings: list[str], caplog: pytest.LogCaptureFixture
):
    connection: Any = Told(**{**FINE, **answers})
    await opening.check_server(connection)
    assert [record.getMessage() for record in caplog.records] == warnings


@pytest.mark.parametrize(
    ("version", "fine"), [("7.0.0", True), ("7.2.4", True), ("6.2.14", False), ("10.1", True), ("", True), ("x", True)]
)
async def test_versions(version: str, fine: bool):
    connection: Any = Told(**{**FINE, "INFO": {"redis_version": version}})
    if fine:
        await opening.check_server(connection)
        return
    with pytest.raises(ConfigurationError) as error:
        await opening.check_server(connection)
    assert str(error.value) == f"--store: the server is Redis {version}: 7 or newer, or Valkey, is needed"


async def test_a_server_that_may_evict_is_warned_of_for_real(caplog: pytest.LogCaptureFixture):
    server = StoreServer("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes")
    try:
        await (await opened(server.url)).close()
    finally:
        server.close()
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.endswith("set maxmemory-policy to noeviction (now allkeys-lru)")


# Worlds


@pytest.fixture
async def two(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    stores = [await opened(*one) for one in request.param]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


def worlds(*rows: tuple[str, str]) -> list[tuple[Address, str]]:
    """Worlds at the server of the tests, of these prefixes and namespaces."""
    address = shared_server().address()
    return [(address._replace(prefix=address.prefix + prefix), namespace) for prefix, namespace in rows]


@pytest.mark.parametrize(
    "two",
    [
        worlds(("", ""), ("2", "")),
        worlds(("", ""), ("", "a")),
        worlds(("", "a"), ("", "b")),
        worlds(("", "a"), (":a", "")),
        worlds(("", "a"), (".a", "")),
        worlds(("", "endpoints"), ("", "")),
    ],
    indirect=True,
    ids=["prefixes", "one namespace", "namespaces", "prefix like one", "prefix with a dot", "named like a key"],
)
async def test_worlds_share_a_server_and_nothing_else(two: tuple[RedisStore, RedisStore]):
    first, second = two
    heard: list[Any] = []
    second.news.transitions.append(heard.append)
    for store in two:
        store.news.follow("ep")
        assert await store.next_place() == 1
    await first.create(submit(QUEUED))
    with pytest.raises(JobNotFound):
        await second.get("ep", QUEUED.id)
    assert (await second.recent("ep", 0, 10), await second.queued("ep")) == (([], 0), [])
    await second.create(submit(QUEUED._replace(input=b"2")))
    await second.clear()
    assert (await first.get("ep", QUEUED.id)).input == QUEUED.input
    assert [one.job.input for one in heard] == [b"2"]


async def test_every_key_expires_by_itself():
    address = shared_server().address()
    store = await opened(address)
    await store.next_place()
    await store.create(submit(QUEUED))
    assert store.owners is not None
    await store.owners.beat("s", 10_000, {})
    kept = await lives(store)
    await store.close()
    assert {name.removeprefix(address.prefix) for name in kept} >= {":format", ":places", ":servers", ":{ep}:queue"}
    assert all(0 < left <= 2 * KEPT for left in kept.values())
    assert min(kept.values()) > KEPT - 60_000


# What is refused before any server is asked


@pytest.mark.parametrize("clock", ["virtual", "auto"])
def test_a_clock_of_its_own_is_refused(clock: str):
    with pytest.raises(ConfigurationError) as error:
        StoreMaker("redis://h/0", clock)
    assert str(error.value) == (
        f"--store: a {clock} clock is one server's own, and others over the same store could not follow: "
        "use --clock real, or no --store"
    )


def test_the_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as error:
        StoreMaker("redis://h/0", "real")
    assert str(error.value) == "--store needs a library: pip install 'runpod-emulator[redis]'"


def test_a_clients_key_that_chooses_a_namespace_is_no_name_on_the_server():
    maker = StoreMaker("redis://h/0?prefix=p", "real")
    named, keyed, other = (
        maker.parts_of(*given)["store"].base("ep") for given in (("rpa_key",), ("rpa_key", True), ("rpa_other", True))
    )
    assert "rpa_key" in named and len({named, keyed, other}) == 3
    assert "rpa" not in keyed + other and keyed == maker.parts_of("rpa_key", True)["store"].base("ep")
