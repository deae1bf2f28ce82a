"""Progress from a process that the handler forked: over HTTP, to where the worker's environment says."""

from __future__ import annotations

import os
import threading

from .output import say

_PATIENCE = 10.0
"""Seconds that a post may take."""


def post_progress(job: str, body: bytes) -> None:
    """Post a progress update from a thread of its own, which does not keep the process."""
    threading.Thread(target=_post, args=(job, body), daemon=True).start()


def _post(job: str, body: bytes) -> None:
    import urllib.request  # 30 ms, which few workers need

    worker = os.environ.get("RUNPOD_POD_ID", "")
    url = os.environ.get("RUNPOD_WEBHOOK_POST_OUTPUT", "").replace("$RUNPOD_POD_ID", worker).replace("$ID", job)
    report = b'{"status": "IN_PROGRESS", "output": ' + body + b"}"
    headers = {"Authorization": os.environ.get("RUNPOD_AI_API_KEY", ""), "X-Request-ID": job}
    try:
        request = urllib.request.Request(f"{url}&isStream=false", report, headers)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        say(f"Failed to send the progress of job {job} from a child process: {error}")
