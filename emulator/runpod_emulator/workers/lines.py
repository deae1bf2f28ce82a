"""What a handler prints, cut into lines: bounded, without what moves the cursor, and a progress bar now and then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from runpod_emulator.core.secrets.shown import HIDDEN

LONGEST = 64 * 1024
"""Bytes of a line; one that is longer is cut, as it comes."""
_WORD = 512
"""Bytes of a word that is not cut."""
_TOLD = 3
"""Bytes of a secret that tell nothing of it."""
FRAME_PAUSE = 0.2
"""Seconds between two frames of a progress bar that are shown."""
_ENDS = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|\Z)")
_UP = b"\x1b[A"
"""The cursor goes up: what two bars below each other write after a frame, so that its line break ended nothing."""
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_RESET = "\x1b[0m"
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, and all that moves the cursor or clears
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and the other strings: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]"
    rf"|(?!\t)[{HIDDEN}]"
)


def cleaned(line: bytes) -> tuple[str, str]:
    """The text of a line without control characters; and the same with its colours, which end with it."""
    text = line.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text, text
    coloured = _SEQUENCES.sub(lambda match: match[0] if _COLOUR.fullmatch(match[0]) else "", text)
    plain = _COLOUR.sub("", coloured)
    return plain, coloured if plain == coloured else coloured + _RESET


class Lines:
    """Calls `line` with each line of a stream, without its end and never longer than LONGEST bytes.

    `\\n` and `\\r\\n` end a line. What `\\r` ends will be overwritten: of such frames at most five a second are handed
    on, and always the last. None of the `secrets` is torn in two, nor a word where a blank is near: a piece of a secret
    would be shown.
    """

    def __init__(self, line: Callable[[bytes], None], secrets: Iterable[bytes] = ()) -> None:
        self._line = line
        self._secrets = secrets
        self._rest = bytearray()
        """The beginning of a line."""
        self._is_cut = False
        """Whether the last line was handed on without its end, which is still to come."""
        self._is_bar = False
        """Whether the present line overwrites another one."""
        self._after_return = False
        """Whether all that came so far ends in `\\r`, to which a `\\n` may belong."""
        self._frame = b""
        """A frame that is to be handed on, unless another one overwrites it in time."""
        self._last_frame = b""
        """The frame that was handed on."""
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if self._is_cut and data:
            self._is_cut = False
            data = data.removeprefix(b"\n")
        if b"\r" in data or self._is_bar or self._after_return:
            self._feed_bar(data)
            return
        first, *others = data.split(b"\n")
        self._extend(first)
        for text in others:
            self._line(self._take())
            self._extend(text)

    def finish(self) -> None:
        """What has come of an unfinished line is a line; its end may still come."""
        self._is_cut = bool(self._rest)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._rest or self._frame:
            self._end_line()
        self._after_return = self._is_bar = False

    def _take(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _extend(self, text: bytes) -> None:
        self._rest += text
        while len(self._rest) > LONGEST:
            end = self._seam(_character_before(self._rest, LONGEST))
            self._line(bytes(self._rest[:end]))
            del self._rest[:end]

    def _seam(self, end: int) -> int:
        """Where to cut instead of at `end`: not within a word, and before what may be the beginning of a secret."""
        blank = self._rest.rfind(b" ", end - _WORD, end)
        if blank > 0:
            return blank + 1
        begun = (
            size
            for secret in self._secrets
            for size in range(min(len(secret), _WORD) - 1, _TOLD, -1)
            if self._rest.endswith(secret[:size], 0, end)
        )
        return end - max(begun, default=0)

    def _feed_bar(self, data: bytes) -> None:
        if self._after_return and data:
            self._after_return = False
            if data.startswith(b"\n"):
                data = data[1:]
                self._end_line()
        for text, end in _ENDS.findall(data):
            self._extend(text)
            if end == b"\r" or (end and self._is_bar and self._rest.endswith(_UP)):
                self._end_frame()
            elif end:
                self._end_line()
        self._after_return = data.endswith(b"\r")
        if self._timer is None:
            self._show_frame()

    def _end_line(self) -> None:
        line = self._take()
        if self._is_bar:
            self._is_bar = False
            line = self._frame if _is_blank(line) else line
            self._frame = b""
            last, self._last_frame = self._last_frame, b""
            if not line or line == last:
                return
        self._line(line)

    def _end_frame(self) -> None:
        frame = self._take()
        self._is_bar = True
        if not _is_blank(frame) and frame != self._last_frame:
            self._frame = frame
            if self._timer is None:
                self._show_frame()

    def _show_frame(self) -> None:
        """Hand on the newest frame; it may have no end yet."""
        self._timer = None
        if self._is_bar and not _is_blank(self._rest):
            self._frame = bytes(self._rest)
        frame, self._frame = self._frame, b""
        if frame and frame != self._last_frame:
            self._last_frame = frame
            self._line(frame)
            self._timer = asyncio.get_running_loop().call_later(FRAME_PAUSE, self._show_frame)


def _is_blank(text: bytes | bytearray) -> bool:
    return not text.strip() or (b"\x1b" in text and not cleaned(bytes(text))[0].strip())


def _character_before(text: bytearray, end: int) -> int:
    """The end of the last whole character of UTF-8 before `end`."""
    for at in range(end, end - 4, -1):
        if text[at] & 0xC0 != 0x80:
            return at
    return end
