"""Where a server listens: its port for HTTP, the one for HTTPS, the proxy; and how clients are pointed at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator.config.settings import Settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server.port import Port
from runpod_emulator.workers.environment import past_proxies

if TYPE_CHECKING:
    from runpod_emulator.server.proxy import Proxy
    from runpod_emulator.server.tls import Authority


class Listeners:
    """The ports of a server, taken at once; what HTTPS needs is loaded only where that is served.

    Raises PortTaken when one is in use, ConfigurationError for one that cannot be served.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._authority = self._trusted()
        self.plain = Port(settings.host, settings.port, keep_alive=settings.keep_alive)
        self.secure: Port | None = None
        self.proxy: Proxy | None = None
        try:
            self.secure = self._take_secure()
            self.proxy = self._take_proxy()
        except ConfigurationError:
            self.release()
            raise

    def __iter__(self) -> Iterator[Port | Proxy]:
        """Those that there are."""
        return (one for one in (self.plain, self.secure, self.proxy) if one is not None)

    def release(self) -> None:
        """Give back ports that were never opened."""
        for one in self:
            one.release()

    @property
    def ca_file(self) -> Path | None:
        """What clients trust the server by; None where there is no HTTPS."""
        return None if self._authority is None else self._authority.ca_file

    @property
    def reachable(self) -> str:
        """The host of the server's URLs."""
        host = self._settings.host
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)

    @property
    def proxy_url(self) -> str | None:
        """What clients set as HTTPS_PROXY; None where there is no proxy."""
        return None if self.proxy is None else f"http://127.0.0.1:{self.proxy.number}"

    def client_environment(self) -> dict[str, str]:
        """What lets clients trust the server, and reach it through the proxy, as far as these are served."""
        if self._authority is None:
            return past_proxies(self.reachable)
        from runpod_emulator.server.tls import trust

        if self.proxy_url is None:
            return {**past_proxies(self.reachable), **trust(self._authority.ca_file)}
        from runpod_emulator.server.proxy_environment import proxied

        bundle = self._authority.bundle() if self._settings.proxy_pass else None
        return {**proxied(self.proxy_url, self.reachable), **trust(self._authority.ca_file, bundle)}

    def _trusted(self) -> Authority | None:
        if not self._settings.tls and self._settings.proxy is None:
            return None
        from runpod_emulator.server.tls import Authority, default_folder

        return Authority(self._settings.tls_folder or default_folder())

    def _take_secure(self) -> Port | None:
        settings = self._settings
        if self._authority is None or not settings.tls:
            return None
        shown = self._authority.context(settings.host, settings.tls_name)
        return Port(settings.host, settings.tls_port, "--tls-port", shown, settings.keep_alive)

    def _take_proxy(self) -> Proxy | None:
        settings = self._settings
        if self._authority is None or settings.proxy is None:
            return None
        from runpod_emulator.server.proxy import Proxy

        shown = self._authority.context(names=settings.proxy_host)
        return Proxy(settings.proxy, self.plain, shown, settings.proxy_host, settings.proxy_pass, settings.keep_alive)
