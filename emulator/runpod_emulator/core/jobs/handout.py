"""The job as its worker receives it."""

from __future__ import annotations

from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.platform import Platform


def handout(job: Job, platform: Platform) -> bytes:
    """JSON text with `id`, `input` and, when the client sent one, `s3Config`; that of a batch names it as `batchId`.

    An empty input object is left out where the platform strips it: its worker then
    refuses the job.
    """
    parts = [b'{"id":"', job.id.encode(), b'"']
    if platform.strip_empty_input == "keep" or not job.input_is_empty:
        parts += (b',"input":', job.input)
    if job.s3_config is not None:
        parts += (b',"s3Config":', job.s3_config)
    if job.batch:
        parts += (b',"batchId":"', job.batch.encode(), b'"')
    parts.append(b"}")
    return b"".join(parts)
