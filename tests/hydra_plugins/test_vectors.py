"""Vectors: one number per named element, swept element by element and written whole."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bayesft.bo import Categorical, Integer, Real
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._grammar import parse_request
from hydra_plugins.bayesft_sweeper._vectors import lay_out
from tests.helpers.app import SMALL, search

CFG = OmegaConf.create({"rates": 0.0, "lr": 0.01, "width": 5, "act": "elu", "sites": ["a", "b"]})
VECTORS = {
    "rates": {
        "names": "tests.hydra_plugins.test_vectors.names",
        "low": 0.0,
        "high": 0.8,
        "start": [0.0, 0.2],
    }
}


def names(cfg):
    return tuple(cfg.sites)


def layout(*arguments, vectors=VECTORS, cfg=CFG):
    return lay_out(parse_request(arguments, {}, OverridesParser.create()), vectors, cfg)


def test_an_element_for_each_name_the_application_gives():
    assert layout().dimensions == {"rates[a]": Real(0.0, 0.8), "rates[b]": Real(0.0, 0.8)}


def test_a_point_is_written_as_one_list():
    point = {"rates[a]": 0.125, "rates[b]": 0.0, "lr": 0.005}
    assert layout("lr=interval(0,0.1)").overrides(point) == ["rates=[0.125,0.0]", "lr=0.005"]


def test_bounds_of_ones_own():
    found = layout("rates=interval(0.1,0.5)")
    assert found.dimensions == {"rates[a]": Real(0.1, 0.5), "rates[b]": Real(0.1, 0.5)}
    assert not found.scalars


@pytest.mark.parametrize("prefix", ["+", "++"])
def test_a_forced_vector_is_the_same_key(prefix):
    found = layout(f"{prefix}rates=interval(0.1,0.5)", "lr=interval(0,1)")
    assert found.dimensions == {
        "rates[a]": Real(0.1, 0.5), "rates[b]": Real(0.1, 0.5), "lr": Real(0.0, 1.0)
    }  # fmt: skip
    chosen = layout(f"{prefix}rates=0.1,0.2")
    assert chosen.dimensions == {f"{prefix}rates": Categorical(("0.1", "0.2"))}
    assert chosen.overrides({f"{prefix}rates": "0.2"}) == [f"{prefix}rates=0.2"]


@pytest.mark.parametrize(
    ("typed", "got"),
    [
        ("rates=interval(0,2)", "2"),
        ("rates=interval(0,1)", "1"),
        ("++rates=interval(-0.1,0.5)", "-0.1"),
        ("rates=int(interval(0,1))", "1"),
        ("rates=range(0,3)", "2"),
        ("rates=0.1,1.5", "1.5"),
        ("rates=[0.1,0.2],[0.1,1.0]", "1"),
    ],
)
def test_what_a_vector_cannot_be_is_refused_as_it_was_typed(typed, got):
    limited = {"rates": {**VECTORS["rates"], "least": 0, "below": 1}}
    with pytest.raises(SweepError) as refused:
        layout(typed, vectors=limited)
    message = f"{typed}: expected rates to be at least 0 and below 1, but got {got}. Try '"
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith("rates=interval(0.0,0.8)'.")
    # Without limits it is as before.
    assert layout(typed).dimensions


def test_a_rate_of_1_is_refused_before_any_training(tmp_path):
    with pytest.raises(SweepError, match=r"model\.dropout=interval\(0,1\): .*below 1, but got 1\."):
        search(tmp_path / "s", *SMALL, "model.dropout=interval(0,1)")
    assert not (tmp_path / "s" / "journal.jsonl").exists()


@pytest.mark.parametrize("typed", ["rates=interval(0,0.99)", "rates=0,0.1", "rates=null,[0.1,0.2]"])
def test_what_a_vector_can_be_is_searched(typed):
    limited = {"rates": {**VECTORS["rates"], "least": 0, "below": 1}}
    assert layout(typed, vectors=limited).dimensions == layout(typed).dimensions


def test_a_fixed_vector_is_not_swept():
    assert layout("rates=[0.1,0.1]", "lr=interval(0,1)").dimensions == {"lr": Real(0.0, 1.0)}


def test_a_vector_over_choices_is_a_scalar():
    found = layout("rates=0.1,0.2")
    assert found.dimensions == {"rates": Categorical(("0.1", "0.2"))}


def test_no_names_no_vector():
    cfg = OmegaConf.merge(CFG, {"sites": []})
    assert not layout(cfg=cfg).vectors


def test_the_start_is_each_constant_with_the_rest_as_configured():
    found = layout("lr=tag(log,interval(1e-3,1e-1))", "width=int(interval(1,9))", "act=relu,elu")
    rest = {"lr": 0.01, "width": 5, "act": "elu"}
    assert found.start(CFG) == [
        {"rates[a]": 0.0, "rates[b]": 0.0, **rest},
        {"rates[a]": 0.2, "rates[b]": 0.2, **rest},
    ]
    types = {key: type(value) for key, value in found.start(CFG)[0].items()}
    assert types["width"] is int


def test_a_start_outside_of_the_bounds_moves_to_them():
    starts = layout("rates=interval(0.1,0.15)").start(CFG)
    assert starts == [{"rates[a]": 0.1, "rates[b]": 0.1}, {"rates[a]": 0.15, "rates[b]": 0.15}]
    # Both constants would be the same point here: it is tried once.
    assert len(layout("rates=interval(0.3,0.5)").start(CFG)) == 1


@pytest.mark.parametrize(
    ("typed", "own", "text"),
    [
        ("x=true,false", False, "False"),
        ("x=null,3", None, "null"),
        ("x=3,'null'", "null", "'null'"),
        ("x=[1,2],[3,4]", [3, 4], "[3,4]"),
        ("x=1e-3,1e-5", 1e-5, "1e-05"),
    ],
)
def test_a_choice_starts_as_configured_whatever_it_is(typed, own, text):
    assert layout(typed, vectors={}).start(OmegaConf.create({"x": own})) == [{"x": text}]


def test_a_value_that_its_dimension_cannot_take_starts_in_the_middle():
    assert layout("rates=0", "lr=interval(1,3)").start(CFG) == [{"lr": 2.0}]
    assert layout("rates=0", "width=int(interval(10,20))").dimensions == {"width": Integer(10, 20)}
    assert 10 <= layout("rates=0", "width=int(interval(10,20))").start(CFG)[0]["width"] <= 20


@pytest.mark.parametrize("missing", ["names", "low", "high"])
def test_incomplete_settings_are_named(missing):
    settings = {key: value for key, value in VECTORS["rates"].items() if key != missing}
    with pytest.raises(SweepError, match=f"needs names, low and high, but has no '{missing}'"):
        layout(vectors={"rates": settings})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": "a"}, "rates: expected numbers low < high and a list start, but got .*'a'"),
        ({"low": 2.0}, "rates: expected numbers low < high"),
        ({"below": "b"}, "rates: expected numbers least and below, but got .*'b'"),
        ({"least": None}, "rates: expected numbers least and below"),
        ({"start": 5}, "rates: expected numbers low < high and a list start"),
        ({"strat": [0.1]}, "rates: expected names, low, .* and below, but got strat"),
        ({"names": "nowhere.names"}, "rates: expected names to be the path of a function.*nowhere"),
        ({"names": "tests.hydra_plugins.test_vectors.twice"}, "rates: expected names that differ"),
    ],
)
def test_settings_that_cannot_be_are_named(change, message):
    with pytest.raises(SweepError, match=message):
        layout(vectors={"rates": {**VECTORS["rates"], **change}})


@pytest.mark.parametrize("vectors", [[1, 2], {"rates": 3}])
def test_what_is_no_mapping_is_told(vectors):
    with pytest.raises(SweepError, match=r"hydra.sweeper.vectors.* mapping.* but got"):
        layout(vectors=vectors)


def twice(cfg):
    return ["a", "b", "a"]
