"""One endpoint: its verbs, its workers, the scripts that its jobs play, and what may go wrong."""
