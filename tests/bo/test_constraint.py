"""Limits on what a trial measures beside its value."""

import math
from dataclasses import replace

import pytest

from bayesft.bo import Constraint, Optimizer, OptimizerError, Real, Space, Trial, is_feasible
from bayesft.bo.constraint import least_violating

LIMIT = Constraint("clean", ">=", 0.9)


def trial(number, clean, value=0.0):
    params = {"x": number / 10}
    return Trial(number, params, state="finished", value=value, extra={"clean": clean})


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("clean_accuracy >= 0.97", Constraint("clean_accuracy", ">=", 0.97)),
        ("a.b/c<=1e3", Constraint("a.b/c", "<=", 1000.0)),
        (" loss <= -2 ", Constraint("loss", "<=", -2.0)),
        ("clean >= 0.123456789", Constraint("clean", ">=", 0.123456789)),
    ],
)
def test_what_is_written_is_read(text, constraint):
    assert Constraint.parse(text) == constraint
    assert Constraint.parse(str(constraint)) == constraint


@pytest.mark.parametrize(
    "text", ["clean", "clean > 0.9", "clean == 0.9", ">= 0.9", "clean >= high", "clean >= nan", 0.9]
)
def test_what_is_no_constraint_is_told(text):
    with pytest.raises(OptimizerError, match=r"such as 'clean_accuracy >= 0\.97'.* but got"):
        Constraint.parse(text)


def test_slack_is_negative_where_the_limit_is_missed():
    measured = {"clean": [0.85, 0.01], "loss": 3.0, "odd": None, "wild": math.nan}
    assert LIMIT.slack(measured) == pytest.approx(-0.05)
    assert LIMIT.stderr(measured) == 0.01
    assert Constraint("loss", "<=", 4).slack(measured) == 1.0
    assert Constraint("loss", "<=", 4).stderr(measured) is None
    assert Constraint("odd", ">=", 0).slack(measured) is None
    assert Constraint("wild", ">=", 0).slack(measured) is None
    with pytest.raises(OptimizerError, match="not returned; returned were clean, loss, odd, wild"):
        Constraint("size", ">=", 0).slack(measured)


@pytest.mark.parametrize("odd", ["high", True, (0.9, 0.1, 3), [0.9], [[0.9], 0.1]])
def test_what_is_no_number_is_told(odd):
    with pytest.raises(OptimizerError, match=r"constraint clean >= 0.9 is on to be a number.* got"):
        LIMIT.slack({"clean": odd})


def test_the_limit_itself_is_feasible_and_a_number_that_is_none_is_not():
    assert is_feasible(trial(0, 0.9), [LIMIT])
    assert not is_feasible(trial(0, [0.89, 0.1]), [LIMIT])
    assert not is_feasible(trial(0, None), [LIMIT])


def test_without_a_feasible_trial_the_nearest_is_taken():
    trials = [trial(0, 0.5), trial(1, 0.8), trial(2, None), trial(3, 0.7)]
    assert least_violating(trials, [LIMIT]) == [trials[1]]
    feasible = trial(4, 0.95)
    assert least_violating([*trials, feasible], [LIMIT]) == [feasible]


def test_the_search_maximises_among_the_feasible():
    """Without the limit the best is at 1; with it at 0.6, which nothing says but trials."""
    space = Space({"x": Real(0, 1), "y": Real(0, 1)})
    limit = Constraint("clean", ">=", 0.4)

    def searched(constraints):
        optimizer = Optimizer(space, seed=0, n_initial=5, constraints=constraints)
        for number in range(18):
            [params] = optimizer.ask()
            x, y = params["x"], params["y"]
            value, clean = x - (y - 0.5) ** 2, 1 - x
            told = Trial(number, params, state="finished", value=value, extra={"clean": clean})
            optimizer.tell(told)
        return optimizer

    free, limited = searched([]), searched([limit])
    assert free.best().params["x"] > 0.95
    best = limited.best()
    assert is_feasible(best, [limit])
    assert 0.57 < best.params["x"] <= 0.6
    assert abs(best.params["y"] - 0.5) < 0.1
    # It stayed near the limit rather than at the free maximum.
    beyond = [trial for trial in limited.trials[5:] if trial.params["x"] > 0.75]
    assert len(beyond) <= 2


@pytest.mark.parametrize("kept", [1.0, 0.9])
def test_the_search_leaves_where_the_limited_value_is_no_number(kept):
    """The value rises towards where nothing is measured; all that is measured keeps to 0.9."""
    space = Space({"x": Real(0, 1), "y": Real(0, 1)})
    optimizer = Optimizer(space, seed=0, constraints=[LIMIT])
    for _ in range(16):
        optimizer.ask()
        [trial] = optimizer.pending
        x, y = trial.params["x"], trial.params["y"]
        extra = {"clean": None if x > 0.5 else kept}
        told = replace(trial, state="finished", value=x - (y - 0.3) ** 2, extra=extra)
        optimizer.tell(told)
    asked = [trial.params["x"] for trial in optimizer.trials[5:]]
    # Nothing else keeps it from 1, where all would go.
    assert sum(x > 0.6 for x in asked) <= 6
    assert 0.45 < optimizer.best().params["x"] <= 0.5


def test_a_search_in_pieces_asks_the_same_under_constraints():
    space = Space({"x": Real(0, 1)})

    def told(number, params):
        extra = {"clean": None if number == 2 else [1 - params["x"], 0.01]}
        return Trial(number, params, state="finished", value=params["x"], extra=extra)

    whole = Optimizer(space, seed=1, n_initial=3, constraints=[LIMIT])
    for number in range(6):
        whole.tell(told(number, whole.ask()[0]))
    rebuilt = Optimizer(space, seed=1, n_initial=3, constraints=[LIMIT], trials=whole.trials[:5])
    assert rebuilt.expected_improvement() is not None
    assert rebuilt.ask()[0] == whole.trials[5].params
