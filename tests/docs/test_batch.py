"""Whoever follows docs/batch.md gets what it says: its handler, its command and its client run here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import LIMIT, ROOT, Command, commands

pytestmark = pytest.mark.compat

PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
HANDLER, CLIENT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(COMMAND,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command of the page, where its handler is."""
    folder: Path = tmp_path_factory.mktemp("batch")
    (folder / "length.py").write_text(HANDLER)
    with commands(folder) as start:
        yield start(*shlex.split(COMMAND)[1:], "--port", 0).ready()


def test_the_client_prints_what_the_page_says(served: Command) -> None:
    assert "http://127.0.0.1:8000/" in CLIENT
    client = CLIENT.replace("http://127.0.0.1:8000", served.root_url)
    done = subprocess.run((sys.executable, "-c", client), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    (said,) = re.findall(r"# (FINALIZED .*)", CLIENT)
    assert done.stdout.splitlines() == [said, "FAILED None", "COMPLETED 3", "COMPLETED 5"]
    (batch,) = served.http.get("/length/batch").json()["batches"]
    requests = served.http.get(f"/length/batch/{batch['id']}/requests").json()["requests"]
    assert [one["output"]["batch"] for one in requests if "output" in one] == [batch["id"]] * 2
