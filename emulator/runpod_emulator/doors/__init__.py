"""The routes: what clients, workers, tests and browsers call. A door translates; it decides nothing."""
