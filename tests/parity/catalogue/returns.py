"""What handlers return."""

from __future__ import annotations

from tests.parity.cases import Handler

HANDLERS = (
    Handler(
        "returns",
        {
            "text": "return 'ünï ☃ \\u2028 \\x00 \"'",
            "null": "return None",
            "true": "return True",
            "dict": "return {'b': 1, 'a': [None, 1.5, {'c': 10**20}], 'ß': '☃'}",
            "empty": "return {}",
            "error true": "return {'error': True}",
            "set": "return {1, 2}",
            "nan": "return float('nan')",
            "raised": "raise ValueError('no luck: ☃')",
            "progress": """
                runpod.serverless.progress_update(job, {"pct": 50})
                gate(job)
                return "done"
            """,
        },
        sample=True,
    ),
)
