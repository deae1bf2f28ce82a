"""Apps of `runpod` 2.0: what runs in their own interpreter, which has the SDK and what the app imports.

The emulator starts these files by their paths and imports none of them: they need the standard library, and of that
interpreter's packages `runpod` and what it brings along.
"""

from pathlib import Path

DESCRIBE = Path(__file__).with_name("describe.py")
"""Prints what is in an app: `python describe.py ROOT PLACE [ATTRIBUTE]`."""
SERVED = Path(__file__).with_name("served_app.py")
"""One resource of an app: run as a file it is the handler of a queue; its `app` is the server of an API."""
MODULE = "_RUNPOD_EMULATOR_APP_MODULE"
"""The variable that names the module in which the resource is declared."""
