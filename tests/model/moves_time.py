"""What time does, and what of it is seen."""

from __future__ import annotations

from tests.model.town import Town


def time_passes(town: Town) -> None:
    """A little, or enough for leases and limits."""
    town.advance(town.a_world(), town.dice.choice((1, 1_000, town.dice.randrange(1, 60_000))))


def long_time_passes(town: Town) -> None:
    """Enough for results to be forgotten."""
    town.advance(town.a_world(), town.dice.randrange(60_000, 1_000_000))


def look(town: Town) -> None:
    """Compare all that is seen."""
    town.check_all()


def receiver_fails(town: Town) -> None:
    """The next webhook calls are not acknowledged; not while stubs may end in one moment, in whatever order."""
    world = town.a_world()
    if not world.deliveries.answers and not any(
        job.webhook and not job.is_over
        for endpoint in world.endpoints.values()
        if endpoint.kind == "mock"
        for job in endpoint.jobs.values()
    ):
        status, times = town.dice.choice((500, 404, 302, 204)), town.dice.randrange(1, 4)
        town.admin(world, "POST", "/hooks/answers", {"status": status, "times": times}, 204)
        world.deliveries.answers += [status] * times


MOVES = {time_passes: 6, long_time_passes: 0.3, look: 2, receiver_fails: 1}
