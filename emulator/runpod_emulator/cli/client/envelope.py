"""What the queue API says of a job. Its output stays the text that came: what a handler returned is passed on so."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from runpod_emulator.cli.client.ends import COMPLETED, OF_STATUS, NoServer
from runpod_emulator.cli.client.named import Name, short

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
_NOTHING = msgspec.Raw(b"")
_FRAMES = 4_000
"""Characters of a traceback that are shown, of its end."""


class Envelope(msgspec.Struct, rename="camel"):
    """A job as /run, /status and /runsync tell of it; times are in ms."""

    id: str
    status: str
    output: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING
    delay_time: float | None = None
    execution_time: float | None = None
    retries: int | None = None
    worker_id: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will become of it by itself."""
        return self.status in ENDED

    @property
    def exit_code(self) -> int:
        """As what a command ends that tells of it."""
        return OF_STATUS.get(self.status, COMPLETED)

    @property
    def output_text(self) -> str:
        """The output's JSON, "" for none."""
        return _text(self.output)

    @property
    def problem(self) -> str:
        """What went wrong, "" for nothing."""
        text = _text(self.error)
        error = _value(text)
        return problem_of(error) if isinstance(error, str) else text

    def told(self, name: Name) -> str:
        """One line of the job: its state, and what its times say."""
        parts = [f"waited {duration(self.delay_time)}"] if self.delay_time is not None else []
        if self.execution_time is not None:
            parts.append(f"{'ran' if self.has_ended else 'runs for'} {duration(self.execution_time)}")
        if self.worker_id:
            parts.append(f"worker {self.worker_id}")
        if self.retries:
            parts.append(f"retries {self.retries}")
        return f"{name.endpoint} {short(name.id)} {self.status}" + (f"  {', '.join(parts)}" if parts else "")


def read_envelope(body: bytes, where: str) -> Envelope:
    """The job in an answer; raises NoServer for what is none."""
    try:
        return msgspec.json.decode(body, type=Envelope)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NoServer(f"{where} does not answer as RunPod does: {error}") from error


def read_chunks(body: bytes, where: str) -> tuple[str, list[str]]:
    """The state and the chunks in an answer of /stream, "" where it does not say the state; raises NoServer."""
    try:
        told: Any = msgspec.json.decode(body, type=_Stream | list[_Chunk])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NoServer(f"{where} does not answer as RunPod does: {error}") from error
    chunks = told if isinstance(told, list) else told.stream
    return "" if isinstance(told, list) else told.status, [_text(chunk.output) for chunk in chunks]


def problem_of(error: str) -> str:
    """An error for people: an exception's type, words and traceback, where its JSON holds them."""
    told = _value(error)
    return (_of_exception(told) or error) if isinstance(told, dict) else error


def duration(milliseconds: float) -> str:
    """A time as people read it."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Chunk(msgspec.Struct):
    output: msgspec.Raw = _NOTHING


class _Stream(msgspec.Struct):
    status: str
    stream: list[_Chunk]


def _text(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode("utf-8", "replace")
    return "" if text == "null" else text


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _of_exception(told: dict[str, Any]) -> str:
    message = told.get("error_message")
    if not isinstance(message, str):
        return ""
    kind = str(told.get("error_type", "")).removeprefix("<class '").removesuffix("'>")
    trace = told.get("error_traceback")
    first = f"{kind}: {message}" if kind else message
    return f"{first}\n{trace.rstrip()[-_FRAMES:]}" if isinstance(trace, str) and trace.strip() else first
