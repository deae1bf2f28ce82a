"""The generated parts of the docs are what the code says."""

import importlib.util
import re
from pathlib import Path

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


def test_every_file_that_the_architecture_page_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:api|core|stores|effects|workers|tests)/[\w/.]+)`", text))
    assert len(named) > 20
    for name in named:
        base = ROOT if name.startswith("tests/") else ROOT / "emulator"
        assert (base / name).exists(), name


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
