"""What a worker's report becomes: size limits of results and stream chunks. Pure."""

from __future__ import annotations

import json

from runpod_emulator.core.jobs.ids import SYNC
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Progressed
from runpod_emulator.core.platform import Platform

Report = Progressed | Emitted | Completed | Failed
"""What a worker says of a job that it has."""
NOT_FINITE = "the worker's result is not JSON: it holds NaN or Infinity"
"""The error of a job whose result the service refuses for its numbers."""


def result_limit(job_id: str, platform: Platform) -> int:
    """The largest output of this job, in bytes of JSON."""
    return platform.runsync_result_limit if job_id.startswith(SYNC) else platform.run_result_limit


def ending(job_id: str, lease: int, output: bytes | None, error: str | None, platform: Platform) -> Completed | Failed:
    """The event of a finished run; `output` is JSON, a truthy `error` fails the job.

    An output above the job's limit is dropped as the platform drops it.
    """
    if is_oversized(job_id, output, platform):
        return oversized(job_id, lease, platform, error)
    if error:
        return Failed(error, output, lease)
    return Completed(lease, output)


def oversized(job_id: str, lease: int, platform: Platform, error: str | None = None) -> Completed | Failed:
    """The event of a run whose output the platform drops for its size."""
    if platform.oversized_result == "failed" and not error:
        error = f"result too large: more than {result_limit(job_id, platform)} bytes"
    return Failed(error, None, lease) if error else Completed(lease)


def told_of_its_size(job_id: str, platform: Platform) -> str:
    """What to tell whoever looks at a job whose output was dropped."""
    limit = result_limit(job_id, platform)
    return f"the result is above {limit} bytes: RunPod drops it, so upload it and return its URL"


def is_oversized(job_id: str, output: bytes | None, platform: Platform) -> bool:
    """Whether `ending` would drop this output."""
    return output is not None and len(output) > result_limit(job_id, platform)


def split_chunk(chunk: bytes, platform: Platform) -> tuple[bytes, ...]:
    """One chunk's JSON as one or several.

    A string above `stream_chunk_limit` bytes of UTF-8 becomes consecutive strings, cut
    between characters; any other value passes whole.
    """
    limit = platform.stream_chunk_limit
    if len(chunk) <= limit or not platform.split_chunks or not chunk.startswith(b'"'):
        return (chunk,)
    text: str = json.loads(chunk)
    return tuple(_json(part) for part in _parts(text, limit))


def _json(text: str) -> bytes:
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair can only be escaped
        return json.dumps(text).encode()


def _parts(text: str, limit: int) -> list[str]:
    encoded = text.encode("utf-8", "surrogatepass")
    parts: list[str] = []
    start = 0
    while start < len(encoded):
        end = min(start + limit, len(encoded))
        while start < end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        if end == start:  # the limit is below one character
            end = next((i for i in range(start + 1, len(encoded)) if encoded[i] & 0xC0 != 0x80), len(encoded))
        parts.append(encoded[start:end].decode("utf-8", "surrogatepass"))
        start = end
    return parts
