"""What a fitted Gaussian process says about the dimensions."""

import math
from dataclasses import replace

import pytest
import torch

from bayesft.bo import belief
from bayesft.bo.errors import InsightError, SurrogateError
from bayesft.bo.space import Categorical, Integer, Real, Space
from bayesft.bo.surrogate import posterior
from tests.helpers.surrogates import cube, told

MIXED = Space({
    "rate": Real(0, 0.8), "lr": Real(1e-4, 1, log=True), "depth": Integer(1, 4),
    "act": Categorical(("relu", "elu", "tanh")), "flag": Categorical((True, False)),
    "only": Categorical(("one",)),
})  # fmt: skip


def quality(rate, lr, depth, act, flag, only):
    return -3 * (rate - 0.3) ** 2 - 0.3 * (act == "tanh")


@pytest.fixture(scope="module")
def mixed():
    return told(MIXED, quality, 30)


def test_the_two_of_five_that_matter_come_first():
    def wave(**x):
        return math.sin(4 * x["x1"]) + 2 * (x["x3"] - 0.4) ** 2

    insight = told(cube(5), wave, 30).insight()
    assert {influence.name for influence in insight.influences[:2]} == {"x1", "x3"}
    lowest = min(i.interval[0] for i in insight.influences[:2])
    for influence in insight.influences[2:]:
        assert influence.importance < lowest
        assert influence.effect < 0.15 < 0.4 < insight.influences[1].effect
    assert insight.doubt is None
    assert insight.calibration.r2 > 0.8


def test_choices_count_as_one_dimension_and_one_choice_as_none(mixed):
    insight = mixed.insight()
    assert [i.name for i in insight.influences[:2]] == ["rate", "act"]
    assert {i.name for i in insight.influences[2:]} == {"lr", "depth", "flag"}
    # Six columns, and four numbers and the warp of the scale.
    assert insight.parameters == 11
    for influence in insight.influences:
        low, high = influence.interval
        assert 0 <= low < influence.importance < high <= 1


def test_slices_are_the_posterior_through_the_best_point_in_the_users_units(mixed):
    insight, best = mixed.insight(), mixed.best()
    slices = {i.name: i.slice for i in insight.influences}
    assert slices["depth"].values == (1, 2, 3, 4)
    assert slices["act"].values == ("relu", "elu", "tanh")
    assert slices["flag"].values == (True, False)
    assert {name: line.scale for name, line in slices.items()} == {
        "rate": "linear", "lr": "log", "depth": "linear", "act": "choices", "flag": "choices",
    }  # fmt: skip
    assert len(slices["lr"].values) == 33
    assert (slices["lr"].values[0], slices["lr"].values[-1]) == (1e-4, 1.0)
    assert slices["lr"].values[16] == pytest.approx(1e-2)
    for influence in insight.influences:
        line = influence.slice
        points = [MIXED.encode({**best.params, influence.name: value}) for value in line.values]
        mean, sd = posterior(
            mixed._belief.fitted(mixed._ended())[0], torch.tensor(points, dtype=torch.float64)
        )
        assert line.means == pytest.approx(mean.tolist(), rel=1e-5)
        assert line.sds == pytest.approx(sd.tolist())
        assert influence.effect == pytest.approx(max(line.means) - min(line.means))
        assert influence.effect_sd <= 2 * max(line.sds)
    # tanh costs 0.3.
    assert slices["act"].means[0] - slices["act"].means[2] == pytest.approx(0.3, abs=0.05)


def test_minimising_is_maximising_the_negative():
    up = told(cube(2), lambda x0, x1: -math.sin(4 * x0), 12, noise=0).insight()
    down = told(cube(2), lambda x0, x1: math.sin(4 * x0), 12, noise=0, direction="minimize")
    down = down.insight()
    assert up.best.number == down.best.number
    for a, b in zip(up.influences, down.influences, strict=True):
        assert (a.name, a.importance, a.interval) == (b.name, b.importance, b.interval)
        assert a.effect == b.effect
        assert a.slice.means == tuple(-mean for mean in b.slice.means)
    assert up.calibration.predicted == tuple(-mean for mean in down.calibration.predicted)
    assert up.calibration.residuals == tuple(-z for z in down.calibration.residuals)


@pytest.mark.parametrize(
    ("count", "options", "reason"),
    [
        (3, {"n_initial": 2}, "3 finished trials, at least 4"),
        (4, {}, "4 finished trials, at least 5"),
        (9, {"value": 2.0}, "all 9 finished trials have the same value, 2"),
        (9, {"value": 0.0}, "all 9 finished trials have the same value, 0"),
    ],
)
def test_what_cannot_be_told_says_why(count, options, reason):
    value = options.pop("value", None)
    function = (lambda x0: x0) if value is None else (lambda x0: value)
    optimizer = told(cube(1), function, count, noise=0, **options)
    with pytest.raises(InsightError, match=reason):
        optimizer.insight()


def test_a_failed_fit_is_one_clear_error(monkeypatch):
    def fail(*args, **settings):
        raise SurrogateError("not positive definite")

    optimizer = told(cube(1), lambda x0: x0, 9)
    monkeypatch.setattr(belief, "fit", fail)
    with pytest.raises(SurrogateError, match="not positive definite"):
        optimizer.insight()


def test_numerics_that_break_down_are_one_clear_error(monkeypatch):
    def fail(surrogate):
        raise torch.linalg.LinAlgError("singular")

    optimizer = told(cube(1), lambda x0: x0, 9)
    monkeypatch.setattr("bayesft.bo.explain.leave_one_out", fail)
    with pytest.raises(SurrogateError, match="could not be read: singular"):
        optimizer.insight()


@pytest.mark.slow
def test_looking_changes_nothing_that_is_asked():
    asked = []
    for look in (False, True):
        optimizer = told(MIXED, quality, 9)
        points = []
        for _ in range(3):
            if look:
                optimizer.insight()
            [params] = optimizer.ask()
            if look:
                optimizer.insight()
            points.append(params)
            [trial] = optimizer.pending
            optimizer.tell(replace(trial, state="finished", value=quality(**params)))
        asked.append(points)
    assert asked[0] == asked[1]


def test_a_look_is_the_same_twice_and_leaves_no_trace():
    optimizer = told(cube(2), lambda x0, x1: x0, 9)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        first = optimizer.insight()
    assert optimizer.insight() == first
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
