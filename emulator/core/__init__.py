"""The rules: no HTTP, no processes, standard library only."""

from emulator.core.shown import guard_loggers

guard_loggers()  # every part of the emulator that logs has imported this package
