"""The table `[images]`: which pattern fits what a client deploys, and what stands in for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.images import LONGEST, Images, last_star
from runpod_emulator.config.plans import clock_of, plan_all
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.management_errors import UnknownImage

from tests.config.given import configure, refused_file, settings_for, write
from tests.tables import table


def plan(
    images: Images, image: str = "", template: str = "", args: str = "", kind: Kind = "QUEUE", **env: str
) -> EndpointTable:
    """What stands in for a deployment."""
    return images.plan_for(image, template, args, env, kind)


def images(text: str) -> Images:
    """What a file says of images."""
    configure(text)
    return Images(settings_for().file)


Kind = Literal["QUEUE", "LOAD_BALANCER"]
KINDS: tuple[Kind, Kind] = ("QUEUE", "LOAD_BALANCER")
STARS = [
    ("runpod/worker", "runpod/worker", ""),
    ("runpod/worker", "runpod/worker:1", None),
    ("runpod/worker:*", "runpod/worker:1.2", "1.2"),
    ("runpod/worker:*", "runpod/worker:", ""),
    ("runpod/worker:*", "runpod/worker", None),
    ("*", "", ""),
    ("*", "any/thing", "any/thing"),
    ("*/worker", "a/b/worker", "a/b"),
    ("a*b*c", "abc", ""),
    ("a*b*c", "a-b-b-c", "-b-"),
    ("a*b*c", "acb", None),
    ("ab*bc", "abc", None),
    ("python* -u /handler.py*", "python3 -u /handler.py --generator", " --generator"),
    ("python* -u /handler.py*", "python -u /handler.py", ""),
    ("a.c", "abc", None),
    ("[ab]?", "a1", None),
    ("**", "x", "x"),
]


@table(("pattern", "text", "rest"), STARS)
def test_a_star_is_any_text(pattern: str, text: str, rest: str | None) -> None:
    assert last_star(pattern, text) == rest


def test_many_stars_take_no_time() -> None:
    assert last_star("*a" * 50 + "*b", "a" * LONGEST) is None


FILE = """
    [images]
    "runpod/worker:*" = { handler = "h.py" }
    "tpl_1*" = { command = "python -u other.py" }
    "python* -u /handler.py*" = { command = "python -u mock.py {rest} --tag={rest}" }
    "quiet/*" = "mock"
    "quiet/loud" = { handler = "h.py" }
    default = { mock = true, workers_max = 1 }
"""


@pytest.fixture
def all_kinds(folder: Path) -> Images:
    write(folder, "h.py")
    return images(FILE)


def test_image_template_and_arguments_are_what_is_fitted(all_kinds: Images) -> None:
    found = [
        plan(all_kinds, image="runpod/worker:1").handler,
        plan(all_kinds, template="tpl_12").command,
        plan(all_kinds, image="other", args="python3 -u /handler.py --generator 'a b'").command,
        plan(all_kinds, image="quiet/loud").mock,
        plan(all_kinds, image="nobody/knows").workers_max,
        plan(all_kinds).mock,
    ]
    rest = " --generator 'a b'"
    assert found == [
        "h.py",
        ["python", "-u", "other.py"],
        ["python", "-u", "mock.py", "--generator", "a b", f"--tag={rest}"],
        True,
        1,
        True,
    ], "the first pattern of the file that fits counts"


def test_words_of_a_list_are_filled_in_too(folder: Path) -> None:
    found = plan(images('[images]\n"x:*" = { command = ["run", "{rest}", "{port}"] }'), "x:a b")
    assert found.command == ["run", "a", "b", "{port}"]


def test_variables_are_joined_and_those_of_containers_left_out(folder: Path) -> None:
    text = '[images]\ndefault = { mock = true, environment = { MODEL = "small", HOME = "/home/me" } }'
    given = {"MODEL": "large", "PATH": "/opt/bin", "LD_PRELOAD": "x.so", "PYTHONPATH": "/app", "HOMEPAGE": "yes"}
    found = plan(images(text), "x", **given)
    assert found.environment == {"MODEL": "large", "HOME": "/home/me", "HOMEPAGE": "yes"}


def test_the_kind_is_that_of_what_is_deployed(all_kinds: Images) -> None:
    kinds = [plan(all_kinds, "quiet/x", kind=kind).type for kind in KINDS]
    assert kinds == ["queue", "load_balancer"]


@table("variables", [{"A=B": "x"}, {"": "x"}, {"A": "x\0"}, {"A\0": "x"}])
def test_what_no_process_can_have_is_refused(variables: dict[str, str], all_kinds: Images) -> None:
    assert plan(all_kinds, "quiet/x").environment == {}
    with pytest.raises(ConfigurationError, match=r"^env: "):
        plan(all_kinds, "quiet/x", **variables)


def test_arguments_that_no_shell_reads_are_refused(all_kinds: Images) -> None:
    with pytest.raises(ConfigurationError, match="args: No closing quotation"):
        plan(all_kinds, args="python -u /handler.py 'open")
    with pytest.raises(ConfigurationError, match="at most 20000 characters"):
        plan(all_kinds, image="x" * (LONGEST + 1))


def test_an_image_that_nothing_fits_is_told_how_to_be_mapped(folder: Path) -> None:
    for one in (Images(None), images(""), images('[images]\n"a" = "mock"')):
        with pytest.raises(UnknownImage, match=r"b:1.*\[images\].*default = \"mock\""):
            plan(one, "b:1")


REFUSED = [
    ('[images]\n"a:*" = { handler = "none.py" }', "runpod-emulator.toml:2: images.a:*.handler: handler none.py: there"),
    ('[images]\n"a" = "mack"', "runpod-emulator.toml:2: images.a: write a table here"),
    (
        '[images]\n"a" = { hndler = "h.py" }',
        "runpod-emulator.toml:2: images.a.hndler: no such key; the nearest is ha",
    ),
    ('[images]\n"a" = { command = "\'" }', "runpod-emulator.toml:2: images.a.command: No closing quotation"),
    ('[images."a"]\nmock = true\ncommand = "x"', "runpod-emulator.toml:3: images.a.command: write one of handler"),
    ('[images]\ndefault = { command = "" }', "runpod-emulator.toml:2: images.default.command: write a program"),
    ("images = 3", "runpod-emulator.toml:1: images: write a table here"),
    ('[images]\n"a" = { type = "queue" }', "runpod-emulator.toml:2: images.a.type: no such key"),
]


@table(("text", "words"), REFUSED)
def test_a_wrong_table_is_told_with_its_line(text: str, words: str, folder: Path) -> None:
    assert refused_file(text).startswith(words)


def test_paths_start_from_the_file_and_so_do_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "h.py", "below/x")
    configure('[images]\n"a" = { handler = "h.py" }\n"b" = { handler = "h.py", directory = "below" }')
    monkeypatch.chdir(folder / "below")
    one = Images(settings_for("--mock", "m").file)
    found = [(table.handler, str(table.directory)) for table in (plan(one, "a"), plan(one, "b"))]
    assert found == [("../h.py", ".."), ("../h.py", ".")]


@table(
    ("text", "clock"),
    [
        ('[images]\ndefault = "mock"', "auto"),
        ('[images]\n"a" = { command = "x" }\ndefault = "mock"', "real"),
        ('[images]\n"a" = {}', "real"),
    ],
)
def test_images_alone_are_something_to_serve(text: str, clock: str) -> None:
    configure(text)
    settings = settings_for()
    assert plan_all(settings) == []
    assert clock_of(settings, []) == clock


def test_secrets_of_images_are_known(folder: Path) -> None:
    configure('[images]\n"a" = { mock = true, environment = { HF_TOKEN = "hf_123456", NAME = "x" } }')
    assert settings_for().secrets == ["hf_123456"]
