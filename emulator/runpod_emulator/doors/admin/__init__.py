"""The emulator's own door, under `/__emulator`: what tests and tools ask of it, and tell it."""
