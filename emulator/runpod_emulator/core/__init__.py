"""The rules: no HTTP, no processes, standard library only."""

from runpod_emulator.core.secrets.shown import guard_loggers

guard_loggers()  # every part of the emulator that logs has imported this package
