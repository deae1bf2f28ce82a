"""What users write to make the emulator pretend: the forms of faults, and their meaning in the core."""
