import random
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch

from bayesft.bo import belief
from bayesft.bo import optimizer as module
from bayesft.bo.errors import OptimizerError, OptimizerWarning, SurrogateError
from bayesft.bo.journal import Journal
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.space import Categorical, Integer, Real, Space
from bayesft.bo.trial import Trial

LINE = Space({"x": Real(0, 1)})
PLANE = Space({"x": Real(0, 1), "y": Real(0, 1)})
MIXED = Space({
    "rate": Real(0, 0.8), "lr": Real(1e-4, 1, log=True),
    "depth": Integer(1, 4), "act": Categorical(("relu", "elu", "tanh")),
})  # fmt: skip


def _finish(optimizer, function, stderr=None):
    """Tell every running trial its value."""
    for trial in optimizer.pending:
        value = function(**trial.params)
        optimizer.tell(replace(trial, state="finished", value=value, stderr=stderr))


def _hill(x, y):
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2


def _quality(rate, lr, depth, act):
    return -((rate - 0.3) ** 2) - 0.1 * abs(depth - 3) - 0.2 * (act == "tanh") - lr


def _searched(space, function, count, **options):
    optimizer = Optimizer(space, **options)
    for _ in range(count):
        optimizer.ask()
        _finish(optimizer, function)
    return optimizer


def test_it_beats_random_search_on_a_noisy_hill_in_five_dimensions():
    space = Space({f"x{i}": Real(0, 0.8) for i in range(5)})
    noise = 0.02

    def truth(**params):
        return -sum((x - 0.25) ** 2 for x in params.values())

    def search(seed):
        luck = random.Random(seed)
        optimizer = Optimizer(space, seed=seed)
        for batch in (8, 4, 4, 4):
            optimizer.ask(batch)
            _finish(optimizer, lambda **params: truth(**params) + luck.gauss(0, noise), noise)
        return truth(**optimizer.best().params)

    def random_search(seed):
        luck = random.Random(seed)
        points = [{name: luck.uniform(0, 0.8) for name in space.dimensions} for _ in range(20)]
        return truth(**max(points, key=lambda p: truth(**p) + luck.gauss(0, noise)))

    ours = statistics.median(search(seed) for seed in range(3))
    theirs = statistics.quantiles([random_search(seed) for seed in range(400)], n=20)
    # Random search itself brings a median of three above its 90 % quantile in 2.8 % of runs.
    assert ours > theirs[-2]


@pytest.mark.slow
def test_in_sixty_dimensions_it_still_beats_random_search():
    space = Space({f"x{i}": Real(0, 0.8) for i in range(60)})
    noise = 0.02

    def truth(params):
        return -sum(0.9**i * (x - 0.25) ** 2 for i, x in enumerate(params.values()))

    def search(seed):
        luck = random.Random(seed)
        optimizer = Optimizer(space, seed=seed)
        for _ in range(10):
            optimizer.ask(4)
            _finish(optimizer, lambda **params: truth(params) + luck.gauss(0, noise), noise)
        return truth(optimizer.best().params)

    def random_search(seed):
        luck = random.Random(seed)
        points = [{name: luck.uniform(0, 0.8) for name in space.dimensions} for _ in range(40)]
        return truth(max(points, key=lambda p: truth(p) + luck.gauss(0, noise)))

    ours = statistics.median(search(seed) for seed in range(3))
    theirs = [random_search(seed) for seed in range(200)]
    assert ours > max(theirs)


def test_an_optimiser_rebuilt_from_the_journal_asks_the_same_to_the_bit(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.create({})
    options = {"n_initial": 3, "seed": 7, "start": [{**_centre(MIXED), "act": "elu"}]}
    steady = Optimizer(MIXED, **options)
    for number in range(7):
        rebuilt = Optimizer(MIXED, trials=journal.replay()[1], **options)
        assert rebuilt.next_number == steady.next_number == number
        # From the fourth on it is the Gaussian process that is asked.
        assert (steady.expected_improvement() is not None) == (number >= 3)
        [params] = steady.ask()
        assert rebuilt.ask() == [params]
        journal.record_ask(number, params)
        if number == 4:
            steady.tell(journal.record_fail(number, reason="diverged"))
        elif number != 5:  # 5 stays running
            steady.tell(journal.record_tell(number, value=_quality(**params), stderr=0.01))
    assert Optimizer(MIXED, trials=journal.replay()[1], **options).best() == steady.best()


def _centre(space):
    return space.decode([0.5] * space.width)


def test_a_batch_is_the_points_asked_one_by_one_all_apart():
    together, single = (_searched(PLANE, _hill, 5, n_initial=4, seed=1) for _ in range(2))
    assert single.expected_improvement() is not None
    batch = together.ask(4)
    assert batch == [single.ask()[0] for _ in range(4)]
    assert [trial.params for trial in together.pending] == batch
    assert [trial.number for trial in together.pending] == [5, 6, 7, 8]
    for index, one in enumerate(batch):
        for other in batch[:index]:
            # Batches that ignored what is pending would come out identical.
            assert max(abs(one[name] - other[name]) for name in one) > 1e-3


def test_start_points_come_first_then_sobol_points():
    start = [{"x": 0.5, "y": 0.5}, {"x": 0, "y": 1}, {"x": 0.25, "y": 1.0}]
    optimizer = Optimizer(PLANE, n_initial=2, start=start)
    assert optimizer.ask(3) == start
    # Without two results there is nothing to fit: the Sobol sequence goes on.
    assert optimizer.ask(2) == Optimizer(PLANE).ask(2)


def test_sobol_points_are_spread_evenly_and_follow_the_seed():
    points = Optimizer(LINE, n_initial=16, seed=3).ask(16)
    # A scrambled Sobol sequence puts one of its first 16 points into each sixteenth.
    assert sorted(int(16 * point["x"]) for point in points) == list(range(16))
    assert Optimizer(LINE, n_initial=16, seed=4).ask(16) != points
    # A start takes none of them away.
    started = Optimizer(LINE, n_initial=17, seed=3, start=[{"x": 0.5}])
    assert started.ask(17) == [{"x": 0.5}, *points]


def test_a_small_space_is_tried_out_before_a_point_comes_twice():
    space = Space({"a": Categorical(("u", "v", "w")), "b": Integer(0, 1)})
    for n_initial in (2, 8):
        optimizer = _searched(space, lambda a, b: b - (a == "w"), 6, n_initial=n_initial)
        assert len({tuple(trial.params.values()) for trial in optimizer.trials}) == 6
        space.encode(optimizer.ask()[0])
        assert optimizer.best().params["b"] == 1


@pytest.mark.parametrize(
    ("space", "best"),
    [
        (Space({"x": Categorical(tuple("abcdefghijklmnopqrst"))}), {"x": "m"}),
        (Space({name: Integer(0, 3) for name in "abcd"}), {"a": 3, "b": 2, "c": 2, "d": 0}),
    ],
)
def test_a_space_without_reals_is_searched_by_the_gaussian_process(space, best):
    """Until all was tried; of 256 points in few trials."""

    def value(**params):
        return -sum(abs(ord(str(params[name])) - ord(str(best[name]))) for name in best)

    optimizer = _searched(space, value, 5)
    while len(optimizer.trials) < 20:
        assert optimizer.expected_improvement() is not None
        optimizer.ask()
        _finish(optimizer, value)
    assert optimizer.best().params == best
    assert len({tuple(trial.params.values()) for trial in optimizer.trials}) == 20


def test_the_search_leaves_where_trials_fail():
    def run(optimizer, count):
        for _ in range(count):
            [params] = optimizer.ask()
            [trial] = optimizer.pending
            if params["x"] > 0.6:
                optimizer.tell(replace(trial, state="failed", reason="diverged"))
            else:
                optimizer.tell(replace(trial, state="finished", value=params["x"]))

    optimizer = Optimizer(LINE, n_initial=5, seed=0)
    run(optimizer, 14)
    assert optimizer.expected_improvement() is not None
    run(optimizer, 1)
    points = [trial.params["x"] for trial in optimizer.trials]
    assert len(set(points)) == 15
    # The value rises towards the failures: a search that ignored them would go there.
    assert sum(x > 0.6 for x in points[5:]) <= 5
    assert 0.5 < optimizer.best().params["x"] <= 0.6


def test_with_failures_alone_it_goes_on_with_new_sobol_points():
    optimizer = Optimizer(LINE, n_initial=2)
    for _ in range(6):
        optimizer.ask()
        [trial] = optimizer.pending
        optimizer.tell(replace(trial, state="failed", reason="diverged"))
    assert len({trial.params["x"] for trial in optimizer.trials}) == 6
    assert optimizer.best() is None


def test_the_best_trial_is_not_the_luckiest():
    trials = [Trial(n, {"x": n / 10}, "finished", 1 - (n / 10 - 0.3) ** 2, 0.02) for n in range(11)]
    trials[9] = replace(trials[9], value=1.3, stderr=0.5)
    assert Optimizer(LINE, trials=trials).best().number in (2, 3, 4)
    # Before `n_initial` results there is no model to doubt it with.
    assert Optimizer(LINE, trials=trials, n_initial=12).best().number == 9


def test_ties_go_to_the_lowest_number():
    trials = [Trial(n, {"x": n / 3}, "finished", 2.0) for n in (3, 1, 2)]
    assert Optimizer(LINE, trials=trials).best().number == 1


# Those of 60 where rounding may prefer the second.
@pytest.mark.parametrize("seed", [20, 37, 46, 58])
def test_of_two_trials_of_one_point_the_first_is_the_best(seed):
    """Their posterior means differ by rounding alone, whichever of them had more luck."""
    luck = random.Random(seed)
    points = [{"x": luck.random(), "y": luck.random()} for _ in range(5)] * 2
    trials = [
        Trial(n, point, "finished", _hill(**point) + luck.gauss(0, 0.05), 0.05)
        for n, point in enumerate(points)
    ]
    assert Optimizer(PLANE, trials=trials).best().number < 5


def test_minimising_mirrors_maximising():
    up = _searched(PLANE, _hill, 7, n_initial=4)
    assert up.expected_improvement() is not None
    down = _searched(PLANE, lambda x, y: -_hill(x, y), 7, n_initial=4, direction="minimize")
    assert [t.params for t in up.trials] == [t.params for t in down.trials]
    assert up.best().number == down.best().number
    few = [Trial(n, {"x": 0.1 * n}, "finished", float(n)) for n in range(3)]
    assert Optimizer(LINE, direction="minimize", trials=few).best().number == 0


def test_the_units_of_the_values_do_not_change_what_is_asked():
    plain = _searched(PLANE, _hill, 6, n_initial=6)
    scaled = _searched(PLANE, lambda x, y: 1024 * _hill(x, y) - 64, 6, n_initial=6)
    gain = plain.expected_improvement()
    assert scaled.expected_improvement() == pytest.approx(1024 * gain, rel=0.1)
    [here], [there] = plain.ask(), scaled.ask()
    # A climb ends where its gradient is about 1e-5 of its curvature; 1 % of the
    # axis is well above that and far below the distance between two choices.
    assert there == pytest.approx(here, abs=0.01)


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_asking_leaves_no_trace_and_does_not_depend_on_the_caller(outside):
    undisturbed = _searched(PLANE, _hill, 4, n_initial=4)
    assert undisturbed.expected_improvement() is not None
    expected = undisturbed.ask(2)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        with outside():
            optimizer = _searched(PLANE, _hill, 4, n_initial=4)
            assert optimizer.ask(2) == expected
            optimizer.best()
        drawn = torch.rand(3).tolist(), np.random.rand(), random.random()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    assert (torch.rand(3).tolist(), np.random.rand(), random.random()) == drawn


def test_a_failed_fit_falls_back_on_sobol_points_with_a_warning(monkeypatch):
    def fail(*_, **__):
        raise SurrogateError("no fit today")

    optimizer = _searched(PLANE, _hill, 4, n_initial=4)
    monkeypatch.setattr(belief, "fit", fail)
    with pytest.warns(OptimizerWarning, match="Trial 4 is a Sobol point: no fit today"):
        [params] = optimizer.ask()
    assert params not in [trial.params for trial in optimizer.trials[:4]]
    with pytest.warns(OptimizerWarning, match="best value: no fit today"):
        best = optimizer.best()
    assert best.value == max(trial.value for trial in optimizer.trials[:4])


def test_where_every_climb_ends_at_a_tried_point_a_new_one_is_found(monkeypatch):
    optimizer = _searched(PLANE, _hill, 4, n_initial=4)
    monkeypatch.setattr(module, "suggest", lambda *_: None)
    [params] = optimizer.ask()
    assert params not in [trial.params for trial in optimizer.trials[:4]]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Optimizer(LINE, direction="max"), "maximize or minimize, but got 'max'"),
    (lambda: Optimizer(LINE, n_initial=0), "`n_initial` .* larger than 0, but got 0"),
    (lambda: Optimizer(LINE, n_initial=True), "`n_initial`"),
    (lambda: Optimizer(LINE, seed=0.5), "`seed` to be an integer, but got 0.5"),
    (lambda: Optimizer(LINE, start=[{"x": 0}, {"x": 2}]), "`start`, point 1: x: .* got 2"),
    (lambda: Optimizer(LINE).ask(0), "`n` .* got 0"),
    (lambda: Optimizer(LINE).tell(Trial(3, {"z": 0})), "Trial 3: z is no dimension"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused_with_what_came(make, message):
    with pytest.raises(OptimizerError, match=message):
        make()


def test_a_result_is_told_once_and_of_the_point_that_was_asked():
    optimizer = Optimizer(LINE)
    optimizer.ask()
    [trial] = optimizer.pending
    with pytest.raises(OptimizerError, match="expected the point that was asked"):
        optimizer.tell(Trial(0, {"x": 0.123}, "finished", 1.0))
    optimizer.tell(replace(trial, state="finished", value=1.0))
    with pytest.raises(OptimizerError, match="Trial 0 is already finished"):
        optimizer.tell(replace(trial, state="finished", value=2.0))
    assert optimizer.best().value == 1.0
