"""Fitness checks of the handler: in order, before the first job, and the end of a worker that fails one."""

from __future__ import annotations

from typing import Any

import pytest

CHECKED = """
    import asyncio
    import runpod
    from runpod.serverless import register_fitness_check

    ran = []

    @runpod.serverless.register_fitness_check
    def first():
        ran.append("first")
        FIRST

    @register_fitness_check
    async def second():
        await asyncio.sleep(0)
        ran.append("second")
        SECOND

    def handler(job):
        return [ran, first.__name__]

    runpod.serverless.start({"handler": handler})
"""


def checked(first: str = "pass", second: str = "pass") -> str:
    return CHECKED.replace("FIRST", first).replace("SECOND", second)


def test_checks_run_in_order_before_the_first_job(start: Any) -> None:
    child = start(checked())
    child.ready()
    assert child.run().output == b'[["first", "second"], "first"]'


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("raise RuntimeError('no model')", "print('never')", "fitness check first failed: RuntimeError: no model"),
        ("pass", "raise KeyError('gpu')", "fitness check second failed: KeyError: 'gpu'"),
        ("raise ValueError('x' * 300)", "pass", "fitness check first failed: ValueError: " + "x" * 244),
    ],
)
def test_a_failing_check_ends_the_worker_with_its_name_and_reason(
    start: Any, first: str, second: str, reason: str
) -> None:
    child = start(checked(first, second))
    assert child.broken() == reason
    assert "Fitness check failed: " in child.log
    assert "never" not in child.log


def test_a_check_that_exits_ends_the_worker(start: Any) -> None:
    assert "SystemExit: 3" in start(checked("raise SystemExit(3)")).broken()


@pytest.mark.parametrize(("rules", "runs"), [("1.12", True), ("2.0", False)])
def test_the_variable_that_skips_all_checks_came_with_2_0(start: Any, rules: str, runs: bool) -> None:
    source = checked("raise RuntimeError('ill')")
    child = start(source, options=("--rules", rules), RUNPOD_SKIP_FITNESS_CHECKS="true")
    if runs:
        assert child.broken() == "fitness check first failed: RuntimeError: ill"
    else:
        child.ready()
        assert child.run().output == b'[[], "first"]'


@pytest.mark.parametrize(
    ("rules", "environment", "noted"),
    [("2.0", {}, b"[true]"), ("1.12", {}, b"[false]"), ("2.0", {"RUNPOD_TEST": "1"}, b"[false]")],
    ids=str,
)
def test_sdk_2_0_notes_that_the_early_checks_are_done(
    start: Any, rules: str, environment: dict[str, str], noted: bytes
) -> None:
    source = "import os\ndef handler(job):\n    return ['RUNPOD_EARLY_FITNESS_CHECKS_DONE' in os.environ]"
    platform = {"RUNPOD_ENDPOINT_ID": "ep", "RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:9/"}
    child = start(source, options=("--rules", rules), **platform, **environment)
    child.ready()
    assert child.run().output == noted


def test_a_check_of_the_installed_package_is_the_same_check(start: Any) -> None:
    pytest.importorskip("runpod")
    child = start(
        """
        import runpod
        from runpod.serverless.modules.rp_fitness import register_fitness_check

        @register_fitness_check
        def own():
            raise RuntimeError("ill")

        runpod.serverless.start({"handler": print})
        """
    )
    assert child.broken() == "fitness check own failed: RuntimeError: ill"
