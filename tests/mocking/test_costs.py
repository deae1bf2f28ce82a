"""What evaluating a template costs: no rendering, of whatever kind, works for long."""

from __future__ import annotations

import json

import pytest
from runpod_emulator.mocking.templates import value_of

from tests.mocking.mocks import scene
from tests.mocking.vocabulary import INPUT, Writer, work
from tests.tables import table
from tests.timing import expect_within, timed

LONGEST = 0.25
"""Seconds of work; the rule is a tenth, and this machine is shared."""


@timed
@pytest.mark.parametrize(
    "expression",
    [
        "(input.t*100)|wordwrap(1)",
        "input.t.translate({120: input.t})",
        "([input.l]*20000)|sum(start=[])",
        "'{:>{}}'.format(1, 1000000000)",
        "[input.l]*20000",
        "([input.l]*20000)|string|length",
        "([input.l]*20000)|tojson|length",
        "([input.l]*20000) == ([input.l]*20000)",
        "([input.l]*20000)|trim",
        "(input.t*150).upper()",
        "(input.t*100).rfind('y' ~ input.t)",
        "(input.t*10).strip(input.t)",
        "('a'*50 ~ 'b') in ('a'*10000000)",
        "5|round(-1000000000)",
        "(input.u*2)|sort",
        "([input.u*2]*3)|map('sort')|list|length",
        "5|round(10**9, 'ceil')",
        "(1).to_bytes(10**9)",
        "input.t.encode('punycode')",
        "input.p|urlize",
        "(input.tags*10)|striptags",
        "input.o|tojson(indent=1000000)",
        "input.o|tojson(indent=input.t)",
        "(input.o*10)|pprint",
        "range(100000)|select|select|select|select|select|select|list|length",
        "(input.o*50)|sort(attribute='n')|length",
        "input.l|batch(10000000)|list|length",
        "input.l|slice(10000000)|list|length",
        "([input.t]*20000)|select|join|length",
        "('%(a)9999d'*100000) % {'a': 1}",
        "('{0:9999}'*10000).format(1)",
        "((input.t*100)|title)|length",
        "dict(input.d).fromkeys(range(100000), 1)|length * 1000000 * 'x'",
        "(('f'*10000000)|int(0, 16)) // 3",
        "((input.w * 100).split(' '))|length",
        "([[1]*1000]*20000)|unique|list|length",
        "(input.s|groupby('a', input.u * 180))|length",
        "'%s'|format(*input.l * 1000)",
        "[1]|map('default', *input.l * 1000)|list",
        "1 is divisibleby(*input.l * 1000)",
        "1|default(*range(100000))",
        "cycler(*range(100000))",
        "dict(**input.d).get(*range(100000))",
    ],
)
@pytest.mark.parametrize("form", ["{{{{ {} }}}}", "a{{{{ {} }}}}", "{{% set made = {} %}}{{{{ made|string|length }}}}"])
def test_a_costly_operation_is_refused_before_it_runs(expression: str, form: str):
    took, outcome = work(form.format(expression), scene(INPUT))
    reasons = ("more than", "longer than", "as long as", "as wide as", "as high as", "such as that", "unsafe")
    assert any(reason in outcome for reason in reasons), outcome
    expect_within(took, LONGEST)


TREE = "{% set ns=namespace(a=(1,)) %}{% for i in range(40) %}{% set ns.a=(ns.a,ns.a) %}{% endfor %}{% set t=ns.a %}"
"""A tuple that is small in memory, and takes years to be hashed, compared or written down."""


@timed
@pytest.mark.parametrize(
    "expression",
    [
        "{}.get(t)", "{t: 1}|length", "{1: 1, t: 2}|length", "{1: 1}[t]", "dict(a=1).get(t)", "dict([(t, 1)])|length",
        "t in {1: 1}.keys()", "t in {1: 1}.items()", "t not in {1: 1}", "t in range(3)", "'a'[t]", "input[t]",
        "[1][t]", "[1]|attr(t)", "{}|attr(t)", "{1: 1}|map(attribute=t)|list", "[{}]|groupby(t)|list",
        "[t, t]|unique|list",
        "{}.fromkeys([t])", "{1: t} == {1: t}", "t == t", "(t, 1) == (t, 2)", "[t].index(t)", "[t].count(1)",
        "{1: 1}.keys().isdisjoint([t])", "1|round(method=t)", "1|round(0, t)", "[1]|map('round', method=t)|list",
        "'x'|urlize(target=t)", "'x'|urlize(target=[t])", "1|attr(name=t)", "'x'|urlize(20, true, t, t)",
        "{}|default({})|attr(t)", "[{}]|sort(attribute=t)", "t|string",
        "[1].index(t)", "(1,).index(t)", "{1: 1}[t:]", "{1: t}.items()", "{1: t}.items() == {1: t}.items()",
        "{1: t}.values()|string", "namespace([(t, 1)])", "ns", "ns|string", "'%s' % ns", "'{0.a}'.format(ns)",
        "[ns]|join(attribute='a')", "[ns]|unique(attribute='a')|list|length", "[ns]|groupby('a')|list|length",
        "'{0.items}'.format(cycler(t))", "[cycler(t)]|unique(attribute='current')|list|length",
    ],
)  # fmt: skip
def test_a_tree_of_shared_parts_is_counted_as_large_as_it_is(expression: str):
    took, outcome = work(f"{TREE}{{{{ {expression} }}}}", scene(INPUT))
    assert outcome, "it was evaluated"
    expect_within(took, LONGEST)


@timed
@pytest.mark.parametrize(
    "shown", ["[loop]|unique(attribute='nextitem')|list|length", "'{0.nextitem}'.format([loop][0])"]
)
def test_what_a_loop_gives_away_of_its_items_is_counted(shown: str):
    took, outcome = work(f"{TREE}{{% for one in [1, t] %}}{{{{ {shown} if loop.first }}}}{{% endfor %}}", scene(INPUT))
    assert outcome, "it was evaluated"
    expect_within(took, LONGEST)


@timed
@pytest.mark.parametrize(
    "expression", ["{1: 1}['a ' * 9000000]", "input['a ' * 9000000]", "('%(' + 'a ' * 900000 + ')s') % {'b': 1}"]
)
def test_an_error_shows_the_beginning_of_a_long_key(expression: str):
    took, outcome = work(f"{{{{ {expression} }}}}", scene(INPUT))
    assert outcome
    assert len(outcome) < 2_000
    expect_within(took, LONGEST)


@timed
def test_a_loop_that_looks_for_changes_compares():
    other = TREE.replace("ns", "other").replace("set t", "set u")
    loop = "{% for one in [t, u, t] %}{{ loop.changed(one) }}{% endfor %}"
    took, outcome = work(f"{TREE}{other}{loop}", scene(INPUT))
    assert "more than" in outcome
    expect_within(took, LONGEST)


@timed
@pytest.mark.parametrize(
    "written",
    [
        "{% for i in range(99999) %}{% set x = input.t[1:] %}{% endfor %}",
        "{% for i in range(99999) %}{{ input.deep|string|length }}{% endfor %}",
        "{% for i in range(99999) %}{% if input.l == input.l2 %}x{% endif %}{% endfor %}",
        "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n }}{% endmacro %}{{ f(40) }}",
        "{% for i in input.u %}{% if i == [] %}{{ i }}{% endif %}{% endfor %}" * 2,
        "{% for i in range(99999) %}" + "{% set a = input %}" * 500 + "{% endfor %}",
        "{% for i in [1] recursive %}"
        + "{% set a = input %}" * 500
        + "{{ loop(input.u) if loop.depth == 1 }}{% endfor %}",
        "{% for i in range(999) %}" + "{% set a = input.d.x %}" * 400 + "{% endfor %}",
    ],
)
def test_many_cheap_operations_end_soon(written: str):
    took, outcome = work(written, scene({"t": "x" * 100_000, "l": [*range(1000)], "l2": [*range(1000)], "d": {"x": 1},
                                         "u": "ß" * 90_000,
                                         "deep": [[[1] * 100] * 10]}))  # fmt: skip
    assert "more than" in outcome
    expect_within(took, LONGEST)


@timed
@pytest.mark.parametrize("seed", range(4))
def test_no_random_template_works_for_long(seed: int):
    writer = Writer(seed)
    for _ in range(100):
        written = writer.template()
        took, outcome = work(written)
        expect_within(took, LONGEST, (written, outcome))


@pytest.mark.parametrize("written", ["{{ a }}" * 3_000, "{{ '" + "x" * 20_000 + "' }}", "{{ a }}" + "x" * 1_000_001])
def test_a_template_that_takes_long_to_compile_is_refused(written: str):
    assert "or 10000 of what is no text" in work(written)[1]


def test_autoescape_is_refused():
    assert "autoescape is not for templates" in work("{% autoescape true %}{{ 1 }}{% endautoescape %}")[1]


@table(
    ("written", "value"),
    [
        ("{{ 1 < 2 < 3 }}", True),
        ("{{ 'a' not in 'cab' }}", False),
        ("{{ 3 in [1, 2, 3] and 2 != 3 }}", True),
        ("{{ [[1], [2, 3]] | sum(start=[]) }}", [1, 2, 3]),
        ("{{ '<b>' | escape }}", "&lt;b&gt;"),
        ("{{ 'abc'[::-1] ~ [1, 2, 3][1:] }}", "cba[2, 3]"),
        ("{{ 'x y z'.split() | map('upper') | join(',') }}", "X,Y,Z"),
        ("{{ [3, 1, 2] | sort | tojson }}", "[1, 2, 3]"),
        ("{{ {'a': [1]} | tojson(indent=1) }}", '{\n "a": [\n  1\n ]\n}'),
        ("{{ [1, 2, 3, 4] | batch(2) | list }}", [[1, 2], [3, 4]]),
        ("{{ 'ab cd' | wordwrap(2) }}", "ab\ncd"),
        ("{{ 3.14159 | round(2) }}", 3.14),
        ("{{ missing | default('x') }}", "x"),
        ("{{ ('x' * 10000000) | length }}", 10_000_000),
        ("{{ '{:>{}}'.replace('{', '') }}", ":>}}"),
        ("{{ 'a'.encode('utf-8').decode() }}", "a"),
        ("{{ {(1, 2): 'x'}[(1, 2)] }}", "x"),
        ("{{ dict([('a', 1)]) | tojson }}", '{"a": 1}'),
        ("{{ {'a': 1}.get('b', 2) }}", 2),
        ("{{ {'a': 1}.items()|list }}", [["a", 1]]),
        ("a{{ namespace(a=1) }}", "a<Namespace {'a': 1}>"),
        ("{{ 'a'.encode() == 'a'.encode() }}", True),
        ("{{ '%s-%s'|format(*[1, 2]) }}{{ dict(**{'a': 1}).a }}{{ cycler(*range(3)).next() }}", "1-210"),
        ("{{ 1 is eq(*[1]) and 'a'.replace(*['a', 'b'] | map('upper')) == 'a' }}", True),
        ("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ [c]|map(attribute='current')|join }}", "aba"),
        ("{{ ('a', 1) in {'a': 1}.items() and 'a' in {'a': 1}.keys() }}", True),
        ("{% for a in [1, 1, 2] %}{{ loop.changed(a) }}{% endfor %}", "TrueFalseTrue"),
        ("{% for a in [1, 2] %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}", "1a2b"),
    ],
)
def test_what_is_reasonable_works(written: str, value: object):
    assert json.loads(value_of(written)(scene({"l": []}))) == value
