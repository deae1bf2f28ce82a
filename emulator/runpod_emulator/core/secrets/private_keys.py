"""Private keys that are printed line by line, so that no line alone tells what it is."""

from __future__ import annotations

import re

from runpod_emulator.core.secrets.texts import HIDDEN

_OF_A_KEY = re.compile(r"\s*(?:[A-Za-z0-9+/=]{1,80}|(?:Proc-Type|DEK-Info): .{1,100}|)\s*")


class PrivateKeys:
    """Hides the lines of private keys in one stream of lines."""

    def __init__(self) -> None:
        self._inside = False

    def shown(self, line: str) -> str:
        """The line, or what is shown instead of it."""
        if not self._inside and "PRIVATE KEY-----" not in line:
            return line
        if "-----BEGIN " in line and "-----END " not in line:
            self._inside = True
        elif self._inside:
            if _OF_A_KEY.fullmatch(line):
                return HIDDEN
            self._inside = False
        return line
