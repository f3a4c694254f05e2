import copy
import itertools
import math
import pickle
import subprocess
import sys
from collections import Counter

import pytest

from bayesft.bo.errors import SpaceError
from bayesft.bo.space import Categorical, Integer, Real, Space

SPACE = Space({
    "rate": Real(0, 0.8),
    "lr": Real(1e-5, 0.1, log=True),
    "depth": Integer(-2, 3),
    "width": Integer(1, 1000, log=True),
    "act": Categorical(("relu", None, 1, 1.0, True)),
    "norm": Categorical((False, True)),
    "fixed": Categorical(("only",)),
})  # fmt: skip
POINT = {
    "rate": 0.3, "lr": 2e-3, "depth": 3, "width": 17, "act": 1.0, "norm": True, "fixed": "only",
}  # fmt: skip


def test_width_counts_one_column_a_number_and_one_a_choice_of_three_or_more():
    assert SPACE.width == 4 + 5 + 1 + 0
    assert len(SPACE.encode(POINT)) == SPACE.width


def test_a_point_comes_back_from_its_row():
    back = SPACE.decode(SPACE.encode(POINT))
    for name in ("depth", "width", "act", "norm", "fixed"):
        assert back[name] == POINT[name]
        assert type(back[name]) is type(POINT[name])
    for name in ("rate", "lr"):
        assert back[name] == pytest.approx(POINT[name], rel=1e-13)
        assert type(back[name]) is float


@pytest.mark.parametrize("dimension", [
    Integer(0, 1), Integer(-7, 12), Integer(1, 300, log=True), Integer(2**40 - 3, 2**40),
    Integer(2**40 - 3, 2**40, log=True),
])  # fmt: skip
def test_every_integer_comes_back(dimension):
    for value in range(dimension.low, dimension.high + 1):
        assert dimension.decode(dimension.encode(value)) == value


def test_a_large_log_integer_comes_back():
    dimension = Integer(1, 2**40, log=True)
    for value in (1, 2, 10**6 + 1, 2**39 + 1, 2**40 - 1, 2**40):
        assert dimension.decode(dimension.encode(value)) == value


def test_integers_have_equal_cells_ends_included():
    dimension = Integer(3, 7)
    # 1000 cell centres of a grid that no boundary (k/5) falls on.
    counts = Counter(dimension.decode([(i + 0.5) / 1000]) for i in range(1000))
    assert counts == dict.fromkeys(range(3, 8), 200)
    assert [dimension.encode(v)[0] for v in range(3, 8)] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


@pytest.mark.parametrize("dimension", [
    Real(0.1, 0.3), Real(1e-5, 0.1, log=True), Real(-1e-300, 0.7), Real(1e-310, 1e308, log=True),
    Integer(1, 9, log=True), Integer(-3, 3),
])  # fmt: skip
def test_decoded_values_stay_inside_and_reach_both_ends(dimension):
    assert dimension.decode([0.0]) == dimension.decode([-0.5]) == dimension.low
    assert dimension.decode([1.0]) == dimension.decode([1.5]) == dimension.high
    for u in (math.ulp(0.0), 1e-17, 0.5, 1 - 2**-53):
        assert dimension.contains(dimension.decode([u]))


def test_log_scale_puts_the_geometric_mean_in_the_middle():
    assert Real(1e-4, 1, log=True).decode([0.5]) == pytest.approx(1e-2, rel=1e-12)
    assert Real(1e-4, 1, log=True).encode(1e-2) == pytest.approx([0.5], rel=1e-12)


def test_the_largest_column_wins_a_choice():
    dimension = Categorical(("a", "b", "c"))
    assert [dimension.decode(row) for row in ([0.9, 0.2, 0.3], [0, 0.1, 0], [0.2, 0.2, 0.7])] == [
        "a", "b", "c",
    ]  # fmt: skip
    assert [Categorical(("a", "b")).decode([u]) for u in (0.49, 0.5)] == ["a", "b"]


def test_round_row_is_a_projection_on_rows_of_points():
    row = [0.3, 0.2, 0.5, 0.5, 0.1, 0.3, 0.2, 0.6, 0.4, 0.7]
    rounded = SPACE.round_row(row)
    assert rounded != row
    assert rounded[4:] == [0, 0, 0, 1, 0, 1]
    assert SPACE.round_row(rounded) == pytest.approx(rounded, abs=1e-12)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Real(1, 1), "`low` to be below `high`, but got 1.0 and 1.0"),
    (lambda: Real(0, math.inf), "`high` to be a finite number, but got inf"),
    (lambda: Real(math.nan, 1), "`low` to be a finite number, but got nan"),
    (lambda: Real(False, 1), "`low` to be a finite number, but got False"),
    (lambda: Real("0", 1), "`low` to be a finite number, but got '0'"),
    (lambda: Real(-1e308, 1e308), "finite length"),
    (lambda: Real(0, 1, log=True), "`low` above 0 for a logarithmic scale, but got 0.0"),
    (lambda: Real(0, 1, log="yes"), "`log` to be true or false, but got 'yes'"),
    (lambda: Integer(2, 2), "`low` to be below `high`, but got 2 and 2"),
    (lambda: Integer(0.0, 2), "`low` to be an integer, but got 0.0"),
    (lambda: Integer(0, True), "`high` to be an integer, but got True"),
    (lambda: Integer(0, 2**41), "within ±2\\^40"),
    (lambda: Integer(0, 2, log=True), "`low` above 0"),
    (lambda: Categorical(()), "at least one choice"),
    (lambda: Categorical("abc"), "to be a tuple, but got 'abc'"),
    (lambda: Categorical((1, 2, 1)), "1 comes twice"),
    (lambda: Categorical((1, [2])), r"but got \[2\]"),
    (lambda: Categorical((1, math.nan)), "but got nan"),
    (lambda: Space({}), "something to choose, but got no dimension"),
    (lambda: Space({"a": Categorical((1,))}), "something to choose, but got a"),
    (lambda: Space([1]), "mapping of names"),
    (lambda: Space({"": Real(0, 1)}), "non-empty string, but got ''"),
    (lambda: Space({"a": (0, 1)}), r"a: expected Real, .* but got \(0, 1\)"),
    (lambda: Space.from_json([1]), "mapping of names"),
    (lambda: Space.from_json({"a": {"type": "real", "low": 1, "high": 0}}), "a: Expected `low`"),
    (lambda: Space.from_json({"a": {"type": "tree"}}), "a: Expected a dimension of type real"),
    (lambda: Space.from_json({"a": {"low": 1}}), "a: Expected a dimension"),
    (lambda: Space.from_json({"a": 3}), "a: Expected a dimension"),
])  # fmt: skip
def test_what_cannot_be_a_space_is_refused_with_what_came(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


@pytest.mark.parametrize(("params", "message"), [
    ({"a": 0.5}, "b is missing, expected a value in: integers 1 to 4"),
    ({"a": 0.5, "b": 1, "c": 1}, "c is no dimension of the space, which has a, b"),
    ({"a": 0.51, "b": 1}, "a: expected a value in: interval 0 to 0.5, got 0.51"),
    ({"a": math.nan, "b": 1}, "a: .* got nan"),
    ({"a": True, "b": 1}, "a: .* got True"),
    ({"a": 0, "b": 1.0}, "b: .* got 1.0"),
    ({"a": 0, "b": True}, "b: .* got True"),
])  # fmt: skip
def test_a_point_outside_is_refused_by_name(params, message):
    space = Space({"a": Real(0, 0.5), "b": Integer(1, 4)})
    with pytest.raises(SpaceError, match=message):
        space.encode(params)


def test_a_choice_is_of_its_own_type():
    dimension = Categorical((1, True, "1"))
    assert dimension.encode(True) == [0, 1, 0]
    assert not dimension.contains(1.0)


def test_a_row_of_another_length_or_with_nan_is_refused():
    space = Space({"a": Real(0, 1)})
    with pytest.raises(SpaceError, match="row of 1 numbers, but got 2"):
        space.decode([0.1, 0.2])
    with pytest.raises(SpaceError, match="nan"):
        space.decode([math.nan])


def test_json_pickle_and_copy_give_the_same_space_in_the_same_order():
    for back in (
        Space.from_json(SPACE.to_json()),
        pickle.loads(pickle.dumps(SPACE)),
        copy.deepcopy(SPACE),
    ):
        assert SPACE.difference(back) == []
        assert list(back.dimensions) == list(SPACE.dimensions)
        assert back.encode(POINT) == SPACE.encode(POINT)


def test_a_space_cannot_be_changed():
    dimensions = {"a": Real(0, 1)}
    space = Space(dimensions)
    dimensions["b"] = Real(0, 1)
    assert list(space.dimensions) == ["a"]
    with pytest.raises(TypeError):
        space.dimensions["b"] = Real(0, 1)


def test_difference_names_what_changed():
    here = Space({"a": Real(0, 0.8), "b": Integer(1, 4), "c": Categorical((1, True))})
    there = Space({"a": Real(0, 0.5), "d": Real(1, 2, log=True), "c": Categorical((1, 1.0))})
    assert here.difference(there) == [
        "a: interval 0 to 0.8 here, interval 0 to 0.5 in the journal",
        "b: integers 1 to 4 here, not in the journal",
        "c: choice of 1, true here, choice of 1, 1.0 in the journal",
        "d: not here, log interval 1 to 2 in the journal",
    ]
    a, b = Space({"a": Real(0, 1), "b": Real(0, 1)}), Space({"b": Real(0, 1), "a": Real(0, 1)})
    assert a.difference(b) == ["order: a, b here, b, a in the journal"]


@pytest.mark.parametrize("module", ["", ".space", ".trial", ".journal"])
def test_start_up_is_light(module):
    code = (
        f"import bayesft.bo{module}, sys; "
        "print([m for m in ('torch', 'gpytorch', 'botorch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_choices_of_a_grid_are_reached_from_the_cube():
    space = Space({"a": Categorical(("x", "y", "z")), "b": Integer(0, 1)})
    grid = itertools.product((0.1, 0.5, 0.9), repeat=space.width)
    assert len({tuple(space.decode(row).values()) for row in grid}) == 6
