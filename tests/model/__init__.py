"""An independent model of the API: its rules are written from the service's contract, never from the emulator's code."""
