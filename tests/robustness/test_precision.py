"""Asking for a standard error: that it is reached, honest, unbiased, and repeatable."""

import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.models import MLP
from bayesft.robustness import (
    Curve,
    PrecisionWarning,
    ScoreWarning,
    evaluate,
    paired_difference,
    sharing,
)
from bayesft.robustness import pilot as pilot_module
from bayesft.robustness.pilot import best_plans, draws_worth, run_pilot

DRIFT = LogNormalDrift()


class Noisy(nn.Module):
    """Right when the sum of its two weights, 2 when clean, is below the image's number.

    The image's number spreads the scores within a draw, the weights those between draws.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, images):
        return torch.cat([images, self.weight.sum().expand(len(images), 1)], dim=1)


def images(n: int = 50) -> TensorDataset:
    return TensorDataset(torch.linspace(1.5, 4.0, n)[:, None], torch.zeros(n, dtype=torch.int64))


def true_score(sigma: float, data: TensorDataset) -> float:
    """By a grid over both weights: the expected score to 4 digits."""
    z = torch.special.ndtri((torch.arange(800, dtype=torch.float64) + 0.5) / 800)
    sums = (torch.exp(sigma * z)[:, None] + torch.exp(sigma * z)).flatten()
    numbers = data.tensors[0].double().flatten()
    return (torch.searchsorted(sums.sort().values, numbers) / len(sums)).mean().item()


@pytest.mark.parametrize("images_per_draw", [None, 1, 20])
def test_the_target_holds_at_every_sigma(images_per_draw):
    curve = evaluate(
        Noisy(), images(), DRIFT, [0.0, 0.3, 0.9], target_stderr=0.02,
        images_per_draw=images_per_draw,
    )  # fmt: skip
    assert curve.reached
    assert all(point.stderr <= 0.02 for point in curve.points)
    assert curve.target_stderr == 0.02
    # And not much more than the target takes.
    assert curve.points[2].draws < 3 * curve.points[2].std ** 2 / 0.02**2 + 40
    assert all(p.images % p.draws == 0 for p in curve.points)


@pytest.mark.filterwarnings("ignore::bayesft.robustness.PrecisionWarning")
@pytest.mark.parametrize("sigma", [0.3, 0.9])
def test_the_interval_holds_the_truth_as_often_as_it_says(sigma):
    """200 repetitions; the mean of all is unbiased, and the stated error is the spread.

    With a fixed number of images per draw, so that the test repeats.
    """
    data = images(2000)
    points = [
        evaluate(
            Noisy(), data, DRIFT, [sigma], target_stderr=0.03, images_per_draw=8, seed=seed
        ).points[0]
        for seed in range(200)
    ]
    true = true_score(sigma, data)
    held = sum(low <= true <= high for low, high in (point.interval() for point in points))
    assert 0.92 * 200 <= held <= 0.98 * 200
    means = torch.tensor([point.mean for point in points], dtype=torch.float64)
    assert abs(means.mean() - true) < 4 * means.std() / math.sqrt(200)
    stated = math.sqrt(sum(point.stderr**2 for point in points) / 200)
    assert means.std() == pytest.approx(stated, rel=4 / math.sqrt(400))


class Fragile(nn.Module):
    """All wrong on one chip in fifty, else all right."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        broken = (self.weight > math.exp(0.5 * 2.0537)).float().expand(len(images), 1)
        return torch.cat([1 - broken, broken], dim=1)


@pytest.mark.filterwarnings("ignore::bayesft.robustness.PrecisionWarning")
@pytest.mark.parametrize("amount", [{"target_stderr": 0.01}, {"draws": 50}])
def test_chips_that_break_rarely_are_not_taken_for_none(amount):
    """Where no draw shows one, many images on few chips would make it certain."""
    points = [
        evaluate(Fragile(), images(), DRIFT, [0.5], images_per_draw=50, seed=seed, **amount).points[
            0
        ]
        for seed in range(60)
    ]
    held = sum(low <= 0.98 <= high for low, high in (point.interval() for point in points))
    assert held >= 0.8 * 60


def test_a_target_that_agreeing_draws_do_not_show_is_not_reached():
    """What 16 images did not show may be a fifth of them."""
    with pytest.warns(PrecisionWarning, match=r"error is 0, and 0\.188 could be unseen, after 16"):
        curve = evaluate(
            Fragile(), images(), DRIFT, [0.1], target_stderr=1e-3, images_per_draw=1, max_draws=16
        )
    assert curve.points[0].stderr == 0
    assert not curve.reached


def test_with_images_per_draw_it_repeats_to_the_bit():
    curves = [
        evaluate(
            Noisy(), images(), DRIFT, [0.3, 0.9], target_stderr=0.03, images_per_draw=4, seed=seed
        )
        for seed in (1, 1, 2)
    ]
    assert repr(curves[0]) == repr(curves[1])
    assert curves[0].scores != curves[2].scores


@pytest.mark.parametrize("limit", [{"max_draws": 40}, {"max_images": 40}])
def test_a_target_out_of_reach_is_marked_and_told(tmp_path, limit):
    with pytest.warns(PrecisionWarning, match=r"target_stderr=0.0001.*at sigma 0.9.*max_images"):
        curve = evaluate(Noisy(), images(), DRIFT, [0.9], target_stderr=1e-4, **limit)
    assert not curve.reached
    point = curve.points[0]
    assert point.draws <= limit.get("max_draws", 40)
    assert point.images <= limit.get("max_images", 40 * 50)
    assert point.draws >= 16
    curve.to_json(tmp_path / "c.json")
    back = Curve.from_json(tmp_path / "c.json")
    assert not back.reached
    assert repr(back) == repr(curve)  # repr: NaN is not equal to itself


def test_what_the_limits_did_not_cause_is_told_otherwise(monkeypatch):
    """Folds that disagree can leave the error a little above the target."""
    monkeypatch.setattr("bayesft.robustness.sequential.Rule.enough", lambda self, others: True)
    with pytest.warns(PrecisionWarning, match="folds disagreed"):
        evaluate(Noisy(), images(), DRIFT, [0.9], target_stderr=0.01, images_per_draw=2)


def test_an_interval_of_few_draws_in_folds_is_wide():
    """Eight means leave 16 draws with 8 degrees of freedom: Student's 2.306, not 2.131."""
    with pytest.warns(PrecisionWarning):
        curve = evaluate(
            Noisy(), images(), DRIFT, [0.9], target_stderr=1e-3, images_per_draw=20, max_draws=16
        )
    [point] = curve.points
    margin = math.hypot(2.306 * point.stderr, point.unseen)
    assert point.interval()[1] - point.mean == pytest.approx(margin, rel=1e-3)


def test_paired_differences_of_curves_that_stopped_at_different_draws():
    torch.manual_seed(0)
    model = MLP(image_size=4, hidden=(8,))
    data = TensorDataset(torch.rand(50, 1, 4, 4), torch.randint(0, 10, (50,)))
    other = MLP(image_size=4, hidden=(8,))
    other.load_state_dict(model.state_dict())
    other.layers[1][0].bias.data[3] += 0.05
    ours, theirs = (
        evaluate(m, data, DRIFT, [0.3, 0.6], target_stderr=t, images_per_draw=8, seed=3)
        for m, t in ((model, 0.01), (other, 0.012))
    )
    assert ours.points[0].draws > theirs.points[0].draws
    difference = paired_difference(ours, theirs)
    assert difference.value == pytest.approx(ours.mean - theirs.mean)
    apart = math.hypot(ours.stderr, theirs.stderr)
    assert 0.1 * apart < difference.stderr < 0.9 * apart


def test_draws_without_a_finite_score_count_as_the_worst_and_are_told():
    def sometimes(model, batch):
        scores = torch.ones(len(batch[0]))
        return scores / (model.weight[0] < 1.5)  # 1 / 0 is infinite

    curve = evaluate(
        Noisy(), images(), DRIFT, [0.9], target_stderr=0.03, score=sometimes, worst_score=-1.0
    )
    [point] = curve.points
    assert 0 < point.nonfinite < point.draws
    assert point.worst == -1.0
    share = 0.5 * math.erfc(math.log(1.5) / 0.9 / math.sqrt(2))
    assert abs(point.mean - (1 - 2 * share)) < 4 * point.stderr


def test_below_the_worst_score_the_lowest_counts_and_is_told():
    """Else a network that gives no answer at all would be the best by a negative score."""

    def loss(model, batch):
        return -1 - model.weight[0].clamp(max=1.0).expand(len(batch[0])) / (model.weight[1] < 1.5)

    with pytest.warns(ScoreWarning, match=r"count as -2.*below `worst_score=0`.*Give as `worst_"):
        curve = evaluate(Noisy(), images(), DRIFT, [0.3, 0.9], 40, score=loss)
    assert curve.points[1].nonfinite > 0
    lowest = min(score for row in curve.scores for score in row)
    assert lowest > -2.1
    assert curve.points[1].worst == lowest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(Noisy(), images(), DRIFT, [0.9], 40, score=loss, worst_score=-3)


def test_a_score_of_the_whole_batch_has_no_variance_within():
    curve = evaluate(
        Noisy(), images(), DRIFT, [0.9], target_stderr=0.05,
        score=lambda model, batch: (model(batch[0]).argmax(1) == batch[1]).float().mean(),
    )  # fmt: skip
    assert curve.reached
    assert curve.points[0].images == 50 * curve.points[0].draws


def test_the_plan_is_the_optimum_of_the_textbook():
    """m = sqrt(ratio w / b), to the nearest power of two or its neighbour."""
    for between, within, ratio in ((0.02, 0.2, 10), (0.02, 0.2, 100), (0.001, 0.2, 2)):
        [plan] = best_plans([(between, within)], ratio=ratio, target=0.003, total=10_000)
        exact = math.sqrt(ratio * within / between)
        assert exact / 2 <= plan.images <= exact * 2
        assert plan.draws == math.ceil((between + within / plan.images) / 0.003**2)


def test_a_pilot_times_few_of_many_sigmas():
    """The variance is wanted at each; a draw takes as long at any."""
    pilot = Asked()
    assert len(pilot.run(16)) == 16
    assert pilot.asked == [[(8, 16)] * 16, [(8, 4)] * 16, [(64, 4)] * 2]


def test_what_is_slow_the_first_time_on_a_gpu_is_not_timed():
    """There it is the very calls that are timed: another number of draws may be slow again."""
    pilot = Asked(mixes=True)
    pilot.weights = SimpleNamespace(device=torch.device("cuda"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pilot_module, "agreed", lambda value, **settings: value)
        pilot.run(6)
    first, few, many = [(8, 6)] * 16, [(8, 6)] * 16, [(64, 6)] * 16
    assert pilot.asked == [first, few, many, few, many]


class Asked:
    """A sampler that keeps what it was asked."""

    pool, seed, distributed, kind = SimpleNamespace(total=500), 0, False, "a"
    weights = SimpleNamespace(device=torch.device("cpu"))
    images_take_time = True

    def __init__(self, *, mixes=False):
        self.asked, self.mixes, self.model, self.now = [], mixes, Noisy(), 0.0

    def __call__(self, requests):
        self.asked.append([(len(each.images), len(each.sigmas)) for each in requests])
        sizes = [len(each.images) if self.images_take_time else 1 for each in requests]
        self.now += sum(len(each.sigmas) * size for each, size in zip(requests, sizes, strict=True))
        torch.manual_seed(0)
        # The larger sigma is, the more chips differ.
        return [torch.tensor(each.sigmas)[:, None] * torch.rand(1, 2) for each in requests]

    def run(self, sigmas):
        self.asked.clear()
        strengths = tuple(k / 10 for k in range(sigmas))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pilot_module.time, "perf_counter", lambda: self.now)
            return run_pilot(self, strengths, target=0.01, worst=0.0, max_draws=1000)


def test_what_a_draw_takes_is_timed_once_for_a_network_and_a_way_to_score_it():
    pilot = Asked()
    before = pilot.run(3)
    assert pilot.run(3) == before
    assert pilot.asked == [[(8, 3)] * 16]
    pilot.kind = "b"
    pilot.run(3)
    assert len(pilot.asked) == 3
    # Where images seem to take no time, that is not for ever.
    pilot.kind, pilot.images_take_time = "c", False
    pilot.run(3)
    pilot.run(3)
    assert len(pilot.asked) == 3
    # Others may not know it, and would wait for what this one leaves out.
    pilot.distributed, size = True, len(pilot.asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing.dist, "all_reduce", lambda total: None)
        patch.setattr(sharing.dist, "get_world_size", lambda: 1)
        pilot.run(3)
        pilot.run(3)
    assert len(pilot.asked) == size


@pytest.mark.parametrize("mixes", [False, True])
def test_draws_that_are_scored_together_have_as_many_images_at_each_sigma(mixes):
    plans = Asked(mixes=mixes).run(10)
    assert len({plan.images for plan in plans}) == 1 or not mixes
    assert len({plan.draws for plan in plans}) > 3


def test_one_number_of_images_is_the_best_for_all():
    """Between what each would have alone; the draws are those that each then takes."""
    variances = [(0.0001, 0.2), (0.02, 0.2), (0.05, 0.2)]
    settings = {"ratio": 20, "target": 0.003, "total": 10_000}
    alone = [plan for own in variances for plan in best_plans([own], **settings)]
    together = best_plans(variances, **settings)
    [images] = {plan.images for plan in together}
    assert min(plan.images for plan in alone) <= images <= max(plan.images for plan in alone)
    for (between, within), plan in zip(variances, together, strict=True):
        assert plan.draws == math.ceil((between + within / images) / 0.003**2)

    def cost(count):
        draws = [max(32, (b + w / count) / 0.003**2) for b, w in variances]
        return sum(draws) * (20 + count)

    assert cost(images) == min(cost(2**k) for k in range(11))


@pytest.mark.parametrize("mixes", [False, True])
def test_a_score_of_the_whole_batch_has_a_usual_number_of_images(mixes):
    """It does not tell by how much images differ."""

    class Whole(Asked):
        def __call__(self, requests):
            return [kept * torch.tensor([1.0, math.nan]) for kept in super().__call__(requests)]

    assert {plan.images for plan in Whole(mixes=mixes).run(4)} == {100}


@pytest.mark.parametrize("hard", [0.0, 0.2])
def test_a_sigma_that_cannot_reach_the_target_does_not_choose_for_the_others(hard):
    """It would give them as many images as there can be."""

    class Hard(Asked):
        def __call__(self, requests):
            super().__call__(requests)
            spread = {sigma: 1.0 if sigma == hard else 0.05 for sigma in requests[0].sigmas}
            return [
                torch.tensor([[spread[sigma] * (k % 2), 0.05] for sigma in request.sigmas])
                for k, request in enumerate(requests)
            ]

    plans = dict(zip((0.0, 0.1, 0.2, 0.3), Hard(mixes=True).run(4), strict=True))
    alone = plans.pop(hard)
    [images] = {plan.images for plan in plans.values()}
    assert images < alone.images
    assert all(plan.draws < 1000 for plan in plans.values())
    assert alone.draws > 1000


@pytest.mark.parametrize(
    ("draw", "image", "worth"), [(1.0, 0.1, 10.0), (1.0, 0.0, 4096.0), (-1.0, 1.0, 0.25)]
)
def test_the_time_of_a_draw_in_images(draw, image, worth):
    assert draws_worth(draw, image) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_stderr": 0}, "`target_stderr` to be a finite number above 0.*got 0"),
        ({"target_stderr": -0.1}, "-0.1"),
        ({"target_stderr": math.nan}, "nan"),
        ({"target_stderr": True}, "True"),
        ({"target_stderr": 0.1, "draws": 10}, "`draws` or `target_stderr`, but got both"),
        ({"target_stderr": 0.1, "max_draws": 3}, "`max_draws`.*at least 16.*3"),
        ({"target_stderr": 0.1, "max_images": 3}, "`max_images`"),
        ({"max_draws": 100}, "`max_draws` limit.*no `target_stderr`"),
        ({"target_stderr": 1e-170}, "1e-170"),
        (
            {"target_stderr": 0.1, "images_per_draw": 100, "max_images": 1000},
            "`max_images` to be at least 1600.*`images_per_draw=100`.*1000",
        ),
        ({"worst_score": -math.inf}, "`worst_score` to be a finite number, but got -inf"),
        ({"best_score": "all"}, "`best_score` to be a finite number, but got 'all'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        evaluate(Noisy(), images(), DRIFT, [0.1], **settings)
