"""A body cut into the raw text of its members: nothing is taken apart that nobody asks for, and nothing is copied."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.platform import Platform
from runpod_emulator.http.nesting import nests_deeper

SHORT = 64
"""Bytes of JSON in which nothing can be but a number, a word, or next to nothing."""

_NULL = msgspec.Raw(b"null")
_ABSENT = msgspec.Raw()
"""What stands for a member that is not there."""


class Members(msgspec.Struct, gc=False):
    """What is looked at in the body of a request, as raw text; all else is passed over without being kept."""

    input: msgspec.Raw = _ABSENT
    webhook: msgspec.Raw = _ABSENT
    policy: msgspec.Raw = _ABSENT
    s3_config: msgspec.Raw = msgspec.field(name="s3Config", default=_ABSENT)
    stream: msgspec.Raw = _ABSENT


class Policy(msgspec.Struct, gc=False):
    """The member of that name, in the same way."""

    execution_timeout: msgspec.Raw = msgspec.field(name="executionTimeout", default=_ABSENT)
    ttl: msgspec.Raw = _ABSENT
    low_priority: msgspec.Raw = msgspec.field(name="lowPriority", default=_ABSENT)


class Report(msgspec.Struct, gc=False):
    """What is looked at in a worker's post."""

    output: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    status: msgspec.Raw = _ABSENT
    stop_worker: msgspec.Raw = msgspec.field(name="stopPod", default=_ABSENT)


_MEMBERS = msgspec.json.Decoder(Members)
_POLICY = msgspec.json.Decoder(Policy)
REPORT = msgspec.json.Decoder(Report)


def cut(body: bytes, platform: Platform, is_checked: bool = False) -> Members:
    """The raw text of the members of a JSON object; raises InvalidBody."""
    if not is_checked:
        check_depth(body, platform)
    return decode(_MEMBERS, body)


def check_depth(body: bytes, platform: Platform) -> None:
    """Raises InvalidBody for a text that is nested too deep."""
    if nests_deeper(body, platform.json_depth_limit):
        raise InvalidBody(f"invalid json: nested more than {platform.json_depth_limit} levels deep")


Shape = TypeVar("Shape")


def decode(decoder: msgspec.json.Decoder[Shape], body: bytes) -> Shape:
    """What the decoder makes of a body; raises InvalidBody."""
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidBody("invalid json: not UTF-8") from error
    except RecursionError as error:
        raise InvalidBody("invalid json: nested too deep") from error
    except msgspec.ValidationError as error:
        raise InvalidBody("must be a json object") from error
    except msgspec.DecodeError as error:
        raise InvalidBody(f"invalid json: {str(error).removeprefix('JSON is malformed: ')}") from error


def is_object(raw: msgspec.Raw, name: str) -> bool:
    """Whether the member is an object, False for nothing; raises InvalidBody for anything else."""
    if is_nothing(raw):
        return False
    if not begins(raw, b"{"):
        raise InvalidBody(f"{name} must be an object")
    return True


def is_nothing(raw: msgspec.Raw) -> bool:
    """Whether a member is not there, or null."""
    return not raw or raw == _NULL


def begins(raw: msgspec.Raw, mark: bytes) -> bool:
    """Whether the text of a member begins with this character."""
    return memoryview(raw)[:1] == mark


def parsed(raw: msgspec.Raw) -> Any:
    """The value of a member, None for a missing one; for members that are known to be texts, or short."""
    return _plain.decode(str(raw, "utf-8")) if raw else None


def short(raw: msgspec.Raw) -> Any:
    """The value of a member; True for any that is longer than those that matter."""
    return parsed(raw) if len(raw) < SHORT else True


def _number(text: str) -> int | float:
    """Python refuses to read very long integers; here they are as good as infinite."""
    return int(text) if len(text) < 20 else float(text)


_plain = json.JSONDecoder(parse_int=_number)


def policy_of(members: Members) -> Policy:
    """The policy of a job, empty where there is none; raises InvalidBody."""
    return _POLICY.decode(members.policy) if is_object(members.policy, "policy") else Policy()
