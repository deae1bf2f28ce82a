"""`python -m emulator` is `runpod-emulator`."""

from emulator.cli import main

main()
