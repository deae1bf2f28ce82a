"""Errors that handlers return, and the other reserved keys of a returned dict."""

from __future__ import annotations

from tests.parity.cases import Handler

ERRORS = {
    "text": "'e'",
    "empty text": "''",
    "none": "None",
    "true": "True",
    "false": "False",
    "one": "1",
    "zero": "0",
    "float": "1.5",
    "list": "['a', 1]",
    "empty list": "[]",
    "dict": "{'code': 1.0, 'text': '☃'}",
    "empty dict": "{}",
    "nested": "{'error': {'error': 'deep'}}",
    "tuple": "(1, 'a')",
    "unicode": "'ünï ☃ \\u2028 \"'",
    "long": "'e' * 300_000",
}

HANDLERS = (
    Handler(
        "errors",
        {
            **{name: f"return {{'error': {value}}}" for name, value in ERRORS.items()},
            **{f"{name} and more": f"return {{'error': {value}, 'extra': 1}}" for name, value in ERRORS.items()},
        },
    ),
    Handler(
        "unsendable_errors",
        {
            "exception": "return {'error': ValueError('x')}",
            "set": "return {'error': {1}}",
            "bytes": "return {'error': b'x', 'extra': 1}",
            "lone surrogate": "return {'error': 'a\\ud800'}",
            "lone surrogate inside": "return {'error': {'text': '\\ud800'}}",
            "nan": "return {'error': float('nan')}",
            "extra not json": "return {'error': 'e', 'extra': {1}}",
            "extra lone surrogate": "return {'error': 'e', 'extra': '\\ud800'}",
        },
    ),
    Handler(
        "reserved",
        {
            "Error": "return {'Error': 'x', 'errors': ['y']}",
            "status": "return {'status': 'FAILED', 'id': 'other', 'output': {'error': 'x'}}",
            "stopPod": "return {'stopPod': True}",
            "progress look-alike": "return {'status': 'IN_PROGRESS', 'output': 'half'}",
            "error in output": "return {'output': 1, 'error': None}",
            "refresh false": "return {'refresh_worker': False, 'extra': 1}",
            "refresh none": "return {'refresh_worker': None}",
            "refresh zero": "return {'refresh_worker': 0, 'job_results': []}",
            "nobody was refreshed": "return 'same worker'",
        },
    ),
    Handler(
        "refreshes",
        {
            "with results": "return {'refresh_worker': True, 'job_results': [1, 2]}",
            "on the next worker": "return 'next'",
            "alone": "return {'refresh_worker': True}",
            "with an error": "return {'refresh_worker': 'yes', 'error': 'e'}",
            "after that": "return 'after'",
        },
    ),
    Handler(
        "refreshes_always",
        {"one": "return 1", "two": "return {'error': 'e'}", "three": "raise ValueError('x')"},
        config="'refresh_worker': True",
    ),
    Handler(
        "refreshes_odd",
        {"one": "return 1", "two": "return {'refresh_worker': False, 'a': 1}"},
        config="'refresh_worker': 'no'",
    ),
    Handler("refreshes_never", {"one": "return 1", "two": "return 2"}, config="'refresh_worker': 0"),
)
