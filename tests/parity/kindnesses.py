"""Where our light process is kinder than the official worker on purpose: at most five, each by a field of the platform.

A field's default is what the service does; so none of these is needed as long as the defaults are served.
"""

from __future__ import annotations

MOST = 5
KINDNESSES: dict[tuple[str, str], str] = {
    ("cancelled_plain", "after it"): "blocked_stop",
    ("timeouts", "after it"): "blocked_stop",
}
"""The platform field that makes a case differ, by handler and case."""
STARTS_KINDLY = {"no_start_but_handler": "a function named handler is served without a call of start"}
"""Files that are served here and refused by the official worker."""
