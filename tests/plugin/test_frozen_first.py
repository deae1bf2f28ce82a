"""Time that is frozen before anything of ours is loaded: the first use of each part is under the freeze."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.compat

PROGRAM = """
import freezegun, httpx

with freezegun.freeze_time({when!r}):
    from runpod_emulator import Emulator

    with Emulator("llm", clock={clock!r}) as emu:
        stub = emu.stub(respond={{"delay": "1s", "output": "{{{{ now }}}}"}})
        emu.fault("worker_crash", times=1)
        client = httpx.Client(headers={{"authorization": "k"}}, trust_env=False)
        job = client.post(emu.base_url + "/llm/run", json={{"input": {{"a": 1}}}})
        if {clock!r} == "virtual":
            emu.clock.run_until_idle()
        emu.wait_for(job=job.json()["id"])
        root = emu.base_url.removesuffix("/v2")
        for path in ("/__emulator/jobs", "/__emulator/openapi.json", "/openapi.json", "/docs"):
            assert client.get(root + path).status_code == 200, path
        assert (emu.job(job.json()["id"]).status, stub.played) == ("COMPLETED", 2)
import datetime
assert datetime.date.today().year >= 2026
print("done")
"""


@pytest.mark.parametrize("clock", ["real", "virtual", "auto"])
@pytest.mark.parametrize("when", ["2020-01-01", "2040-01-01"])
def test_everything_is_loaded_under_a_freeze(when: str, clock: str) -> None:
    program = PROGRAM.format(when=when, clock=clock)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr[-2_000:]
