"""What templates cannot do."""

from __future__ import annotations

import json

import pytest
from runpod_emulator.core.mocks.script import ScriptError
from runpod_emulator.mocking.templates import value_of

from tests.mocking.mocks import scene
from tests.tables import table


def failure(written: str) -> str:
    with pytest.raises(ScriptError) as failed:
        value_of(written)(scene({"list": [1], "text": "x" * 10}))
    return str(failed.value)


@pytest.mark.parametrize(
    "written",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ input['__class__'] }}",
        "{{ randint.__self__ }}",
        "{{ uuid.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ input.list | map(attribute='__class__') | list }}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_nothing_inside_is_reached(written: str):
    assert "unsafe" in failure(written) or "undefined" in failure(written) or "no attribute" in failure(written)


@pytest.mark.parametrize(
    "written", ["{{ input.list.append(1) }}", "{{ input.update({}) }}", "{{ input.pop('list') }}", "{{ lipsum() }}"]
)
def test_nothing_is_changed(written: str):
    assert "unsafe" in failure(written) or "undefined" in failure(written)


@table(
    "written",
    [
        "{{ 'x' * 10**9 }}",
        "{{ 10**9 * 'x' }}",
        "{{ [1] * 10**9 }}",
        "{{ 10**(10**10) }}",
        "{{ (2**5000) * (2**6000) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'x'.ljust(10**10) }}",
        "{{ 'x' | center(10**10) }}",
        "{{ 'x\n' | indent(10**10) }}",
        "{{ ('x' * 10**7).replace('x', 'y' * 10**7) }}",
        "{{ ('x' * 10**7) | replace('x', 'y' * 10**7) }}",
        "{{ (['x' * 10**7] * 10) | join }}",
        "{{ ('x' * 10**7, 'x' * 10**7, 'x' * 10**7) | join }}",
        "{{ ', '.join(['x' * 10**7, 'x' * 10**7]) }}",
        "{{ ['x' * 10**7, 'x' * 10**7, 'x' * 10**7] }}",
        "{% set s = 'x' * 10**7 %}{{ s }}{{ s }}{{ s }}",
        "{% set s = 'x' * 10**7 %}{{ s ~ s ~ s }}",
        "{% set s = 'x' * 10**7 %}{{ s + s + s }}",
        "{% set s = 'x' * 10**7 %}{% set t %}{{ s }}{{ s }}{{ s }}{% endset %}{{ t | length }}",
    ],
)
@pytest.mark.usefixtures("patient")
def test_nothing_huge_is_made(written: str):
    assert any(reason in failure(written) for reason in ("longer than 20 MB", "number as long", "format as wide"))


@pytest.mark.parametrize(
    "written",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set r = range(99999) | list %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% set x = range(99999) | sum %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% for a in [1] recursive %}{{ loop(range(99999)) if loop.depth < 9 }}{% endfor %}",
    ],
)
def test_nothing_goes_on_for_ever(written: str):
    told = failure(written)  # once: steps or time may be over first
    assert any(reason in told for reason in ("more than 250000 steps", "more than 50 ms of work"))


def test_a_range_has_the_limit_of_the_sandbox():
    assert "Range too big" in failure("{{ range(10**9) }}")


@table(
    ("written", "value"),
    [
        ("{{ ('ab' * 1000) | length }}", 2000),
        ("{{ 2 ** 64 }}", 2**64),
        ("{{ 2 ** -1 }}", 0.5),
        ("{{ 2.5 * 4 }}", 10.0),
        ("{{ '%05d' % 42 }}", "00042"),
        ("{{ '{:>4}'.format(1) }}", "   1"),
        ("{{ now * 1000 }}", 1_700_000_000_000_000),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ 'a-b'.replace('-', '+') }}", "a+b"),
        ("{{ 'x' | center(5) }}", "  x  "),
        ("{{ range(50000) | sum }}", 1249975000),
        ("{{ ['a', 'b'] | join('-') }}", "a-b"),
        ("{{ now | string }}", "1700000000000"),
    ],
)
def test_what_is_reasonable_works(written: str, value: object):
    assert json.loads(value_of(written)(scene())) == value


def test_each_evaluation_has_its_steps_to_itself():
    value = value_of("{{ range(99999) | sum }}")
    assert len({value(scene()) for _ in range(5)}) == 1
