"""How tests call a server over plain HTTP."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}
"""For httpx: no proxy of the machine's, and no reading of its certificates, which costs 15 ms for each client."""
