"""Values that validate: each is held against its schema by another library."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import jsonschema
import pytest
from runpod_emulator.mocking.openai.errors import ModelError
from runpod_emulator.mocking.openai.schema_values import value

from tests.tables import table

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "next", "children"],
}
ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "price": {"type": "number", "exclusiveMinimum": 0}},
    "required": ["name", "price"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    {},
    {"type": "object"},
    {"type": "array"},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "integer", "minimum": 1, "maximum": 14},
    {"type": "integer", "multipleOf": 7, "minimum": 50},
    {"type": "string", "minLength": 50},
    {"type": "string", "maxLength": 3},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "ipv4"},
    {"type": ["string", "null"]},
    {"enum": [1, "a", None]},
    {"const": {"a": [1, 2]}},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"type": "array", "items": ITEM, "minItems": 2, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"type": "object", "patternProperties": {"^x_": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": ITEM}, "additionalProperties": False},
    {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["a"]}]},
    {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
]


@table("seed", [1, 2, 3])
@table("schema", SCHEMAS)
def test_a_value_validates(schema: Any, seed: int) -> None:
    made = value(schema, random.Random(seed))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(json.loads(made))
    assert made == value(schema, random.Random(seed)), "the same seed makes the same"
    assert len(made) < 5_000


@table(
    ("schema", "said"),
    [
        ({"type": "wrong"}, "Invalid type"),
        ({"$ref": "#/nowhere"}, "does not exist"),
        ({"not": {"type": "string"}}, "Unimplemented keys"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "Unimplemented keys"),
        ({"properties": 5}, "Invalid JSON schema"),
        ({"$ref": "#"}, "Invalid JSON schema"),
        ({"anyOf": []}, "Unsatisfiable schema"),
        ({"type": "string", "minLength": 100_000}, "more than 16384 bytes"),
        ({"type": "array", "items": {"const": "x"}, "minItems": 1_000_000}, "Invalid JSON schema"),
        ({"type": "string", "pattern": "(a|b){1000}(c?){1000}"}, "Invalid JSON schema"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "Invalid JSON schema"),
    ],
)
def test_a_schema_that_no_value_is_made_for(schema: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        value(schema, random.Random(1))
    assert caught.value.status == 400


def test_a_lenient_one_passes_over_what_no_grammar_knows() -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 1}
    assert isinstance(json.loads(value(schema, random.Random(1), lenient=True))[0], int)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ModelError, match=r"pip install 'runpod-emulator\[openai\]'"):
        value({}, random.Random(1))
