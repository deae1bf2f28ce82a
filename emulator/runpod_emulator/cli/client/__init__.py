"""The client of the command line: jobs of an emulator or of RunPod itself, and what only an emulator can be told."""
