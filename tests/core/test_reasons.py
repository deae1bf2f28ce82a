"""What went wrong, in one line."""

from __future__ import annotations

import pytest
from runpod_emulator.core.reasons import gist

HEAD = "handler h.py could not be started:\n"
TRACED = 'Traceback (most recent call last):\n  File "h.py", line 1, in <module>\n    import torch\n'


CASES = {
    "traceback": (HEAD + TRACED + "ImportError: No module named 'torch'", "ImportError: No module named 'torch'"),
    "lines": (HEAD + TRACED + "ValueError: two\nlines\n\n", "ValueError: two"),
    "syntax": (HEAD + '  File "h.py", line 1\n    def f(:\n          ^\nSyntaxError: invalid', "SyntaxError: invalid"),
    "chain": (HEAD + TRACED + "KeyError: 'a'\n\nDuring handling of it:\n\n" + TRACED + "OSError: b", "OSError: b"),
    "words": (HEAD + "h.py ended without a start. Write\n\n    import runpod", "h.py ended without a start. Write"),
    "command": (HEAD + TRACED + "KeyError: 'a'\nthe worker exited with code 1\nIts address is taken.", "KeyError: 'a'"),
    "silent": (HEAD + "the worker exited with code 3", "the worker exited with code 3"),
    "late": ("endpoint h: the worker was not ready within 7 s", "endpoint h: the worker was not ready within 7 s"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("reason", "line"), CASES.values(), ids=CASES)
def test_the_gist_of_a_workers_last_words(reason: str, line: str):
    assert gist(reason) == line
