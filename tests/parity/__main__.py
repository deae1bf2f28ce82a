"""`python -m tests.parity [--sdk VERSION] [HANDLER[/CASE] ...]`: play handlers, and print what differs."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.parity.batches import batches
from tests.parity.cases import SDKS
from tests.parity.catalogue import HANDLERS
from tests.parity.stage import Played, play


def main() -> None:
    """Play, and print."""
    parser = argparse.ArgumentParser(prog="tests.parity")
    parser.add_argument("--sdk", choices=SDKS, action="append")
    parser.add_argument("--log", action="store_true", help="print the server's log too")
    parser.add_argument("--whole", action="store_true", help="print all that differs")
    parser.add_argument("--same", action="store_true", help="print what both saw, too")
    parser.add_argument("handlers", nargs="*")
    options = parser.parse_args()
    for sdk in options.sdk or SDKS:
        wanted = [one for one in HANDLERS if sdk in one.sdks and (not options.handlers or one.name in options.handlers)]
        for batch in batches(wanted):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                played = play(batch, sdk, Path(folder))
            show(sdk, played, options)
            differing = sum(bool(ours.differences(theirs)) for ours, theirs in played.cases.values())
            names = ", ".join(one.name for one in batch)
            print(f"{sdk} {names}: {len(played.cases)} cases, {differing} differ, {time.monotonic() - began:.0f} s")


def show(sdk: str, played: Played, options: argparse.Namespace) -> None:
    """What differs, in one line a worker or whole."""
    if options.log:
        print(played.log)
    for (handler, case), (ours, theirs) in played.cases.items():
        differences = ours.differences(theirs)
        if options.same and not differences:
            print(f"{sdk} {handler}/{case}: same\n  {ours.summary}")
        if differences and not options.whole:
            print(f"{sdk} {handler}/{case} ({', '.join(differences)})\n  P {ours.summary}\n  S {theirs.summary}")
        for facet, (mine, their) in differences.items() if options.whole else ():
            print(f"{sdk} {handler}/{case} {facet}\n  P {mine}\n  S {their}")
    for handler, (mine, their) in played.health.items():
        if mine != their:
            print(f"{sdk} {handler} health\n  P {mine}\n  S {their}")


main()
