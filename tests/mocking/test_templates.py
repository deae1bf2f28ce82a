"""Values with templates in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.core.mocks.script import ScriptError
from runpod_emulator.mocking.templates import Unusable, check_json, encode, text_of, value_of

from tests.mocking.mocks import NOW, scene
from tests.tables import table

INPUT = {"prompt": "hello", "n": 3, "options": {"list": [1, 2], "items": "own"}, "big": 2**70}


def made(written: Any, given: Any = None, **changes: Any) -> Any:
    return json.loads(value_of(written)(scene(INPUT if given is None else given, **changes)))


@table(
    ("written", "value"),
    [
        ("{{ input.n }}", 3),
        ("{{input.n + 0.5}}", 3.5),
        ("{{ input }}", INPUT),
        ("{{ input.options }}", INPUT["options"]),
        ("{{ input.options.list }}", [1, 2]),
        ("{{- input.prompt -}}", "hello"),
        ("{{ input.n == 3 }}", True),
        ("{{ none }}", None),
        ("{{ input.big }}", 2**70),
        ("{{ {'a': [input.n]} }}", {"a": [3]}),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ input.options.list | map('string') }}", ["1", "2"]),
        ("{{ '3' }}", "3"),
    ],
)
def test_one_expression_gives_the_value_itself(written: str, value: Any):
    assert made(written) == value


@table(
    ("written", "text"),
    [
        (" {{ input.n }}", " 3"),
        ("{{ input.n }}\n", "3\n"),
        ("{{ input.n }}{{ input.n }}", "33"),
        ("n={{ input.n }}", "n=3"),
        ("{% if input.n > 2 %}many{% else %}few{% endif %}", "many"),
        ("{% for one in input.options.list %}{{ one }}{{ ',' if not loop.last }}{% endfor %}", "1,2"),
        ("{% for one in input.options.list %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/2 2/2 "),
        ("{% set a = 'x' ~ input.n ~ 'y' %}{{ a }}", "x3y"),
        ('{"a": {{ input.options | tojson }}}', '{"a": {"list": [1, 2], "items": "own"}}'),
        ("{{ '{{' }} {{ input.n }}", "{{ 3"),
        ("3{# a comment #}{{ 1 }} ", "31 "),
    ],
)
def test_anything_else_gives_a_text(written: str, text: str):
    assert made(written) == text


def test_templates_are_found_wherever_a_value_has_strings():
    written = {"a": ["{{ input.n }}", {"b": "{{ input.prompt }}!"}], "{{ c }}": 1, "d": [1.5, None, "plain"]}
    assert made(written) == {"a": [3, {"b": "hello!"}], "{{ c }}": 1, "d": [1.5, None, "plain"]}


@table(
    ("written", "value"),
    [
        ("{{ headers['x-tenant'] }}", "acme"),
        ("{{ call }}", 3),
        ("{{ run }}", 2),
        ("{{ endpoint }}/{{ job }}", "ep/job-1"),
        ("{{ now }}", NOW),
        ("{{ now_iso }}", "2023-11-14T22:13:20.000Z"),
        ("{{ input.prompt | upper }}", "HELLO"),
        ("{{ 0 <= random() < 1 }}", True),
        ("{{ 1 <= randint(1, 6) <= 6 }}", True),
        ("{{ choice([7]) }}", 7),
        ("{{ [7] | random }}", 7),
        ("{{ uuid() | length }}", 36),
        ("{{ input.options.items }}", "own"),
        ("{{ input.get('nope', 5) }}", 5),
        ("{{ input.nope | default('none') }}", "none"),
    ],
)
def test_templates_know_their_job_and_have_dice(written: str, value: Any):
    assert made(written) == value


def test_the_time_is_asked_for_once_and_only_where_a_template_names_it():
    looks: list[int] = []

    def clock() -> int:
        looks.append(NOW + len(looks))
        return looks[-1]

    assert made({"a": "{{ input.n }}"}, clock=clock) == {"a": 3} and looks == []
    assert made(["{{ now }}", "{{ now_iso }}", "{{ now }}"], clock=clock) == [NOW, "2023-11-14T22:13:20.000Z", NOW]
    assert looks == [NOW]


ALL_DICE = ["{{ random() }}", "{{ randint(1, 10**12) }}", "{{ choice(range(1000)) }}", "{{ uuid() }}"]


@pytest.mark.parametrize("written", [*ALL_DICE, "{{ range(1000) | random }}"])
def test_the_seed_decides_the_dice(written: str):
    assert made(written, seed=5) == made(written, seed=5)
    assert made(written, seed=5) != made(written, seed=6)


def test_dice_are_thrown_anew_for_each_value():
    value, one = value_of(ALL_DICE), scene()
    assert value(one) != value(one)


def test_a_value_without_templates_is_encoded_once():
    written = {"a": [1, "x", None, True, 2.5]}
    value = value_of(written)
    written["a"] = []
    assert value(scene()) == b'{"a":[1,"x",null,true,2.5]}'
    assert value(scene()) is value(scene())


@pytest.mark.parametrize("value", [2**70, "\ud800", {"a": ["\udc00", -(2**65)]}, "ü"])
def test_whatever_a_client_can_send_can_be_encoded(value: Any):
    assert json.loads(encode(value)) == value
    assert json.loads(value_of(value)(scene())) == value
    assert made("{{ input.x }}", {"x": value}) == value


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("{{ x", ()),
        ("{% if %}", ()),
        ("{% for x in y %}", ()),
        ("{{ x | nosuchfilter }}", ()),
        ("{% nosuchtag %}", ()),
        ({"a": [1, {"b": "{{"}]}, ("a", 1, "b")),
        ("{{ " + "(" * 5_000 + ")" * 5_000 + " }}", ()),
    ],
)
def test_a_faulty_template_is_refused_when_it_is_made(written: Any, keys: tuple[Any, ...]):
    with pytest.raises(Unusable, match="faulty template") as refused:
        value_of(written)
    assert refused.value.keys == keys


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1: 2}, "names that are texts only"),
        ([float("nan")], "0: JSON has no float such as nan"),
        ({"a": float("inf")}, "a: JSON has no float"),
        ({"a": {1, 2}}, "a: JSON has no set"),
        (b"x", "JSON has no bytes"),
    ],
)
def test_what_is_no_json_is_refused(value: Any, reason: str):
    for check in (value_of, check_json):
        with pytest.raises(Unusable, match=reason):
            check(value)


def test_a_value_that_never_ends_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unusable, match="deeper than 200"):
        value_of(endless)
    wide: Any = 1
    for _ in range(30):
        wide = [wide, wide]
    with pytest.raises(Unusable, match="more than 1000000 values"):
        value_of(wide)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("{{ nope }}", "'nope' is undefined"),
        ("a {{ input.nope }}", "'dict object' has no attribute 'nope'"),
        ("{{ [nope] }}", "'nope' is undefined"),
        ("{{ input.nope.more }}", "'dict object' has no attribute 'nope'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ choice([]) }}", "failed: "),
        ("{{ input.keys }}", "builtin_function_or_method is no JSON"),
        ("{% include 'x' %}", "no loader"),
    ],
)
def test_a_template_that_fails_names_itself_and_the_reason(written: str, reason: str):
    value = value_of({"a": [written]}, "stub llm.output")
    with pytest.raises(ScriptError) as failed:
        value(scene())
    assert str(failed.value).startswith(f"stub llm.output.a.0: the template {written} failed: ")
    assert reason in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.usefixtures("patient")
def test_a_macro_that_never_ends_is_stopped():
    with pytest.raises(ScriptError, match="it nests too deep"):
        value_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")(scene())


def test_a_long_template_is_cut_where_it_is_named():
    with pytest.raises(ScriptError) as failed:
        value_of("x" * 500 + "{{ nope }}")(scene())
    assert len(str(failed.value)) < 200


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("plain", "plain"),
        ("n={{ input.n }}", "n=3"),
        ("{{ input.prompt }}", "hello"),
        ("{{ input.n }}", "3"),
        ("{{ input.options.list }}", "[1,2]"),
        ("{{ none }}", ""),
        ("{% if input.n > 3 %}too many{% endif %}", ""),
    ],
)
def test_a_text_stays_a_text(written: str, text: str):
    assert text_of(written)(scene(INPUT)) == text


def test_a_text_that_cannot_be_made_tells_why():
    with pytest.raises(ScriptError, match=r"^stub a\.error: the template \{\{ nope \}\} failed"):
        text_of("{{ nope }}", "stub a.error")(scene())
