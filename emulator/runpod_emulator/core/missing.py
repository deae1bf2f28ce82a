"""What to install where a program lacks a module."""

from __future__ import annotations

import re

_SAID = re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,100})'")
_PACKAGES = {
    "PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml", "bs4": "beautifulsoup4",
    "dotenv": "python-dotenv", "skimage": "scikit-image", "Crypto": "pycryptodome", "dateutil": "python-dateutil",
    "google.protobuf": "protobuf", "jwt": "pyjwt", "magic": "python-magic", "fitz": "pymupdf", "OpenSSL": "pyopenssl",
    "serial": "pyserial", "usb": "pyusb", "wx": "wxpython", "attr": "attrs", "faiss": "faiss-cpu",
}  # fmt: skip
"""Packages that are not called as their modules."""


def missing_module(said: str) -> str:
    """The module that is missing, by what Python says when it ends, as in a traceback; "" if it says something else."""
    found = _SAID.search(said)
    return found[1] if found else ""


def how_to_install(module: str, python: str) -> str:
    """How the workers get a module; `python` is their interpreter, "" where it is not known."""
    first = module.partition(".")[0]
    package = _PACKAGES.get(module) or _PACKAGES.get(first) or first.replace("_", "-")
    ways = f"pip install {package}"
    if python:
        ways = f"{python} -m {ways}, or --python PATH for one that has it"
    return f"the workers' interpreter{python and f' {python}'} has no module {module}: if it is of a package, {ways}"
