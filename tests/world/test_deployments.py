"""What endpoints were deployed as, and which release their workers run."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_emulator.core.errors import EndpointNotFound
from runpod_emulator.world.deployments import Change, Deployment, Deployments


class Fleet:
    """The fleet of an endpoint, of which only the count of changes matters."""

    version = 4


class Workforce:
    """The workers of an endpoint."""

    def __init__(self) -> None:
        self.fleet = Fleet()


def deployments(variables: dict[str, str]) -> tuple[Deployments, list[Any]]:
    """Those of one endpoint `ep`, and the workforces that were renewed."""
    renewed: list[Any] = []
    workforce: Any = Workforce()

    def renew(one: Any) -> None:
        one.fleet.version += 1
        renewed.append(one)

    made = Deployments(lambda: 7, lambda: "new", lambda endpoint: workforce, renew)
    made.added("ep", "QUEUE", variables)
    return made, renewed


def test_an_endpoint_of_the_configuration_has_a_record():
    made, _ = deployments({"A": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    assert (made.of("ep").name, made.of("ep").env, made.of("ep").version) == ("ep", {"A": "1"}, 1)
    made.removed("ep")
    with pytest.raises(EndpointNotFound):
        made.of("ep")


def test_only_what_workers_run_is_a_release():
    made, renewed = deployments({})
    made.change("ep", {"name": "other", "flashboot": "FLASHBOOT", "image": ""})
    assert (made.of("ep").name, made.of("ep").version, renewed) == ("other", 1, [])
    made.change("ep", {"image": "a:2", "disk": 30})
    release = made.of("ep").releases[-1]
    assert (release.version, release.at, release.code, len(renewed)) == (2, 7, 5, 1)
    assert release.changes == (Change("image", "", "a:2"), Change("disk", 20, 30))
    assert [made.of("ep").version_of(code) for code in (0, 4, 5, 6)] == [1, 1, 2, 2]


def test_variables_are_replaced_but_for_the_servers_own():
    variables = {"A": "1", "B": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    made, _ = deployments(variables)
    made.change("ep", {"env": {"B": "2", "C": "2", "PATH": "/x"}}, {"B": "2", "C": "2"})
    assert variables == {"B": "2", "C": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    made.change("ep", {"image": "a:2"})
    assert variables == {"B": "2", "C": "2", "PYTHONDONTWRITEBYTECODE": "1"}


def test_a_noted_one_is_what_it_was_made_as_and_keeps_what_lies_below():
    variables = {"SERVER": "s", "OWN": "o"}
    made, _ = deployments(variables)
    made.note("ep", Deployment("n", "QUEUE", env={"OWN": "o"}))
    assert (made.of("ep").name, made.of("ep").created_at, made.of("ep").is_ours) == ("n", 7, False)
    made.change("ep", {"env": {}}, {})
    assert variables == {"SERVER": "s"}


def test_a_reset_brings_back_the_first_release_and_renews_who_runs_another():
    variables = {"A": "1"}
    made, renewed = deployments(variables)
    first = made.of("ep")
    made.restore()
    assert (made.of("ep"), renewed) == (first, [])
    made.change("ep", {"env": {"A": "2"}}, {"A": "2"})
    made.restore()
    assert (variables, made.of("ep").version, len(renewed)) == ({"A": "1"}, 1, 2)
    assert [made.of("ep").version_of(code) for code in (5, 6)] == [None, 1]
