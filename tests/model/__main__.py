"""Drives the model beside the server: `python -m tests.model --steps 20000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.driver import drive


def main() -> int:
    """Drive, and say how far it came and what the first difference was."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    began = time.perf_counter()
    done, difference = drive(told.steps, told.seed)
    print(f"{done} steps, seed {told.seed}, {time.perf_counter() - began:.1f} s")
    if difference:
        print(difference)
    return bool(difference)


if __name__ == "__main__":
    sys.exit(main())
