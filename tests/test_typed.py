"""What a user's mypy sees of the installed package: types, and what is wrong with a misuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[1]

USE = """
from collections.abc import Iterator

import pytest

from runpod_emulator.testing import Clock, Emulator, Webhooks


def in_a_program() -> None:
    with Emulator("llm", "tts", clock="virtual", seed=7) as emu:
        base: str = emu.base_url
        key: str = emu.key
        environment: dict[str, str] = emu.environment
        stub: str = emu.stub(id="slow", endpoint="llm", respond={"delay": "30s", "output": "{{ input.prompt }}"})
        fault: str = emu.fault("status", status=429, headers={"Retry-After": 2}, times=1)
        emu.profile("flaky-network")
        emu.reset()
        emu.assert_requested(operation="run", body={"input": {"a": 1}}, count=3)
        statuses: list[str] = [job["status"] for job in [*emu.jobs(), *emu.jobs("llm"), *emu.requests(endpoint="llm")]]
        emu.wait_for(status="COMPLETED", count=2, webhooks=1, idle=True, timeout=1.5)
        print(base, key, environment, stub, fault, statuses)


def time_and_webhooks(emu: Emulator) -> list[str]:
    clock: Clock = emu.clock
    fired: list[float] = [clock.now(), *clock.advance(3600), *clock.run_until_idle(10)]
    hooks: Webhooks = emu.webhooks
    hooks.answer(500, times=2)
    numbers: list[int] = [number for call in hooks.received for number in (call.at, call.status, len(call.body))]
    print(fired, numbers, [call.json["output"] for call in hooks.received])
    return [hooks.url, *(call.headers["content-type"] for call in hooks.received)]


def by_hand() -> None:
    Emulator().start().stop()


async def asynchronously() -> str:
    async with Emulator("llm", clock="auto") as emu:
        return emu.base_url


@pytest.fixture
def own() -> Iterator[Emulator]:
    with Emulator("llm") as emu:
        yield emu


@pytest.mark.runpod_emulator("llm", clock="virtual", profile="rate-limited")
def test_with_the_fixture(runpod_emulator: Emulator, own: Emulator) -> None:
    assert own.base_url != runpod_emulator.base_url
"""

MISUSE = """
from runpod_emulator.testing import Emulator

with Emulator("llm") as emu:
    port: int = emu.base_url
    emu.stub("llm")
    emu.clock.advance("1h")
    emu.requets()
    emu.webhooks.received[0].code
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
    (folder / "user_side.py").write_text(text)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "user_side.py"]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True).stdout.splitlines()


def test_every_public_use_is_typed(python: Path, tmp_path: Path):
    assert mypy(python, tmp_path, USE) == ["Success: no issues found in 1 source file"]


def test_every_misuse_is_told(python: Path, tmp_path: Path):
    *told, _ = mypy(python, tmp_path, MISUSE)
    assert [line.split(":")[1] for line in told] == ["5", "6", "7", "8", "9"], told
