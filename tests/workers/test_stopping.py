"""What a stopping server lets its programs do: they leave before the port closes."""

from __future__ import annotations

import pytest

from tests.workers import programs
from tests.workers.programs import Host, client

pytestmark = pytest.mark.compat

host = programs.host

LEAVING = """
def leave(*_):
    call(PING)
    print("the port was open to the last", flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, leave)
serve()
"""


def test_the_port_is_open_until_the_programs_have_left(host: Host) -> None:
    server = host(LEAVING).ready()
    assert client(server).output("1") == 1
    server.stop()
    assert any("the port was open to the last" in line for line in server.log)
    assert server.server.is_closed


FINISHING = """
leaving = []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(1))
job = None
while not job:
    job = call(TAKE + "&job_in_progress=0")
while not leaving:
    time.sleep(0.01)
report(json.loads(job), {"output": 1})
"""


def test_a_result_that_comes_while_the_server_stops_counts(host: Host) -> None:
    server = host(FINISHING).ready()
    job = client(server).submit("never evaluated")
    client(server).runs(job)
    server.stop()
    assert any(job in line and "COMPLETED" in line for line in server.log)
