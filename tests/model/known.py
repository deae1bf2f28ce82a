"""Where the code is known to differ from the contract: each switch keeps the model off one fault, or lets it pass.

To hold the code to the contract, set a switch to False; when all are, this file and its uses can go.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Known:
    """True: the fault is there, and the model does not walk into it."""

    deleted_endpoint_keeps_jobs: bool = False
    """Every verb answers 500 once the retention of an ended job of a deleted endpoint ends; added again, it still
    has its old jobs and counters."""
    cancelled_jobs_use_up_responses: bool = False
    """A list of responses is used up by jobs that were cancelled before they ran."""
    lowered_max_spares_the_busy: bool = False
    """Workers that are busy when `workers_max` is lowered stay above it."""
    places_by_worker_id: bool = False
    """Process places are kept by worker id, which repeats across the worlds of one seed."""
    mocks_take_places: bool = False
    """Workers of stubs, which have no process, take process places."""
    dropped_world_keeps_places: bool = False
    """A namespace that is dropped keeps the places of its command workers, whatever they do, and of throttled ones."""
    paused_endpoint_queues: bool = False
    """An endpoint with `workers_max` 0 takes jobs instead of answering 409 ENDPOINT_PAUSED."""
    low_priority_in_line: bool = False
    """`lowPriority` jobs stand in line with the others instead of behind them."""


KNOWN = Known()
