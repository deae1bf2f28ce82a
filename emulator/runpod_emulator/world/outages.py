"""What a world does once its store is back, or has lost what nobody was told: all that had to wait goes on.

What waits for an answer of the store itself goes on by itself (`patiently` in `core/jobs/store.py`), as do timers that
ask again. Here is what only somebody who knows of the outage can begin.
"""

from __future__ import annotations

from collections.abc import Mapping

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.effects.webhooks import Webhooks
from runpod_emulator.world.heartbeat import Heartbeat


def resume_after_outages(
    store: JobStore,
    timeline: Timeline,
    webhooks: Webhooks,
    heartbeat: Heartbeat | None,
    endpoints: Mapping[str, Endpoint],
) -> None:
    """Let these parts of a world hear of losses, and of the end of outages."""

    def lost(endpoint_id: str) -> None:
        """Nobody can be told what has happened to some jobs of an endpoint: whoever waits for it looks for itself."""
        endpoint = endpoints.get(endpoint_id)
        if endpoint is not None:
            endpoint.waiters.reset()
            endpoint.work.engine.counts = None
            endpoint.later(endpoint.work.held.look_again())
        timeline.ask_again()
        webhooks.wake()

    def back() -> None:
        if heartbeat is not None:
            heartbeat.beat_now()
        timeline.ask_again()
        webhooks.wake()
        for endpoint in endpoints.values():
            endpoint.work.engine.store_back_at = timeline.now()
            endpoint.work.next_job.look_again()
            endpoint.later(endpoint.work.balance())

    store.news.losses.append(lost)
    store.outage.on_back.append(back)
