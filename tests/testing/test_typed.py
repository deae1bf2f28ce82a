"""What a user's mypy sees of the installed package: types, and what is wrong with a misuse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]

USE = """
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from runpod_emulator.testing import Clock, Emulator, EmulatorFactory, Fault, Stub, Webhooks


@pytest.fixture(scope="module")
def of_the_module(runpod_emulator_factory: EmulatorFactory) -> Iterator[Emulator]:
    with runpod_emulator_factory("llm", clock="virtual", patience=5, workers_max=2) as emu:
        emu.webhooks.answer("500")
        pattern = re.compile("b")
        emu.stub(match={"input_regex": {"a": pattern}, "headers": {"x": pattern}}, respond={"output": 1})
        yield emu


def in_a_program() -> None:
    with Emulator("llm", "tts", clock="virtual", seed=7) as emu:
        base: str = emu.base_url
        key: str = emu.key
        environment: dict[str, str] = emu.environment
        stub: Stub = emu.stub(id="slow", endpoint="llm", respond={"delay": "30s", "output": "{{ input.prompt }}"})
        fault: Fault = emu.fault("status", status=429, headers={"Retry-After": 2}, times=1)
        emu.profile("flaky-network")
        emu.reset()
        emu.assert_requested(operation="run", body={"input": {"a": 1}}, count=3)
        statuses: list[str] = [job.status for job in [*emu.jobs(), *emu.jobs("llm"), emu.job("id")]]
        answered: list[int] = [one.status for one in emu.requests(endpoint="llm", operation="status_sync")]
        events: list[str] = [change.event for job in emu.jobs() for change in job.transitions]
        emu.wait_for(status="COMPLETED", count=2, webhooks=1, idle=True, timeout=1.5)
        holders: list[str] = emu.clock.held_by()
        print(holders)
        emu.assert_requested(path=re.compile("/run$"), headers={"x": {"regex": "^a"}, "y": re.compile("b")}, at_least=1)
        emu.assert_requested(body={"input": re.compile("a")}, body_regex={"input.a": "^1"}, at_most=2)
        emu.assert_order({"operation": "run", "endpoint": "l*"}, {"operation": "cancel", "job": "id"})
        other = emu.namespace("w2")
        headers: dict[str, str] = {**emu.headers, **other.headers}
        other.stub(endpoint="llm", respond={"output": emu.story() + other.key})
        print(headers, [(one.fault, one.body_cut) for one in other.requests(path_regex="/run$")], emu.unmet())
        print(base, key, environment, stub.id, fault.struck, statuses, answered, events)


def time_and_webhooks(emu: Emulator) -> list[str]:
    clock: Clock = emu.clock
    fired: list[float] = [clock.now(), *clock.advance(3600), *clock.run_until_idle(10)]
    hooks: Webhooks = emu.webhooks
    hooks.answer(500, times=2)
    hooks.answer(202, name="a", delay="2s", body={"seen": True})
    hooks.answer(drop=True)
    hooks.assert_received(name="a", body={"status": "COMPLETED"}, status=200, count=1)
    hooks.clear()
    print(hooks.url_for("a"), [call.name for call in hooks.received_at("a")])
    numbers: list[float] = [number for call in hooks.received for number in (call.at, call.status, len(call.body))]
    print(fired, numbers, [call.json["output"] for call in hooks.received])
    return [hooks.url, *(call.headers["content-type"] for call in hooks.received)]


def by_hand() -> None:
    Emulator(strict=True, patience=5).start().stop()


async def asynchronously() -> str:
    async with Emulator("llm", clock="auto", patience=5) as emu:
        stub: Stub = await emu.aio.stub(endpoint="llm", respond={"output": 1})
        fault: Fault = await emu.aio.fault("latency", delay="1s")
        fired: list[float] = [*await emu.aio.clock.advance(1), *await emu.aio.clock.run_until_idle("7d")]
        statuses: list[str] = [job.status for job in [*await emu.aio.jobs("llm"), await emu.aio.job("id")]]
        numbers: list[int] = [one.number for one in await emu.aio.requests(operation="run")]
        await emu.aio.assert_requested(operation="run", count=1)
        await emu.aio.wait_for(job="id", timeout="10m")
        await emu.aio.wait_for(idle=True, timeout=timedelta(minutes=10))
        await emu.aio.webhooks.answer(503, name="a", delay=timedelta(seconds=2))
        bodies: list[bytes] = [call.body for call in await emu.aio.webhooks.received()]
        await (await emu.aio.namespace("w2")).aio.reset(seed=7)
        print(bodies, emu.stub(respond={"delay": timedelta(seconds=5), "output": 1}))
        await emu.aio.reset()
        print(stub.id, fault.struck, fired, statuses, numbers, await emu.aio.clock.held_by())
        return emu.base_url


@pytest.fixture
def own() -> Iterator[Emulator]:
    with Emulator("llm") as emu:
        yield emu


@pytest.mark.runpod_emulator("llm", clock="virtual", fault_profile=["rate-limited"])
def test_with_the_fixture(runpod_emulator: Emulator, own: Emulator) -> None:
    assert own.base_url != runpod_emulator.base_url
"""

MISUSE = """
from runpod_emulator.testing import Emulator

Emulator("llm", clok="virtual")  # wrong
Emulator("llm", clock="slow")  # wrong
Emulator("llm", seed="7")  # wrong
with Emulator("llm") as emu:
    port: int = emu.base_url  # wrong
    emu.requets()  # wrong
    emu.stub("llm")  # wrong
    emu.stub(endpoint="llm")  # wrong
    emu.stub(respond={"outputt": 1})  # wrong
    emu.stub(endpont="llm", respond={"output": 1})  # wrong
    emu.stub(respond={"delay": 5, "output": 1})  # wrong
    emu.fault("latency", delay=2)  # wrong
    emu.reset(seed="7")  # wrong
    emu.aio.webhooks.answer(statuss=500)  # wrong
    emu.stub(match={"imput": {}}, respond={"output": 1})  # wrong
    emu.fault("staus", status=429)  # wrong
    emu.fault("status", stauts=429)  # wrong
    emu.fault("status", status=429, operations=["runn"])  # wrong
    emu.profile("flaky")  # wrong
    emu.clock.advance(None)  # wrong
    emu.assert_requested(operation="RUN")  # wrong
    emu.assert_requested(operation="runn", count=0)  # wrong
    emu.assert_requested(endpont="llm")  # wrong
    emu.requests(stats=200)  # wrong
    emu.wait_for(status="ENDED")  # wrong
    emu.wait_for(statuss="COMPLETED")  # wrong
    emu.jobs()[0].stauts  # wrong
    emu.jobs()[0]["status"]  # wrong
    emu.jobs()[0].transitions[0].evnt  # wrong
    emu.webhooks.received[0].code  # wrong
    emu.handler("llm", 5)  # wrong
    emu.aio.handler("llm", 5)  # wrong
    emu.aio.stub(endpont="llm", respond={"output": 1})  # wrong
    emu.aio.fault("staus", status=429)  # wrong
    emu.aio.assert_requested(operation="RUN")  # wrong
    emu.aio.wait_for(status="ENDED")  # wrong
    emu.aio.clock.advance(None)  # wrong
    emu.aio.requets()  # wrong
    emu.assert_requested(operation="run", at_lest=1)  # wrong
    emu.assert_requested(headers={"x": 5})  # wrong
    emu.assert_order({"operation": "run"}, {"operaton": "cancel"})  # wrong
    emu.webhooks.answer(statuss=500)  # wrong
    emu.webhooks.assert_received(nam="a")  # wrong
    emu.namespace(2)  # wrong
Emulator(strict="yes")  # wrong
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment in which the package is installed from a wheel; its dependencies are those of this one."""
    pytest.importorskip("mypy", reason="needs mypy: pip install -e '.[lint]'")
    folder = tmp_path_factory.mktemp("user")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (file,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(file), where], check=True)
    (Path(where) / "others.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    )
    return python


def mypy(python: Path, folder: Path, text: str) -> list[str]:
    """What mypy --strict says of a file, run outside this folder."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "user_side.py"]
    return _said(command, folder, text)


def pyright(python: Path, folder: Path, text: str) -> list[str]:
    """What pyright says of it."""
    command = [sys.executable, "-m", "pyright", "--pythonpath", str(python), "user_side.py"]
    return [line.strip() for line in _said(command, folder, text)]


def _said(command: list[str], folder: Path, text: str) -> list[str]:
    (folder / "user_side.py").write_text(text)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True).stdout.splitlines()


def wrong_lines(said: list[str]) -> set[int]:
    """The numbers of the lines of which an error is told."""
    return {int(found[1]) for line in said if (found := re.search(r"user_side\.py:(\d+):.*error:", line))}


EXPECTED = {number for number, line in enumerate(MISUSE.split("\n"), 1) if line.endswith("# wrong")}


def test_every_public_use_is_typed(python: Path, tmp_path: Path):
    assert mypy(python, tmp_path, USE) == ["Success: no issues found in 1 source file"]
    assert pyright(python, tmp_path, USE)[-1] == "0 errors, 0 warnings, 0 informations"


def test_every_misuse_is_told(python: Path, tmp_path: Path):
    told = mypy(python, tmp_path, MISUSE)
    assert wrong_lines(told) == EXPECTED, told
    told = pyright(python, tmp_path, MISUSE)
    assert wrong_lines(told) == EXPECTED, told
