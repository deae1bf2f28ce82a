"""Eight workers of pytest-xdist on one server: each has a world of its own by its key, and sees nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import LIMIT, ROOT, SOURCE, Command, commands
from tests.compat.tenants import Tenant

pytestmark = pytest.mark.compat

WORKERS = 8
ROUNDS = 2

SUITE = """
import os
from pathlib import Path

import pytest

from tests.compat.servers import until
from tests.compat.tenants import Tenant

WORKER = os.environ["PYTEST_XDIST_WORKER"]
WORKERS = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
NUMBER = int(WORKER.removeprefix("gw"))
MET = Path(__file__).parent / "met"


def meet(place):
    (MET / f"{place}.{WORKER}").touch()
    until(lambda: len(list(MET.glob(f"{place}.*"))) == WORKERS, 10)


@pytest.fixture(scope="module")
def tenant():
    tenant = Tenant(os.environ["SHARED_SERVER"], f"test-{WORKER}", NUMBER)
    yield tenant
    tenant.close()


@pytest.mark.parametrize("number", range(int(os.environ["ROUNDS"])))
def test_a_world_of_its_own(tenant, number):
    meet(f"{number}-begin")
    tenant.tell()
    meet(f"{number}-told")
    tenant.submit()
    meet(f"{number}-submitted")
    tenant.advance()
    meet(f"{number}-advanced")
    for check in tenant.checks:
        check()
    meet(f"{number}-checked")
    if NUMBER % 2:
        tenant.admin("reset", {})
    meet(f"{number}-reset")
    if NUMBER % 2:
        assert (tenant.admin("jobs")["total"], tenant.admin("requests")["total"]) == (0, 0)
        assert tenant.admin("stubs") == tenant.admin("faults") == tenant.admin("hooks") == []
        tenant.is_at_its_beginning()
    else:
        for check in (tenant.has_its_own_jobs, tenant.has_its_own_results, tenant.has_its_own_webhooks):
            check()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with commands(tmp_path_factory.mktemp("shared")) as start:
        options = ("--mock", "llm", "--clock", "virtual", "--namespaces", "key", "--seed", 7, "--port", 0)
        yield start("serve", *options).ready()


def pair(server: Command, *keys: str) -> list[Tenant]:
    """Two tenants that take turns."""
    tenants = [Tenant(server.root_url, key, number) for number, key in enumerate(keys)]
    for step in (Tenant.tell, Tenant.submit, Tenant.advance):
        for tenant in tenants:
            step(tenant)
    return tenants


def test_eight_workers_at_once_see_only_their_own(server: Command, tmp_path: Path):
    (tmp_path / "met").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RUNPOD_"))}
    told = {
        "SHARED_SERVER": server.root_url,
        "ROUNDS": str(ROUNDS),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, SOURCE))),
    }
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "xdist",
            "-n",
            str(WORKERS),
            "--dist",
            "each",
        ],
        cwd=tmp_path,
        env={**clean, **told, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{WORKERS * ROUNDS} passed" in ended.stdout
    nobody = Tenant(server.root_url, "runpod-emulator", 0)
    assert len(nobody.admin("namespaces")) >= WORKERS and "test-gw" not in str(nobody.admin("namespaces"))
    assert (nobody.admin("jobs")["total"], nobody.admin("requests")["total"]) == (0, 0)
    assert nobody.admin("stubs") == nobody.admin("hooks") == []


def test_two_with_keys_of_their_own_pass_every_check(server: Command):
    assert [tenant.broken() for tenant in pair(server, "one", "two")] == [[], []]


def test_the_first_of_two_with_one_key_fails_every_check(server: Command):
    first, second = pair(server, "both", "both")
    assert first.broken() == [check.__name__ for check in first.checks]
    assert second.broken()
