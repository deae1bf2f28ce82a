"""The local certificate authority: what it leaves in its folder, whom its certificates are for, what is refused."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server import tls
from runpod_emulator.server.tls import NAMES, Authority, default_folder, trust


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "tls"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def shown(server: ssl.SSLContext, ca_file: Path, name: str) -> dict[str, object]:
    """The certificate that a client gets which calls the server `name`; raises ssl.SSLError when it refuses it."""
    client = ssl.create_default_context(cafile=ca_file)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(20)
        ours.settimeout(20)

        def answer() -> None:
            try:
                server.wrap_socket(theirs, server_side=True).close()
            except OSError:
                theirs.close()

        serving = threading.Thread(target=answer)
        serving.start()
        try:
            with client.wrap_socket(ours, server_hostname=name) as connection:
                return dict(connection.getpeercert() or {})
        finally:
            ours.close()
            serving.join()


# The folder


def test_an_authority_is_made_once_and_used_again(folder: Path) -> None:
    first = Authority(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = Authority(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert set(before) == {"ca.pem", "ca-key.pem"}
    assert second.ca_file == first.ca_file == folder / "ca.pem"
    assert shown(second.context(), first.ca_file, "localhost")


def test_only_the_user_can_read_the_key(folder: Path) -> None:
    Authority(folder)
    assert (mode(folder), mode(folder / "ca-key.pem"), mode(folder / "ca.pem")) == (0o700, 0o600, 0o644)
    assert b"PRIVATE" not in (folder / "ca.pem").read_bytes()


def test_the_certificate_for_clients_is_brought_back(folder: Path) -> None:
    content = Authority(folder).ca_file.read_bytes()
    (folder / "ca.pem").unlink()
    assert Authority(folder).ca_file.read_bytes() == content
    (folder / "ca.pem").write_text("of another authority")
    assert Authority(folder).ca_file.read_bytes() == content


def test_without_a_key_there_is_a_new_authority(folder: Path) -> None:
    old = Authority(folder).ca_file.read_bytes()
    (folder / "ca-key.pem").unlink()
    new = Authority(folder)
    assert new.ca_file.read_bytes() != old
    assert shown(new.context(), new.ca_file, "localhost")


def test_many_that_start_at_once_agree(folder: Path) -> None:
    together = threading.Barrier(8)

    def one(_: int) -> Authority:
        together.wait(20)
        return Authority(folder)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(one, range(8)))
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem"], "and leave no draft"
    for authority in made:
        assert shown(authority.context(), folder / "ca.pem", "localhost")


def test_who_comes_second_takes_the_authority_of_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tls.os.link

    def late(draft: str, path: Path) -> None:
        monkeypatch.setattr(tls.os, "link", link)
        Authority(folder)
        link(draft, path)

    monkeypatch.setattr(tls.os, "link", late)
    second = Authority(folder)
    assert shown(second.context(), folder / "ca.pem", "localhost")
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem"]


def test_a_folder_that_may_only_be_read_will_do_once_it_is_complete(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Authority(folder)
    monkeypatch.setattr(tls.tempfile, "mkstemp", refuse)
    assert Authority(folder).context()


def test_a_relative_folder_is_told_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Authority(Path("tls")).ca_file == tmp_path / "tls" / "ca.pem"


def test_the_default_is_the_users_own_folder() -> None:
    assert default_folder().parts[-2:] == ("runpod-emulator", "tls")
    assert default_folder().is_absolute()


# Whom it is for


@pytest.mark.parametrize(
    "name",
    ["api.localhost", "llm.api.localhost", "localhost", "127.0.0.1", "::1", "api.runpod.ai", "llm.api.runpod.ai"],
)
def test_a_certificate_is_for_clients_here_and_of_production(folder: Path, name: str) -> None:
    authority = Authority(folder)
    names = [str(value) for _, value in shown(authority.context(), authority.ca_file, name)["subjectAltName"]]  # type: ignore[attr-defined]
    assert len(names) == len(NAMES)


def test_a_certificate_is_for_no_other_name(folder: Path) -> None:
    authority = Authority(folder)
    for name in ("emulator.test", "10.0.0.5", "a.b.api.localhost"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            shown(authority.context(), authority.ca_file, name)


@pytest.mark.parametrize(
    ("host", "more", "called"),
    [
        ("emulator.test", (), "emulator.test"),
        ("10.0.0.5", (), "10.0.0.5"),
        ("0.0.0.0", ("emulator",), "emulator"),
        ("::", ("*.emulator.test", "fd00::1"), "llm.emulator.test"),
        ("127.0.0.1", ("fd00::1", "fd00::1"), "fd00::1"),
    ],
)
def test_a_certificate_is_for_the_host_and_for_further_names(
    folder: Path, host: str, more: tuple[str, ...], called: str
) -> None:
    authority = Authority(folder)
    context = authority.context(host, more)
    assert shown(context, authority.ca_file, called)
    assert shown(context, authority.ca_file, "localhost")


@pytest.mark.parametrize("name", ["a b", "a@b.test", "10.0.0.0/8", "*.*.test", "-", "http://host", "a..b"])
def test_a_name_that_is_none_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--tls-name and --host take names such as") as caught:
        Authority(folder).context("localhost", [name])
    assert repr(name) in str(caught.value)


def test_every_client_is_told_the_file(folder: Path) -> None:
    assert trust(folder / "ca.pem") == {
        "SSL_CERT_FILE": f"{folder}/ca.pem",
        "REQUESTS_CA_BUNDLE": f"{folder}/ca.pem",
        "CURL_CA_BUNDLE": f"{folder}/ca.pem",
        "NODE_EXTRA_CA_CERTS": f"{folder}/ca.pem",
    }


# What cannot be used


def refuse(*_: object, **__: object) -> object:
    raise PermissionError(13, "Permission denied")


def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls.tempfile, "mkstemp", refuse)
    with pytest.raises(ConfigurationError) as caught:
        Authority(folder)
    assert str(caught.value) == (
        f"--tls-folder {folder}: Permission denied: choose a folder that this user can read and write"
    )
    assert list(folder.iterdir()) == []


def test_a_key_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Authority(folder)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigurationError, match="Permission denied: choose a folder"):
        Authority(folder)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "tls"):
        with pytest.raises(ConfigurationError, match=f"--tls-folder {path}: Not a directory"):
            Authority(path)


def _cut(pem: bytes) -> bytes:
    return pem[: len(pem) // 2]


def _other_key(pem: bytes) -> bytes:
    return trustme.CA().private_key_pem.bytes() + pem[pem.index(b"-----BEGIN CERTIFICATE") :]


def _no_key(pem: bytes) -> bytes:
    return pem[pem.index(b"-----BEGIN CERTIFICATE") :]


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda _: b"hello\n", lambda _: b"\xff\0", _cut, _other_key, _no_key])
def test_a_broken_file_is_told_with_the_way_out(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    Authority(folder)
    key = folder / "ca-key.pem"
    key.write_bytes(spoil(key.read_bytes()))
    with pytest.raises(ConfigurationError) as caught:
        Authority(folder)
    assert str(caught.value) == (
        f"{key} does not hold a key and its certificate: delete it, and a new authority is made; "
        "clients then have to trust the new ca.pem"
    )
    key.unlink()
    assert Authority(folder).context()
