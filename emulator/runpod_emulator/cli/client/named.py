"""Which job a user means: `endpoint/id`, an id alone, or the first characters of one where only one begins so."""

from __future__ import annotations

from typing import Any, NamedTuple

from runpod_emulator.cli.client.calls import Calls, quoted
from runpod_emulator.cli.client.ends import Refused, WrongUse

SYNC = "sync-"
"""How the ids of /runsync begin."""
_SHORT = 8
_MANY = 20
"""Jobs of the same first characters that are looked at."""


class Name(NamedTuple):
    """One job of one endpoint."""

    endpoint: str
    id: str

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.id}"

    def path(self, verb: str) -> str:
        """Where a verb of it is, below the base URL."""
        return f"{quoted(self.endpoint)}/{verb}/{quoted(self.id)}"

    @property
    def short(self) -> str:
        """What is enough to know it again among others."""
        return short(self.id)


def short(job_id: str) -> str:
    """The first characters of an id that tell something: /runsync's all begin alike."""
    return job_id.removeprefix(SYNC)[:_SHORT]


def find_job(calls: Calls, text: str) -> Name:
    """The job that is meant; raises WrongUse where that cannot be known, and Refused where there is none."""
    endpoint, slash, job_id = text.strip().partition("/")
    if slash and endpoint and job_id and (len(job_id) > _SHORT or not calls.is_emulator):
        return Name(endpoint, job_id)
    begun = job_id if slash else endpoint
    if not begun or (slash and not endpoint):
        raise WrongUse(f"{text!r} is no job: write ENDPOINT/ID")
    if not calls.is_emulator:
        raise WrongUse(f"{text}: write ENDPOINT/ID, for only an emulator knows of which endpoint a job is")
    return _begun(calls, begun, endpoint if slash else "")


def _begun(calls: Calls, begun: str, endpoint: str) -> Name:
    found = [
        Name(str(job["endpoint"]), str(job["id"]))
        for job in _jobs(calls, begun, endpoint)
        if any(str(job["id"]).startswith(start) for start in (begun, SYNC + begun))
    ]
    if len(found) == 1 or any(name.id == begun for name in found):
        return next((name for name in found if name.id == begun), found[0])
    if not found:
        return _gone(calls, begun, endpoint)
    more = ", …" if len(found) > _MANY else ""
    raise WrongUse(f"{len(found)} jobs begin with {begun}: {', '.join(map(str, found[:_MANY]))}{more}")


def _jobs(calls: Calls, begun: str, endpoint: str) -> list[dict[str, Any]]:
    told = calls.admin("GET", "jobs", query={"q": begun, "endpoint": endpoint, "limit": 1_000})
    return [job for job in told.get("jobs", []) if isinstance(job, dict)]


def _gone(calls: Calls, job_id: str, endpoint: str) -> Name:
    """A job that is forgotten: its history says of which endpoint it was."""
    try:
        told = calls.admin("GET", f"jobs/{quoted(job_id)}")
    except Refused as error:
        raise Refused(error.status, f"there is no job {job_id}", calls.target.root) from error
    return Name(str(told["endpoint"]), job_id)
