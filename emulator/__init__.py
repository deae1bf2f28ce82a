"""runpod-emulator: RunPod Serverless on your machine."""

__version__ = "0.1.0"
