"""The rules: no HTTP, no processes, standard library only."""
