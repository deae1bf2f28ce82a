"""One emulated world, and the table of them: endpoints, jobs, clock and limits, wired together."""
