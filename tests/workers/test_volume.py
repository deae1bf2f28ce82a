"""A network volume: the link where it can be made, the variable always, and the word in the log."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from runpod_emulator.workers import volume
from runpod_emulator.workers.volume import VolumeLink

from tests.workers import programs
from tests.workers.programs import Host, client

host = programs.host


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """Where the link would be."""
    caplog.set_level(logging.INFO)
    link = tmp_path / "runpod-volume"
    monkeypatch.setattr(volume, "LINK", link)
    return link


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A volume."""
    made = tmp_path / "models"
    made.mkdir()
    return str(made)


def test_the_link_leads_to_the_folder_until_the_server_stops(
    place: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = VolumeLink()
    link.offer("llm", folder)
    link.offer("other", folder)
    assert os.readlink(place) == folder
    assert caplog.messages == [f"{place} is {folder}, the volume of endpoint llm"]
    link.remove()
    assert not os.path.lexists(place)


def test_the_place_is_free_again_when_the_last_endpoint_of_its_volume_is_gone(place: Path, folder: str) -> None:
    link = VolumeLink()
    link.offer("llm", folder)
    link.offer("other", folder)
    link.keep_for({"other", "third"})
    assert os.readlink(place) == folder
    link.keep_for({"third"})
    link.offer("third", str(place.parent))
    assert os.readlink(place) == str(place.parent)


def test_a_link_of_somebody_else_that_leads_there_is_used_and_left(place: Path, folder: str) -> None:
    place.symlink_to(folder)
    link = VolumeLink()
    link.offer("llm", folder)
    link.remove()
    assert os.readlink(place) == folder


@pytest.mark.parametrize("kind", ["folder", "link", "broken link"])
def test_what_is_there_already_stays(place: Path, folder: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/nowhere" if kind == "broken link" else "/")
    link = VolumeLink()
    link.offer("llm", folder)
    (said,) = caplog.messages
    there = "is there already and is something else"
    if kind != "folder":
        there = f"leads to {os.readlink(place)} already (if no other server needs that, remove it: rm {place})"
    assert said == (f"{place} {there}: workers of endpoint llm find their volume only by RUNPOD_VOLUME_PATH={folder}")
    link.remove()
    assert os.path.lexists(place)


def test_where_no_link_can_be_made_the_log_says_so(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(volume, "LINK", tmp_path / "no" / "runpod-volume")
    VolumeLink().offer("llm", folder)
    assert "cannot be made (No such file or directory): workers of endpoint llm" in caplog.messages[0]


def test_of_two_volumes_the_first_is_at_the_link(
    place: Path, folder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = VolumeLink()
    link.offer("llm", folder)
    link.offer("sd", str(tmp_path))
    assert os.readlink(place) == folder
    assert (
        f"{place} is {folder}, of endpoint llm, and can be one folder only: workers of endpoint sd"
        in caplog.messages[1]
    )


@pytest.mark.compat
def test_workers_find_it(host: Host, place: Path, folder: str) -> None:
    (Path(folder) / "weights").write_text("heavy")
    server = host(volume=folder).ready()
    here = client(server)
    assert here.output(f"open({str(place / 'weights')!r}).read()") == "heavy"
    assert here.output("os.environ['RUNPOD_VOLUME_PATH']") == folder
    server.stop()
    assert not os.path.lexists(place)
