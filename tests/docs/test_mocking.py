"""docs/mocking.md: it is what the models say, and each of its examples does something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.mocking.models import Match, Response, Stub

from tests.docs.test_generated import generate
from tests.plain import PLAIN
from tests.tables import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mocking.md"
SECTION = re.compile(r"^### `(\w+)`\n\n(.+)\n\n```python\n((?:.+\n)+)```$", re.MULTILINE)
SECTIONS: list[tuple[str, str, str]] = SECTION.findall(PAGE.read_text())
INPUT = {"prompt": "hello", "options": {"name": "fast"}}


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator("llm", clock="auto") as emu:
        yield emu


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text() == generate.mocking_page(), "run: make docs"


def test_every_member_and_every_kind_has_a_paragraph_and_an_example() -> None:
    members = [*Stub.model_fields, *Match.model_fields, *Response.model_fields, *(kind.value for kind in FaultKind)]
    assert [name for name, _, _ in SECTIONS] == members
    assert all(len(text) > 10 and len(example) > 20 for _, text, example in SECTIONS)


@table(("name", "example"), [(name, example) for name, _, example in SECTIONS])
def test_every_example_does_something(emu: Emulator, name: str, example: str) -> None:
    emu.reset()
    if example.startswith("emu.fault"):
        emu.stub(endpoint="llm", respond={"delay": "1s", "stream": [1, 2, 3], "output": "hello"})
    added: Any = eval(example, {"emu": emu})
    for _ in range(4):
        _use(emu)
    assert (added.matched if example.startswith("emu.stub") else added.asked) > 0, name


def _use(emu: Emulator) -> None:
    """Jobs, and what their client asks, until nothing is left to be done."""
    headers = {"authorization": emu.key, "x-tenant": "acme", "user-agent": "RunPod"}
    with httpx.Client(base_url=emu.base_url + "/llm", headers=headers, timeout=30, **PLAIN) as client:
        for path in ("/run", "/runsync?wait=1000"):
            with suppress(httpx.TransportError):  # which is what some faults make
                client.post(path, json={"input": INPUT, "webhook": emu.webhooks.url})
            for job in emu.jobs("llm")[:1]:
                with suppress(httpx.TransportError):
                    client.get(f"/status/{job.id}")
        with suppress(TimeoutError):
            emu.wait_for(idle=True, timeout="2h")
