"""Progress bars of a stranger's program (tqdm) in the log: shown as they go, now and then, and their end always."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compat.servers import Starter, until

pytest.importorskip("tqdm")
pytestmark = pytest.mark.compat

HANDLER = """
import time
import runpod
from tqdm import tqdm

def handler(job):
    began = time.monotonic()
    for _ in tqdm(range(400), mininterval=0, desc="outer", leave=job["input"]["leave"]):
        if job["input"]["nested"]:
            for _ in tqdm(range(2), mininterval=0, desc="inner"):
                time.sleep(0.0025)
        time.sleep(0.005)
    return time.monotonic() - began

runpod.serverless.start({"handler": handler})
"""


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("nested", [False, True])
def test_a_bar_is_shown_as_it_goes(start: Starter, tmp_path: Path, nested: bool, leave: bool) -> None:
    (tmp_path / "h.py").write_text(HANDLER)
    server = start("serve", "h.py", "--port", 0).ready()
    job = server.http.post("/h/run", json={"input": {"nested": nested, "leave": leave}}).json()["id"]
    server.err.line("outer:")
    assert server.http.get(f"/h/status/{job}").json()["status"] == "IN_PROGRESS"
    until(lambda: server.http.get(f"/h/status/{job}").json()["status"] == "COMPLETED")
    took = server.http.get(f"/h/status/{job}").json()["output"]
    assert server.stop() == 0
    shown = [line for line in server.err.whole().splitlines() if f" h#1 {job[:4]} │ " in line]
    frames = [line for line in shown if "outer:" in line]
    assert len(frames) >= 4
    if not nested:
        assert len(frames) <= 5 * took + 2
        assert re.search(r"outer: +100%.+400/400", frames[-1])
        assert frames == shown
    assert not any("\\x1b" in line or line.endswith(" │ ") for line in shown)
