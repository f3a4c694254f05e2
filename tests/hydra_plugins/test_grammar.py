"""From Hydra's sweep grammar to dimensions, and back to overrides."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bayesft.bo import Categorical, Integer, Real
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._grammar import as_override, parse_request

PARSER = OverridesParser.create()


def request(*arguments, **params):
    return parse_request(arguments, params, PARSER)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("interval(0,0.8)", Real(0.0, 0.8)),
        ("interval(1,4)", Real(1.0, 4.0)),
        ("int(interval(1,4))", Integer(1, 4)),
        ("tag(log,interval(1e-3,3e-2))", Real(1e-3, 3e-2, log=True)),
        ("tag(log,int(interval(1,100)))", Integer(1, 100, log=True)),
        ("int(tag(log,interval(1,100)))", Integer(1, 100, log=True)),
        ("range(1,5)", Integer(1, 4)),
        ("range(5)", Integer(0, 4)),
        ("range(0,10,5)", Categorical(("0", "5"))),
        ("range(0,1,0.5)", Categorical(("0.0", "0.5"))),
        ("choice(relu,elu)", Categorical(("relu", "elu"))),
        ("relu,elu,gelu", Categorical(("relu", "elu", "gelu"))),
        ("a,null", Categorical(("a", "null"))),
        ("choice([1,2],[3])", Categorical(("[1,2]", "[3]"))),
        ("choice('a b','c,d')", Categorical(("'a b'", "'c,d'"))),
        ("choice(true,false)", Categorical(("True", "False"))),
    ],
)
def test_sweeps(text, dimension):
    assert request(f"x.y={text}").swept == {"x.y": dimension}


@pytest.mark.parametrize(
    "text",
    ["x=1", "x=[0.1,0.2]", "x=null", "~x", "+x=1", "++x=a", "x={a: 1}", "x='a b'", "x=${y}", "a=b"],
)
def test_fixed_overrides_pass_through_as_they_were_typed(text):
    found = request(text)
    assert found.fixed == (text,)
    assert not found.swept
    assert found.fixed_keys == {"a" if text == "a=b" else "x"}


def test_the_command_line_wins_over_params():
    found = request("x=interval(0,1)", "y=3", x="interval(0,9)", y="choice(1,2)", z="range(0,3)")
    assert found.swept == {"x": Real(0.0, 1.0), "z": Integer(0, 2)}
    assert found.fixed == ("y=3",)


@pytest.mark.parametrize(
    "value", [None, True, 3, 1e-5, [None, 1], ["null", "a,b", "1"], {"b": None, "c": [True, "x y"]}]
)
def test_what_a_config_file_fixes_is_what_a_trial_gets(value):
    [fixed] = request(x=value).fixed
    assert PARSER.parse_overrides([fixed])[0].value() == value


@pytest.mark.parametrize("typed", ["x=1", "++x=1", "+x=1", "~x"])
def test_what_is_typed_takes_a_sweep_of_a_config_file_away(typed):
    found = request(typed, "y=interval(0,1)", x="interval(0,9)")
    assert found.fixed == (typed,)
    assert list(found.swept) == ["y"]


def test_a_shuffled_choice_is_the_same_space_every_time():
    spaces = [request("x=shuffle(choice(a,b,c,d,e,f,g,h))").swept for _ in range(3)]
    assert spaces[0] == spaces[1] == spaces[2] == request("x=a,b,c,d,e,f,g,h").swept


@pytest.mark.parametrize("choice", ["a b", "c,d", "it's", "[1]", "x=y", "null", "1e-3"])
def test_a_choice_of_text_comes_back_as_that_text(choice):
    quoted = "'" + choice.replace("'", "\\'") + "'"
    dimension = request(f"x=choice({quoted},b)").swept["x"]
    override = as_override("x", dimension, dimension.choices[0])
    assert str(PARSER.parse_overrides([override])[0].value()) == choice


@pytest.mark.parametrize("key", ["+x", "++x"])
def test_an_added_key_can_be_swept(key):
    assert request(f"{key}=interval(0,1)").swept == {key: Real(0.0, 1.0)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x=interval(0,1)", "x=3"], r"x is given twice, x=interval\(0,1\) and x=3, and swept"),
        (["x=3", "x=interval(0,1)"], r"x is given twice, x=3 and x=interval\(0,1\), and swept"),
        (["++x=3", "x=interval(0,1)"], r"x is given twice, \+\+x=3 and x=interval\(0,1\)"),
        (["x=interval(0,1)", "x=interval(0,2)"], r"x is given twice"),
        (["x=interval(0"], "interval"),
        (["a.x=interval(1,0)"], r"a\.x=interval\(1,0\): Expected `low` to be below `high`"),
        (["x=tag(log,interval(0,1))"], r"x=tag\(log,interval\(0,1\)\): .*log"),
        (["x=tag(Log,interval(1,2))"], "expected the tag log or none, but got Log"),
        (["x=choice(a,a)"], r"x=choice\(a,a\): .*"),
        (["x=range(1,2)"], r"x=range\(1,2\): .*"),
    ],
)
def test_what_cannot_be_searched_is_told(arguments, message):
    with pytest.raises(SweepError, match=message):
        request(*arguments)


@pytest.mark.parametrize(
    ("dimension", "value", "override"),
    [
        (Real(0.0, 1.0), 0.25, "x=0.25"),
        (Real(1e-6, 1.0, log=True), 1e-05, "x=1e-05"),
        (Integer(1, 4), 3, "x=3"),
        (Categorical(("relu", "null")), "null", "x=null"),
        (Categorical(("'a b'",)), "'a b'", "x='a b'"),
    ],
)
def test_overrides_read_back_as_what_they_set(dimension, value, override):
    assert as_override("x", dimension, value) == override
    parsed = PARSER.parse_overrides([override])[0].value()
    if not isinstance(dimension, Categorical):
        assert parsed == value
        assert type(parsed) is type(value)
