"""What is open to strangers: a server that others than this machine reach, and that asks for no key."""

from __future__ import annotations

import ipaddress

from runpod_emulator.config.settings import Settings


def exposure(settings: Settings, address: str) -> str:
    """What whoever reaches `address`, which the server listens on, may do, and how to close that; "" for nothing."""
    if _is_local(address) or (settings.api_key and not settings.no_auth):
        return ""
    asked = "with --no-auth" if settings.no_auth else "without --api-key"
    taken = "" if settings.worker_keys else ", and take the jobs of workers that are started elsewhere"
    closing = "--api-key KEY, " + ("no --no-auth, " if settings.no_auth else "")
    return (
        f"listening on {address} {asked}: whoever reaches this machine may run jobs here and read results{taken}. "
        f"To close it: {closing}or --host 127.0.0.1"
    )


def _is_local(address: str) -> bool:
    """Whether only this machine can reach an address."""
    bare = ipaddress.ip_address(address.partition("%")[0])
    mapped = bare.ipv4_mapped if isinstance(bare, ipaddress.IPv6Address) else None
    return (mapped or bare).is_loopback
