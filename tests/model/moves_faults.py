"""What goes wrong on purpose: an answer of the edge, before or after the request was carried out."""

from __future__ import annotations

from tests.model.town import Difference, Town


def edge_fails(town: Town) -> None:
    """A cancel or a retry is answered with an error; it counts only where it was carried out."""
    chosen = town.a_job(lambda endpoint, job: not job.shortened)
    if chosen is None:
        return
    world, endpoint, job = chosen
    verb, carried_out = town.dice.choice(("cancel", "retry", "status")), town.chance(0.5)
    status = town.dice.choice((429, 500, 503, 524))
    fault = {"fault": "status", "status": status, "operations": [verb], "times": 1, "processed": carried_out}
    town.admin(world, "POST", "/faults", fault, 201)
    held = town.call(world, "GET" if verb == "status" else "POST", f"/v2/{endpoint.name}/{verb}/{job.id}")
    if not held.done or held.status != status:
        raise Difference(f"{held.told}: a fault says {status}, got {held.status} {held.body}")
    if carried_out and verb != "status":
        (endpoint.cancel if verb == "cancel" else endpoint.retry)(job.id)


MOVES = {edge_fails: 0.5}
