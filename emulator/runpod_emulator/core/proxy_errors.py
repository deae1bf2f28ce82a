"""The part of the error tree that is about the proxy: what a client is told that it does not take any further."""

from __future__ import annotations

from http import HTTPStatus

from runpod_emulator.core.errors import EmulatorError

_SHOWN = 200
"""Characters of an address that a refusal repeats."""


class NotProxied(EmulatorError):
    """A request that the proxy answers itself: a problem with `status`, `title` and `detail`.

    `reason` stands in the status line: most clients show no more of the answer to a CONNECT.
    """

    status = 400
    reason = ""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        self.title = HTTPStatus(self.status).phrase
        super().__init__(detail)


class NotUnderstood(NotProxied):
    """What came is no request to a proxy."""


class HeadTooLong(NotProxied):
    """The head of the request is longer than the proxy reads."""

    status = 431


class HeadTooSlow(NotProxied):
    """The head of the request did not arrive in time."""

    status = 408


class ForeignHost(NotProxied):
    """A host that is none of the service's, and that the proxy does not pass on to."""

    status = 403
    reason = "Forbidden: not a host of RunPod, see --proxy-pass and --proxy-host"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the proxy takes the hosts of RunPod to the emulator, and nothing to {address[:_SHOWN]}: start it with "
            "--proxy-pass, and all other hosts are reached through it; with --proxy-host NAME, and NAME leads here too"
        )


class ThisMachine(NotProxied):
    """An address of this machine, which a page of elsewhere must not reach through the proxy."""

    status = 403
    reason = "Forbidden: this machine is called without the proxy, see NO_PROXY"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address[:_SHOWN]} is this machine, which is called without the proxy: set "
            "NO_PROXY=127.0.0.1,localhost,::1 for the client, as exec does"
        )


class NoSuchPort(NotProxied):
    """A host of the service at a port where it serves nothing."""

    status = 403
    reason = "Forbidden: RunPod is served on the ports 443 and 80"

    def __init__(self, address: str) -> None:
        super().__init__(f"{address[:_SHOWN]}: hosts of RunPod are served on 443, for https, and on 80, for http")


class NotReached(NotProxied):
    """The host that a request is passed on to cannot be reached."""

    status = 502
    reason = "Bad Gateway: the host cannot be reached"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address[:_SHOWN]} cannot be reached: {why}")


class TooManyConnections(NotProxied):
    """The proxy has as many connections as it takes at once."""

    status = 503
    reason = "Service Unavailable: too many connections"

    def __init__(self, most: int) -> None:
        super().__init__(f"the proxy has {most} connections, and takes no more until one ends; ulimit -n decides")
