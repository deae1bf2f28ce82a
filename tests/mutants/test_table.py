"""The table of mutants keeps up with the code; `make mutants` runs them."""

from __future__ import annotations

from tests.mutants.__main__ import ROOT
from tests.mutants.table import MUTANTS, Mutant
from tests.tables import table


@table("mutant", MUTANTS)
def test_what_is_taken_out_is_there_and_its_tests_too(mutant: Mutant) -> None:
    compile(mutant.applied_to((ROOT / mutant.file).read_text()), mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text() if name else (ROOT / file).is_file()
