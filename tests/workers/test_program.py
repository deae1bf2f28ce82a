"""How a handler or a program runs: its folder, its variables, its jobs at once, and its retirement."""

from __future__ import annotations

from pathlib import Path

from tests.compat.servers import until
from tests.workers import served_code
from tests.workers.processes import needs_proc
from tests.workers.served_code import ServedCode

host = served_code.host
code = served_code.code
handler_code = served_code.handler_code

# Jobs at once

GATED = """
import asyncio


async def handler(job):
    while not os.path.exists(job["input"]["do"]):
        await asyncio.sleep(0.002)
    return ME
"""
"""Its jobs wait for the file that they name."""


def test_an_async_handler_may_have_several_jobs_at_once(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main(GATED)
    here = code.serve(reload=False, concurrency=4, workers_max=1)
    jobs = [here.submit("gate") for _ in range(5)]
    for job in jobs[:4]:
        here.runs(job)
    assert here.status(jobs[4])["status"] == "IN_QUEUE"
    (code.folder / "gate").touch()
    assert len({here.ended(job)["output"] for job in jobs}) == 1


def test_a_modifier_of_the_handlers_own_counts_for_more(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main(
        f"{GATED}\nimport runpod\n"
        "runpod.serverless.start({'handler': handler, 'concurrency_modifier': lambda current: 2})"
    )
    here = code.serve(reload=False, concurrency=4, workers_max=1)
    jobs = [here.submit("gate") for _ in range(4)]
    for job in jobs[:2]:
        here.runs(job)
    assert [here.status(job)["status"] for job in jobs[2:]] == ["IN_QUEUE"] * 2
    fleet = code.server.server.emulator.endpoints["ep"].fleet
    assert [worker.concurrency for worker in fleet.workers.values()] == [2]
    (code.folder / "gate").touch()
    assert len({here.ended(job)["output"] for job in jobs}) == 1


def test_a_plain_handler_has_its_jobs_one_after_another_all_the_same(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("running = []")
    here = code.serve(reload=False, concurrency=4, workers_max=1)
    look = "running.append(1) or [len(running), time.sleep(0.01), running.pop() and 0][0]"
    jobs = [here.submit(look) for _ in range(4)]
    assert [here.ended(job)["output"] for job in jobs] == [1, 1, 1, 1]


# Folder and variables


def test_the_workers_run_in_their_folder_with_their_variables(code: ServedCode, tmp_path: Path) -> None:
    """The emulator's own variables tell a worker who it is, and no other may."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code.write_main("")
    if code.kind == "command":
        (tmp_path / code.main).rename(elsewhere / code.main)
    variables = {"MY_OWN": "changed", "MODEL": "a=b c", "RUNPOD_ENDPOINT_ID": "fake", "RUNPOD_POD_ID": "fake"}
    here = code.serve(reload=False, directory=elsewhere, environment=variables)
    assert here.output("os.getcwd()") == str(elsewhere)
    found = here.output("dict(os.environ)")
    assert {name: found[name] for name in ("MY_OWN", "MODEL", "RUNPOD_ENDPOINT_ID")} == {
        "MY_OWN": "changed", "MODEL": "a=b c", "RUNPOD_ENDPOINT_ID": "ep",
    }  # fmt: skip
    assert found["RUNPOD_POD_ID"] == here.output("ME") != "fake"
    assert "PYTHONDONTWRITEBYTECODE" not in found


def test_a_module_is_sought_in_the_folder(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1", name="elsewhere/package/main.py")
    code.main = "package.main:handler"
    assert code.serve(reload=False, directory=code.folder / "elsewhere").output("NUMBER") == 1


def test_a_client_in_a_handler_reaches_the_server(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("")
    here = code.serve(reload=False)
    names = ["RUNPOD_ENDPOINT_BASE_URL", "RUNPOD_API_KEY"]
    assert here.output(f"[os.environ[name] for name in {names}]") == [code.server.base_url, "runpod-emulator"]


# Retirement


def retire(code: ServedCode, worker: str) -> None:
    async def now() -> None:
        code.server.server.emulator.endpoints["ep"].workforce.launcher.retire(worker)

    code.server.do(now())


@needs_proc
def test_a_retired_worker_ends_and_has_no_successor(code: ServedCode) -> None:
    code.write_main("")
    here = code.serve(reload=False)
    worker = here.output("ME")
    retire(code, worker)
    until(lambda: not code.pids() and here.workers() == {})
    retire(code, worker)
    retire(code, "nobody")
    assert here.output("ME") != worker


@needs_proc
def test_a_retired_worker_first_ends_its_job_and_gets_no_other(code: ServedCode) -> None:
    code.write_main("")
    here = code.serve(reload=False, workers_max=1)
    job = here.submit("wait_for('gate') or ME")
    here.runs(job)
    worker = here.status(job)["workerId"]
    retire(code, worker)
    retire(code, worker)
    waiting = here.submit("ME")
    assert (here.status(job)["status"], here.status(waiting)["status"]) == ("IN_PROGRESS", "IN_QUEUE")
    (code.folder / "gate").touch()
    ended = here.ended(job)
    assert (ended["output"], "retries" in ended) == (worker, False)
    assert here.ended(waiting)["output"] != worker
    until(lambda: len(code.pids()) == 1)


def test_a_retired_worker_ends_all_its_jobs(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main(GATED)
    here = code.serve(reload=False, concurrency=2, workers_max=1)
    jobs = [here.submit(gate) for gate in ("one", "two")]
    for job in jobs:
        here.runs(job)
    worker = here.status(jobs[0])["workerId"]
    retire(code, worker)
    (code.folder / "one").touch()
    assert here.ended(jobs[0])["output"] == worker
    later = here.submit("one")
    assert [here.status(job)["status"] for job in (jobs[1], later)] == ["IN_PROGRESS", "IN_QUEUE"]
    (code.folder / "two").touch()
    assert here.ended(jobs[1])["output"] == worker
    assert here.ended(later)["output"] != worker


@needs_proc
def test_a_retired_worker_whose_job_crashes_it_leaves_the_job_to_another(code: ServedCode) -> None:
    code.write_main("")
    here = code.serve(reload=False, workers_max=1)
    job = here.submit("os.path.exists('been') and ME or wait_for('gate') or open('been', 'w').close() or os._exit(1)")
    here.runs(job)
    worker = here.status(job)["workerId"]
    retire(code, worker)
    (code.folder / "gate").touch()
    ended = here.ended(job)
    assert (ended["status"], ended["retries"]) == ("COMPLETED", 1)
    assert ended["output"] != worker
    assert here.workers() == {"idle": 1}
