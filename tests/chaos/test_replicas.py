"""Servers, workers, the store and the connections between them break again and again: nothing is lost, nothing doubled.

The small form is for `make compat`, the long one for `make chaos`: CHAOS_JOBS says how many jobs.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.replicas import endure
from tests.workers.processes import needs_proc

JOBS = int(os.environ.get("CHAOS_JOBS", "10000"))


@pytest.mark.compat
@needs_proc
def test_each_of_120_jobs_ends_once_whatever_breaks(tmp_path: Path) -> None:
    assert endure(tmp_path, jobs=120, strikes=6, seed=7, limit=120.0).startswith("120 jobs")


@pytest.mark.chaos
@needs_proc
def test_each_of_many_jobs_ends_once_whatever_breaks(tmp_path: Path) -> None:
    figures = endure(tmp_path, JOBS, strikes=JOBS // 20, seed=int(os.environ.get("CHAOS_SEED", "1")), limit=JOBS * 0.6)
    print(figures)
    assert figures.startswith(f"{JOBS} jobs")
