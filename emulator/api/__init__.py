"""The doors: HTTP in, verbs of the core behind it."""
