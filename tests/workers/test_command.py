"""Programs that speak the worker protocol, started by a live server."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.workers import command
from runpod_emulator.workers.environment import worker_environment

from tests.compat.servers import until
from tests.workers import programs
from tests.workers.processes import needs_proc
from tests.workers.programs import Host, Starter, client, program

pytestmark = pytest.mark.compat

host = programs.host
start = programs.start

# Coming up


def test_a_program_is_ready_with_its_first_poll(host: Host, tmp_path: Path) -> None:
    server = host("open('began', 'w').close()\nwait_for('gate')\nserve()", port_file=tmp_path / "port")
    until((tmp_path / "began").exists)
    assert client(server).workers() == {"initializing": 1}
    job = client(server).submit("1 + 1")
    assert client(server).status(job) == {"id": job, "status": "IN_QUEUE"}
    assert not server.starting.done() and not (tmp_path / "port").exists()
    (tmp_path / "gate").touch()
    server.ready()
    assert (tmp_path / "port").read_text() in server.base_url
    assert client(server).ended(job)["output"] == 2
    until(lambda: client(server).workers() == {"idle": 1})


def test_a_program_gets_the_environment_of_a_worker(host: Host, tmp_path: Path) -> None:
    server = host(worker_key=["w key", "other"], api_key=["c'key", "x"], set=["worker_ping_interval=2500"]).ready()
    here = client(server)
    environment = here.output("dict(os.environ)")
    worker = here.ended(here.submit("1"))["workerId"]
    expected = worker_environment(server.root_url, "ep", worker, "w key", "c'key", ping_interval=2500)
    assert {name: value for name, value in environment.items() if name.startswith("RUNPOD_")} == expected
    assert (environment["MY_OWN"], environment["PYTHONUNBUFFERED"]) == ("kept", "1")
    assert here.output("os.getcwd()") == str(tmp_path)
    assert here.output("os.getsid(0) == os.getpid()") is True


def test_what_a_program_writes_is_in_the_log(host: Host) -> None:
    server = host().ready()
    client(server).output("print('to out') or print('to err ☃', file=sys.stderr)")
    assert server.line("to out") == "ep#1 │ to out"
    assert server.line("to err") == "ep#1 │ to err ☃"


def test_each_job_may_have_a_program(host: Host, tmp_path: Path) -> None:
    server = host(workers_max=2).ready()
    here = client(server)
    jobs = [here.submit("wait_for('gate') or os.getpid()") for _ in range(2)]
    for job in jobs:
        here.runs(job)
    assert here.workers() == {"running": 2}
    (tmp_path / "gate").touch()
    pids = {here.ended(job)["output"] for job in jobs}
    assert len(pids) == 2


@needs_proc
def test_an_idle_program_is_ended(host: Host) -> None:
    server = host(set=["idle_timeout=200", "worker_lease=1000"]).ready()
    here = client(server)
    pid = here.output("os.getpid()")
    until(lambda: here.workers() == {} and pid not in server.processes())
    endpoint = server.server.emulator.endpoints["ep"]
    until(lambda: not endpoint.polling.visitors)  # nothing is remembered of it
    assert here.output("os.getpid()") != pid
    assert not any("fallen silent" in line for line in server.log)


# Crashing


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('about to fail')\nsys.exit(3)", "about to fail\nthe worker exited with code 3"),
        ("raise RuntimeError('no model')", "RuntimeError: no model\nthe worker exited with code 1"),
        ("os.kill(os.getpid(), 9)", "could not be started:\nthe worker was killed by SIGKILL"),
        ("call(PING + '&status=unhealthy&check=memory&reason=too+small')\nwait_for('never')",
         "fitness check memory failed: too small"),
    ],
    ids=["exit", "raise", "kill", "unfit"],
)  # fmt: skip
def test_a_program_that_does_not_come_up_stops_the_start(host: Host, body: str, said: str) -> None:
    server = host(body)
    with pytest.raises(ConfigurationError) as error:
        server.ready()
    assert said in str(error.value)


@pytest.mark.parametrize(("words", "why"), [("no/such/program", "No such file"), (".", "Permission denied")])
def test_a_program_that_can_not_be_run_stops_the_start(host: Host, words: str, why: str) -> None:
    server = host(None, command=[f"ep={words}"])
    with pytest.raises(ConfigurationError, match=re.escape(f"cannot run {words}: {why}")):
        server.ready()


@needs_proc
def test_a_start_that_failed_ends_with_code_2(start: Starter, tmp_path: Path) -> None:
    server = start("--command", "ep=" + program(tmp_path, "print('no model')\nsys.exit(3)"))
    assert server.code() == 2
    error = server.err.whole()
    assert "no model\n  the worker exited with code 3" in error and "Traceback" not in error
    assert "Ready." not in server.out.whole()
    until(lambda: not server.processes())


BROKEN = """
with open("starts", "a") as starts:
    starts.write("x")
if os.path.exists("broken"):
    print("the model is missing")
    sys.exit(4)
if os.path.exists("unfit"):
    call(PING + "&status=unhealthy&check=memory&reason=too+small")
    os._exit(1)
serve()
"""


def test_a_program_that_crashes_at_start_is_unhealthy_and_backed_off(host: Host, tmp_path: Path) -> None:
    server = host(BROKEN, workers_max=1).ready()
    here = client(server)
    (tmp_path / "broken").touch()
    job = here.submit("os._exit(1)")
    until(lambda: here.workers() == {"unhealthy": 1})
    assert here.status(job)["status"] == "IN_QUEUE"
    assert "the model is missing\n  the worker exited with code 4" in server.line("could not be started")
    until(lambda: len((tmp_path / "starts").read_text()) >= 3)  # the good one, the broken one, its successor 1 s later
    until(lambda: here.workers() == {"unhealthy": 1})
    (tmp_path / "broken").unlink()
    assert here.ended(job)["error"] == "job timed out after 1 retries"
    assert here.output("1") == 1
    assert len((tmp_path / "starts").read_text()) <= 7


@needs_proc
def test_a_program_that_found_itself_unfit_stays_unhealthy_when_it_is_gone(host: Host, tmp_path: Path) -> None:
    server = host(BROKEN, workers_max=1).ready()
    here = client(server)
    (tmp_path / "unfit").touch()
    here.submit("os._exit(1)")
    server.line("fitness check memory failed: too small")
    server.line("the worker exited with code 1")
    until(lambda: not server.processes())
    assert here.workers() == {"unhealthy": 1}
    (tmp_path / "unfit").unlink()
    assert here.output("1") == 1


@needs_proc
def test_a_crash_in_a_job_gives_the_job_to_a_fresh_program(host: Host) -> None:
    server = host(workers_max=1).ready()
    here = client(server)
    pid = here.output("os.getpid()")
    child = here.output(f"subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(99)']).pid")
    assert child in server.processes()
    job = here.submit("os.path.exists('crashed') or open('crashed', 'w').close() or os._exit(5)")
    envelope = here.ended(job)
    assert (envelope["status"], envelope["output"], envelope["retries"]) == ("COMPLETED", True, 1)
    server.line("the worker exited with code 5")
    assert here.output("os.getpid()") != pid
    until(lambda: not {pid, child} & server.processes())


# Being replaced


REFRESHING = """
answer = b""
while not answer:
    answer = call(TAKE + "&job_in_progress=0")
job = json.loads(answer)
report(job, {"output": os.getpid(), "stopPod": True})
serve()
"""


def test_a_program_that_asks_for_it_is_replaced(host: Host) -> None:
    server = host(REFRESHING, workers_max=1).ready()
    pids = [client(server).output("never evaluated") for _ in range(3)]
    assert len(set(pids)) == 3
    until(lambda: not set(pids[:2]) & server.processes())


BATCH = """
if os.path.exists("took"):
    serve()
jobs = []
while len(jobs) < 2:
    url = TAKE.replace("job-take", "job-take-batch") + "&batch_size=%d&job_in_progress=%d"
    answer = call(url % (2 - len(jobs), len(jobs) > 0))
    jobs += json.loads(answer) if answer else []
open("took", "w").close()
REFRESH
wait_for("gate")
report(jobs[1], {"output": ME})
serve()
"""


def test_a_program_that_asks_for_it_first_ends_its_other_jobs(host: Host, tmp_path: Path) -> None:
    server = host(BATCH.replace("REFRESH", 'report(jobs[0], {"output": ME, "stopPod": True})'), workers_max=1).ready()
    here = client(server)
    first, second, third = (here.submit("ME") for _ in range(3))
    worker = here.ended(first)["output"]
    assert (here.status(second)["status"], here.status(third)["status"]) == ("IN_PROGRESS", "IN_QUEUE")
    (tmp_path / "gate").touch()
    ended = here.ended(second)
    assert (ended["output"], "retries" in ended) == (worker, False)
    assert here.ended(third)["output"] != worker


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has less time to obey."""
    monkeypatch.setattr(command, "OBEY", 300)


@pytest.mark.usefixtures("hurry")
def test_a_program_that_does_not_obey_is_replaced(host: Host) -> None:
    server = host(workers_max=1).ready()
    here = client(server)
    job = here.submit("signal.signal(signal.SIGTERM, signal.SIG_IGN) and 0 or wait_for('never')")
    here.runs(job)
    worker = here.status(job)["workerId"]
    here.cancel(job)
    ended = here.ended(here.submit("ME"))
    assert ended["output"] != worker and "retries" not in ended
    server.line(f"ep#1: job {job} was not stopped within")
    assert here.status(job)["status"] == "CANCELLED"
    assert here.workers() == {"idle": 1}


@pytest.mark.usefixtures("hurry")
def test_a_program_that_obeys_stays(host: Host, tmp_path: Path) -> None:
    here = client(host(workers_max=1).ready())
    job = here.submit("wait_for('gate')")
    here.runs(job)
    worker = here.status(job)["workerId"]
    here.cancel(job)
    (tmp_path / "gate").touch()
    assert here.output("time.sleep(0.6) or ME") == worker


@pytest.mark.usefixtures("hurry")
def test_a_program_that_does_not_obey_first_ends_its_other_jobs(host: Host, tmp_path: Path) -> None:
    server = host(BATCH.replace("REFRESH", ""), workers_max=1).ready()
    here = client(server)
    first, second = here.submit("ME"), here.submit("ME")
    until((tmp_path / "took").exists)
    worker = here.status(second)["workerId"]
    here.cancel(first)
    third = here.submit("ME")
    server.line(f"ep#1: job {first} was not stopped within")
    assert (here.status(second)["status"], here.status(third)["status"]) == ("IN_PROGRESS", "IN_QUEUE")
    (tmp_path / "gate").touch()
    ended = here.ended(second)
    assert (ended["output"], "retries" in ended) == (worker, False)
    assert here.ended(third)["output"] != worker


# The end


@needs_proc
@pytest.mark.parametrize(
    ("ready", "busy"), [("", False), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", True)], ids=["idle", "stubborn"]
)
def test_the_end_of_the_server_leaves_no_process(start: Starter, tmp_path: Path, ready: str, busy: bool) -> None:
    body = f"{ready}\nsubprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(99)'])\nserve()"
    server = start("--command", "ep=" + program(tmp_path, body)).ready()
    if busy:
        client(server).runs(client(server).submit("wait_for('never')"))
    assert len(server.processes()) == 3
    assert server.stop() == 0
    until(lambda: not server.processes())
