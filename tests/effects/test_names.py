"""Short names of jobs and workers."""

from __future__ import annotations

from runpod_emulator.effects import names
from runpod_emulator.effects.names import JobNames, worker_name


def test_a_job_is_called_by_as_much_of_its_id_as_tells_it_from_others() -> None:
    known = JobNames()
    jobs = ["8881f0c2-u1", "sync-8881f1-u1", "8882-u1", "8881f0c2-u2", "8881f0c2-u3", ""]
    shorts = ["8881", "8881f", "8882", "8881f0", "8881f0c", ""]
    assert [known.short(job) for job in jobs] == shorts
    assert [known.short(job) for job in reversed(jobs)] == shorts[::-1]


def test_no_name_is_longer_than_eight_characters() -> None:
    known = JobNames()
    assert [known.short(f"12345678-{number}") for number in range(7)] == [
        "1234", "12345", "123456", "1234567", "12345678", "12345678", "12345678",
    ]  # fmt: skip


def test_a_whole_id_is_told_once() -> None:
    known = JobNames()
    assert [known.introduced(job) for job in ("abcdef", "abcdef", "abcxyz")] == ["abcdef", "", "abcxyz"]


def test_the_name_of_a_job_long_ago_is_free_again(monkeypatch) -> None:
    monkeypatch.setattr(names, "_KEPT", 2)
    known = JobNames()
    assert [known.short(job) for job in ("aaaa1", "aaaa2", "bbbb1", "aaaa3")] == ["aaaa", "aaaa2", "bbbb", "aaaa"]
    known.introduced("cccc1")
    assert len(known._names) == len(known._jobs) == 2 and known.introduced("aaaa1") == "aaaa1"


def test_a_worker_has_its_endpoints_name_and_its_number() -> None:
    assert (worker_name("echo", 3), worker_name("echo", 0)) == ("echo#3", "echo")
