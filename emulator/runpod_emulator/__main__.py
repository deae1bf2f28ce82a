"""`python -m runpod_emulator` is `runpod-emulator`."""

from runpod_emulator.cli.main import main

main()
