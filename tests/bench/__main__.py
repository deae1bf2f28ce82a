"""The benchmark: `python -m tests.bench` measures all rows, `python -m tests.bench ROW...` some of them.

Each round measures every row once, on servers that are started for it. Only a run of all rows writes
docs/benchmarks.md, unless `--write` says so.
"""

from __future__ import annotations

import argparse
import os
import time

from tests.bench import (  # fmt: skip
    report,
    rows_day,
    rows_kept,
    rows_processes,
    rows_requests,
    rows_shared,
    rows_stored,
    rows_streams,
    rows_transfer,
    rows_watched,
    rows_webhooks,
)
from tests.bench.rows import Row, Scale

ROWS: tuple[Row, ...] = (
    *rows_requests.ROWS,
    *rows_streams.ROWS,
    *rows_processes.ROWS,
    *rows_stored.ROWS,
    *rows_kept.ROWS,
    *rows_transfer.ROWS,
    *rows_webhooks.ROWS,
    *rows_watched.ROWS,
    *rows_day.ROWS,
    *rows_shared.ROWS,
)
"""Every row of the table, in its order. A new one is a `Row` of some module, named here."""


def main() -> None:
    """Measure, print, and write the page."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the emulator and its peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each row is measured [5]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load on each server [3]")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="where the table says 1,000,000 [1,000,000]")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md also for some rows")
    given = parser.parse_args()
    unknown = set(given.rows) - set(names)
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    before = os.getloadavg()[0]
    results = [report.Result(row) for row in ROWS if not given.rows or row.name in given.rows]
    for number in range(given.rounds):
        for result in results:
            began = time.monotonic()
            try:
                result.samples.append(result.row.measure(Scale(number, given.seconds, given.jobs)))
            except Exception as error:  # a row that fails must not cost the others their hour
                result.problems.append(f"{type(error).__name__}: {error}".replace("\n", " "))
            took = time.monotonic() - began
            state = result.problems[-1] if result.problems else "done"
            print(f"round {number + 1} of {given.rounds}: {result.row.name}: {state} in {took:.0f} s", flush=True)
    told = report.circumstances(given.rounds, given.seconds, given.jobs, before)
    text = f"{told}\n\n{report.table(results)}"
    print(f"\n{text}")
    if given.write or not given.rows:
        report.write(text)


if __name__ == "__main__":
    main()
