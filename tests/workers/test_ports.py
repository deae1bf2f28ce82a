"""Ports and names of a worker's own, in its command and its variables."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.workers.ports import Placeholders, Ports, address_taken

from tests.workers import programs
from tests.workers.programs import Host, client, program

host = programs.host

# What placeholders stand for


def test_a_placeholder_is_the_same_wherever_it_stands() -> None:
    own = Placeholders("w1", Ports())
    port, second, twelfth = (own.fill(name) for name in ("{port}", "{port2}", "{port12}"))
    assert own.fill("--port={port1} h:{port}/{worker} {port2}") == f"--port={port} h:{port}/w1 {second}"
    assert len({port, second, twelfth}) == 3
    assert own.port == int(port)
    assert own.fill_all({"A": "{port}", "B": "b"}) == {"A": port, "B": "b"}


@pytest.mark.parametrize(
    "text", ["{}", "{ports}", "{port0}", "{port-1}", "{ port }", '{"port": 1}', "{Worker}", "${PORT}", "{", "}{"]
)
def test_other_braces_stay_as_they_are(text: str) -> None:
    assert Placeholders("w1", Ports()).fill(text) == text


def test_no_port_is_given_to_two_workers() -> None:
    ports = Ports()
    workers = [Placeholders(f"w{number}", ports) for number in range(20)]
    given = [int(worker.fill(name)) for worker in workers for name in ("{port}", "{port2}")]
    assert len(set(given)) == len(given)


def test_a_port_that_is_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        drawn = iter([taken.getsockname()[1], free := ports.take()])
        ports.give_back([free])
        monkeypatch.setattr("random.randrange", lambda *_: next(drawn))
        assert ports.take() == free


def test_a_port_is_free_again_when_its_worker_has_ended() -> None:
    ports = Ports()
    own = Placeholders("w1", ports)
    assert own.port in ports._given
    own.release()
    assert not ports._given


@pytest.mark.parametrize(
    "said",
    [
        "OSError: [Errno 98] Address already in use",
        "Error: listen EADDRINUSE: address already in use 0.0.0.0:8188",
        "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
        "ERROR: port 8000 is already in use",
    ],
)
def test_an_address_that_is_taken_is_known_by_the_last_words(said: str) -> None:
    assert "{port}" in address_taken(f"some\n{said}\nthe worker exited with code 1")
    assert not address_taken("nothing of the kind")


# Live

LISTENING = """
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
serve()
"""


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Ports:
    """The ports of the next server's workers."""
    ports = Ports()
    monkeypatch.setattr("runpod_emulator.server.server.Ports", lambda: ports)
    return ports


@pytest.mark.compat
def test_each_program_has_a_port_of_its_own(host: Host, tmp_path: Path, ports: Ports) -> None:
    command = f"ep={program(tmp_path, LISTENING)} {{port}}"
    variables = {"MY_PORT": "{port}", "OTHER": "{port2}", "WHO": "I am {worker}", "TEXT": "{not} {}"}
    server = host(None, command=[command], workers_max=2, environment=variables).ready()
    here = client(server)
    facts = "[sys.argv[1], *map(os.environ.get, ('MY_PORT', 'OTHER', 'WHO', 'TEXT')), ME]"
    jobs = [here.submit(f"wait_for('gate') or {facts}") for _ in range(2)]
    for job in jobs:
        here.runs(job)
    (tmp_path / "gate").touch()
    told = [here.ended(job)["output"] for job in jobs]
    for argument, port, _, who, text, worker in told:
        assert (argument, who, text) == (port, f"I am {worker}", "{not} {}")
    assert len({number for _, *numbers in told for number in numbers[:2]}) == 4
    server.stop()
    assert not ports._given


@pytest.mark.compat
def test_a_handler_has_a_port_of_its_own_too(host: Host, tmp_path: Path, ports: Ports) -> None:
    (tmp_path / "own.py").write_text("import os\ndef handler(job):\n    return os.environ['PORT'], os.environ['WHO']\n")
    server = host(None, handlers=["own.py"], environment={"PORT": "{port}", "WHO": "{worker}"}).ready()
    here = client(server, "own")
    job = here.ended(here.submit("anything"))
    port, who = job["output"]
    assert int(port) in ports._given
    assert who == job["workerId"]


@pytest.mark.compat
def test_a_program_whose_address_is_taken_says_so_and_what_to_do(host: Host, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = host(None, command=[f"ep={program(tmp_path, LISTENING)} {taken.getsockname()[1]}"])
        with pytest.raises(ConfigurationError) as error:
            server.ready()
    assert "Address already in use\nthe worker exited with code 1\nIts address is taken." in str(error.value)
    assert "--environment PORT={port}" in str(error.value)
