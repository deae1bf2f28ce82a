"""The form of ids, and their seed."""

from __future__ import annotations

import re
import uuid

import pytest
from runpod_emulator.core.jobs.ids import Ids

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("suffix", "sync", "form"),
    [("-u1", False, f"{UUID4}-u1"), ("-u1", True, f"sync-{UUID4}-u1"), ("", False, UUID4), ("", True, f"sync-{UUID4}")],
)
def test_a_job_id_is_a_uuid4_with_its_region(suffix: str, sync: bool, form: str):
    ids = Ids()
    for _ in range(100):
        job = ids.job(suffix, sync)
        assert re.fullmatch(form, job)
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", job)
        assert uuid.UUID(job.removeprefix("sync-").removesuffix(suffix)).version == 4


def test_a_worker_id_is_fourteen_small_letters_and_digits():
    assert all(re.fullmatch(r"[a-z0-9]{14}", Ids().worker()) for _ in range(100))


def minted(seed: int | None, owner: str = "") -> list[str]:
    ids = Ids(seed, owner)
    return [ids.job("-u1", False), ids.worker(), ids.job("-u1", True)]


def test_the_same_seed_mints_the_same_ids():
    assert minted(7) == minted(7) != minted(8)


def test_two_servers_of_one_seed_mint_other_ids_and_each_the_same_again():
    ids = [minted(7, owner) for owner in ("", "a", "b")]
    assert len({one for minting in ids for one in minting}) == 9
    assert ids == [minted(7, owner) for owner in ("", "a", "b")]


def test_a_reset_begins_the_ids_of_jobs_anew_at_every_owner():
    for owner in ("", "a"):
        ids = Ids(7, owner)
        first = ids.job("-u1", False)
        ids.reset()
        assert ids.job("-u1", False) == first


def test_without_a_seed_no_two_worlds_mint_the_same():
    assert minted(None) != minted(None)
    ids = Ids()
    assert len({ids.job("", False) for _ in range(10_000)}) == 10_000


def test_after_a_load_ids_come_from_another_series_until_a_reset():
    series = []
    for loads in (0, 1, 2):
        ids = Ids(7)
        if loads:
            ids.go_on(loads)
        series.append([ids.job("", False), ids.worker(), ids.job("", False), ids.worker()])
    assert len({one for minted in series for one in minted}) == 12
    ids = Ids(7)
    worker = ids.worker()
    ids.go_on(1)
    assert [ids.job("", False), ids.worker()] == [series[1][0], series[0][3]]  # a worker is there: theirs go on
    assert worker == series[0][1]
    ids.reset()
    assert ids.job("", False) == series[0][0]
    other = Ids(7)
    other.go_on(1)
    other.reseed(8)
    other.reset()
    assert other.job("", False) == Ids(8).job("", False)


def test_without_a_seed_there_is_nothing_to_go_on_from():
    ids = Ids()
    ids.go_on(1)
    assert len({ids.job("", False) for _ in range(100)}) == 100
