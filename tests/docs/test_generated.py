"""The generated parts of the docs are what the code says."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest
from runpod_emulator.config.file import NAME
from runpod_emulator.config.options import (
    EndpointOptions,
    GivenOptions,
    all_options,
    default_text,
    flag,
    form,
    variable,
)
from runpod_emulator.config.plans import plan_all
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.mocking.faults import Fault

from tests.tables import table

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
assert spec is not None
assert spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def test_the_fidelity_page_is_current():
    assert (ROOT / "docs" / "fidelity.md").read_text() == generate.fidelity_page(), "run: make docs"


def test_the_state_diagram_is_current():
    text = (ROOT / "README.md").read_text()
    assert generate.state_diagram() in text, "run: make docs"
    assert text == generate.readme(text)


def test_the_options_table_is_current() -> None:
    text = (ROOT / "README.md").read_text()
    assert f"<!-- options: begin -->\n{generate.options_table()}\n<!-- options: end -->" in text, "run: make docs"
    assert text.count("<!-- options: begin -->") == text.count("<!-- options: end -->") == 1


def test_the_tables_of_faults_are_current() -> None:
    text = (ROOT / "docs" / "testing-clients.md").read_text()
    assert text == generate.testing_page(text), "run: make docs"
    for name, made in (("faults", generate.faults_table()), ("fields of faults", generate.fault_fields_table())):
        assert f"<!-- {name}: begin -->\n{made}\n<!-- {name}: end -->" in text


def test_the_tables_of_faults_have_a_row_for_every_kind_and_every_field() -> None:
    for made, names in (
        (generate.faults_table(), [kind.value for kind in FaultKind]),
        (generate.fault_fields_table(), list(Fault.model_fields)),
    ):
        assert re.findall(r"^\| `(\w+)` \|", made, re.MULTILINE)[-len(names) :] == names
        assert len(made.splitlines()) == len(names) + 2


def table_of_options() -> dict[str, list[str]]:
    """The cells of each row of the README's table, by what its option is called there."""
    _, _, rest = (ROOT / "README.md").read_text().partition("<!-- options: begin -->")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("<!-- options: end -->")[0].splitlines()[3:]]
    return {re.findall("`(.+)`", called)[0]: cells for called, *cells in rows}


def test_the_readme_has_a_row_for_every_option_and_no_other() -> None:
    assert list(table_of_options()) == ["HANDLER..." if name == "handlers" else flag(name) for name in all_options()]


@table("name", all_options())
def test_a_row_tells_form_default_and_description(name: str) -> None:
    field = all_options()[name]
    value, default, own, text = table_of_options()["HANDLER..." if name == "handlers" else flag(name)]
    assert value.strip() == form(field) or not form(field)
    assert value.strip()
    assert default.strip() == default_text(field)
    assert own.strip() == ("yes" if name in EndpointOptions.model_fields else "")
    assert text == field.description


def test_the_table_follows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    monkeypatch.setattr(generate, "options_table", lambda: "| fresh |")
    monkeypatch.setattr(generate, "state_diagram", lambda: "fresh states")
    fresh = generate.readme(text)
    assert "<!-- options: begin -->\n| fresh |\n<!-- options: end -->" in fresh
    assert "<!-- states: begin -->\nfresh states\n<!-- states: end -->" in fresh
    assert "--workers-max`" not in fresh, "the old table is gone"
    assert fresh.partition("<!-- options")[0] == text.partition("<!-- options")[0], "all else is as it was"
    assert (
        fresh.partition("<!-- options: end")[2].partition("<!-- states")[0]
        == (text.partition("<!-- options: end")[2].partition("<!-- states")[0])
    )


PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
EXAMPLES = [
    pytest.param(textwrap.dedent(block), id=f"{page} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_configuration_of_the_docs_can_be_served(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in GivenOptions.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    for handler in re.findall(r'"([\w./-]+\.py)', example):
        (tmp_path / handler).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / handler).touch()
    (tmp_path / NAME).write_text(example)
    settings = read_settings()
    assert plan_all(settings) or not settings.images.is_empty


def test_the_readme_has_a_configuration_to_start_from() -> None:
    assert any(param.id == "README.md 0" for param in EXAMPLES)


def test_the_configuration_of_the_readme_means_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in GivenOptions.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/handler.py").touch()
    (tmp_path / NAME).write_text(str(EXAMPLES[0].values[0]))
    settings = read_settings()
    llm, sdk, elsewhere = plan_all(settings)
    assert (settings.port, settings.platform().run_retention) == (9000, 600_000)
    assert (llm.settings.workers_min, llm.settings.workers_max, llm.environment) == (1, 2, {"MODEL": "tiny"})
    assert (llm.settings.cold_start.low, llm.settings.cold_start.high) == (2_000, 8_000)
    assert (sdk.service.command, sdk.settings.scaler_delay) == (("python", "-u", "src/handler.py"), 4_000)
    assert (elsewhere.settings.id, str(elsewhere.service)) == ("elsewhere", "workers started elsewhere")


@table("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_exists(page: str):
    named = set(re.findall(r"`(\w[\w/]*/[\w.]*)`", (ROOT / page).read_text()))
    assert len(named) > 20
    for name in named:
        bases = ROOT, ROOT / "emulator" / "runpod_emulator", ROOT / "tests"
        assert any((base / name).exists() for base in bases), name


def test_each_walk_of_the_architecture_page_takes_ten_lines_at_most():
    text = (ROOT / "docs" / "architecture.md").read_text()
    walks = re.findall(r"^## (An? .*)\n\n((?:.+\n)+)", text, re.MULTILINE)
    assert len(walks) == 5
    assert {name: steps.count("\n") for name, steps in walks if steps.count("\n") > 10} == {}


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
