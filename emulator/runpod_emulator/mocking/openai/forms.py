"""The form that a request asks of an answer: `response_format` of chats, `text.format` of responses."""

from __future__ import annotations

import json
import random

from runpod_emulator.mocking.openai.asked import Format
from runpod_emulator.mocking.openai.errors import bad_request


def formed(form: Format | None, text: str, chance: random.Random) -> str:
    """The text as it is, in an object, or a value of the schema; raises ModelError."""
    if form is None or form.type == "text":
        return text
    if form.type == "json_object":
        return json.dumps({"text": text}, ensure_ascii=False)
    if form.json_schema is None or form.json_schema.schema is None:
        raise bad_request("response_format: json_schema needs a json_schema with a schema", "response_format")
    from runpod_emulator.mocking.openai.schema_values import value

    return value(form.json_schema.schema, chance)
