"""HTTPS on this machine: a certificate authority of our own, kept in a folder, and what clients trust it by."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator.core.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

    import trustme

SERVICE = ("api.runpod.ai", "*.api.runpod.ai", "api.runpod.io", "rest.runpod.io")
"""The hosts of the service: jobs and load balancers, and management."""
NAMES = ("api.localhost", "*.api.localhost", "localhost", "127.0.0.1", "::1", *SERVICE)
"""Whom every server's certificate is for: clients here, and those that keep the URLs of production."""
REPLACING = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables of OpenSSL (httpx, aiohttp, urllib), requests and curl; each takes the place of the system's trust."""
ADDING = ("NODE_EXTRA_CA_CERTS",)
"""Node.js trusts this file beside what it trusts already."""
_ANY = ("", "0.0.0.0", "::")


def default_folder() -> Path:
    """Where the authority is kept when nobody says otherwise."""
    import click

    return Path(click.get_app_dir("runpod-emulator")) / "tls"


def trust(ca_file: Path, bundle: Path | None = None) -> dict[str, str]:
    """The variables by which clients trust an authority; with a `bundle`, all that this machine trusts too."""
    return {**dict.fromkeys(REPLACING, str(bundle or ca_file)), **dict.fromkeys(ADDING, str(ca_file))}


def _system(own: Iterable[Path]) -> bytes:
    """What programs here trust: what SSL_CERT_FILE names, unless that is our `own`; the system's; Mozilla's."""
    import ssl

    import certifi

    paths = ssl.get_default_verify_paths()
    named = (paths.cafile, paths.capath and os.path.join(paths.capath, "ca-certificates.crt"), certifi.where())
    return next(path for path in map(Path, filter(None, named)) if path.is_file() and path not in own).read_bytes()


class Authority:
    """The certificate authority of a folder, made when there is none, and used again from then on.

    `ca.pem` is for clients. `ca-key.pem` holds its key and the same certificate in one file: whichever
    server puts it there first wins, whole, so servers that start at once agree. Raises
    ConfigurationError for a folder or a file that cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder = Path(os.path.abspath(folder))
        self.ca_file = folder / "ca.pem"
        self._key_file = folder / "ca-key.pem"
        try:
            self._ca = self._read() or self._make()
            self._publish()
        except OSError as error:
            why = error.strerror or error
            raise ConfigurationError(
                f"--tls-folder {folder}: {why}: choose a folder that this user can read and write"
            ) from error

    def context(self, host: str = "", names: Iterable[str] = ()) -> ssl.SSLContext:
        """What a server on `host` shows its clients: a new certificate for it, for `names` and for NAMES."""
        import ssl

        more = [self._checked(name) for name in (host, *names) if name not in _ANY]
        certificate = self._ca.issue_cert(*dict.fromkeys((*NAMES, *more)))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_alpn_protocols(["http/1.1"])
        certificate.configure_cert(made)
        return made

    def bundle(self) -> Path:
        """A file with this authority and all that this machine trusts, for clients that take one file for both.

        Raises ConfigurationError where it cannot be written.
        """
        path = self.ca_file.with_name("bundle.pem")
        content = self._ca.cert_pem.bytes() + _system((self.ca_file, path))
        try:
            with _draft(path, content, mode=0o644) as draft:
                os.replace(draft, path)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}: --proxy-pass writes it") from error
        return path

    def _checked(self, name: str) -> str:
        try:
            if set(name) & set("@/"):  # an address of mail or of a network would be taken
                raise ValueError(name)
            self._ca.issue_cert(name)
        except ValueError as error:
            raise ConfigurationError(
                f"no certificate can be for {name!r}: --tls-name and --host take names such as emulator.test, "
                "*.emulator.test or 10.0.0.5"
            ) from error
        return name

    def _read(self) -> trustme.CA | None:
        import ssl

        import trustme

        try:
            content = self._key_file.read_bytes()
            found = trustme.CA.from_pem(content, content)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._key_file)  # the key is that certificate's
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{self._key_file} does not hold a key and its certificate: delete it, and a new authority is made; "
                f"clients then have to trust the new {self.ca_file.name}"
            ) from error
        return found

    def _make(self) -> trustme.CA:
        import trustme

        new = trustme.CA(organization_name="runpod-emulator")
        self._key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        both = new.private_key_pem.bytes() + new.cert_pem.bytes()
        with _draft(self._key_file, both) as draft, contextlib.suppress(FileExistsError):
            os.link(draft, self._key_file)
        return self._read() or new

    def _publish(self) -> None:
        certificate = self._ca.cert_pem.bytes()
        with contextlib.suppress(FileNotFoundError):
            if self.ca_file.read_bytes() == certificate:
                return
        with _draft(self.ca_file, certificate, mode=0o644) as draft:
            os.replace(draft, self.ca_file)


@contextlib.contextmanager
def _draft(path: Path, content: bytes, mode: int = 0o600) -> Iterator[str]:
    """A complete file beside `path`, to be moved or linked there."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.chmod(draft, mode)
        yield draft
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
