"""A network namespace of a worker's own, as a container has one: every port in it is free.

Nothing leads out of it but one socket: it listens inside, at `GATE`, and goes to the server, which accepts what comes.
A socket belongs to the namespace in which it was made, whoever holds it: so there is no relay and no address outside.
Nor is it for root only: who may not make a network namespace makes a user namespace with it, in which he may.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

GATE = 64_410
"""The server's port inside: none that a worker is likely to want."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x41
"""Of an interface: SIOCSIFFLAGS; up and running."""
_ADVICE = """\
cannot isolate the worker's network: this user may make no network namespace ({reason}).
It takes root, or user namespaces for everybody: sysctl kernel.unprivileged_userns_clone=1 and
kernel.apparmor_restrict_unprivileged_userns=0, where there are such; in a container --cap-add SYS_ADMIN.
Or leave --isolate out, and give each worker ports of its own with {{port}}"""


def enter(server: int) -> None:
    """Move this process to a network of its own, and give the server, at the end of a socket, the way in.

    Ends the process, and says why, where that may not be.
    """
    try:
        _leave_the_network()
        _bring_up_loopback()
        listener = _listen()
    except OSError as error:
        sys.exit(_ADVICE.format(reason=error.strerror or error))
    with socket.socket(fileno=server) as way, listener:
        way.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener.fileno()))])


def _leave_the_network() -> None:
    try:
        _unshare(_NEW_NETWORK)
        return
    except PermissionError:
        pass
    user, group = os.geteuid(), os.getegid()
    _unshare(_NEW_USER | _NEW_NETWORK)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(line)


def _unshare(flags: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", GATE))
    listener.listen(512)
    return listener
