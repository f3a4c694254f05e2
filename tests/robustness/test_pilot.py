"""What a pilot times, and what it plans."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import AdditiveDrift, DriftingWeights, LogNormalDrift
from bayesft.robustness import (
    accuracy,
    sharing,
)
from bayesft.robustness import pilot as pilot_module
from bayesft.robustness.images import ImagePool
from bayesft.robustness.pilot import best_plans, draws_worth, run_pilot
from bayesft.robustness.sampler import Requests, Sampler
from tests.helpers.drifting import confidence, data, network

DRIFT = LogNormalDrift()


def test_the_plan_is_the_optimum_of_the_textbook():
    """m = sqrt(ratio w / b), to the nearest power of two or its neighbour."""
    for between, within, ratio in ((0.02, 0.2, 10), (0.02, 0.2, 100), (0.001, 0.2, 2)):
        [plan] = best_plans([(between, within)], ratio=ratio, target=0.003, total=10_000)
        exact = math.sqrt(ratio * within / between)
        assert exact / 2 <= plan.images <= exact * 2
        assert plan.draws == math.ceil((between + within / plan.images) / 0.003**2)


class Asked:
    """A sampler that keeps what it was asked."""

    pool, seed, distributed, kind = SimpleNamespace(total=500), 0, False, "a"
    weights = SimpleNamespace(device=torch.device("cpu"))
    images_take_time = True

    def __init__(self, *, mixes=False):
        self.asked, self.mixes, self.model, self.now = [], mixes, nn.Linear(1, 1), 0.0

    def __call__(self, requests):
        [each] = requests
        draws, sigmas, images = len(each), len(each.sigmas), each.images.shape[1]
        self.asked.append((draws, images, sigmas))
        self.now += draws * sigmas * (images if self.images_take_time else 1)
        torch.manual_seed(0)
        # The larger sigma is, the more chips differ.
        return [torch.tensor(each.sigmas)[:, None] * torch.rand(draws, 1, 2)]

    def run(self, sigmas):
        self.asked.clear()
        strengths = tuple(k / 10 for k in range(sigmas))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pilot_module.time, "perf_counter", lambda: self.now)
            return run_pilot(self, strengths, target=0.01, worst=0.0, max_draws=1000)


def test_a_pilot_times_few_of_many_sigmas():
    """The variance is wanted at each; a draw takes as long at any."""
    pilot = Asked()
    assert len(pilot.run(16)) == 16
    assert pilot.asked == [(16, 8, 16), (16, 8, 4), (2, 64, 4)]


def test_what_is_slow_the_first_time_on_a_gpu_is_not_timed():
    """There it is the very calls that are timed: another number of draws may be slow again."""
    pilot = Asked(mixes=True)
    pilot.weights = SimpleNamespace(device=torch.device("cuda"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pilot_module, "agreed", lambda value, **settings: value)
        pilot.run(6)
    first, few, many = (16, 8, 6), (16, 8, 6), (16, 64, 6)
    assert pilot.asked == [first, few, many, few, many]


def test_what_a_draw_takes_is_timed_once_for_a_network_and_a_way_to_score_it():
    pilot = Asked()
    before = pilot.run(3)
    assert pilot.run(3) == before
    assert pilot.asked == [(16, 8, 3)]
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
            [each] = requests
            spread = [1.0 if sigma == hard else 0.05 for sigma in each.sigmas]
            return [
                torch.tensor([[[own * (k % 2), 0.05] for own in spread] for k in range(len(each))])
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


def test_what_a_draw_takes_is_told_apart_by_all_that_it_depends_on():
    model, kinds = network("mlp"), []

    def add(images=8, *, drift=DRIFT, score=accuracy, autocast=False, prepare=None, double=False):
        kind, set_of = torch.float64 if double else torch.float32, data(n=40 if images == 7 else 60)
        model.to(kind)
        pictures, labels = set_of.tensors
        pool = ImagePool(TensorDataset(pictures.to(kind), labels))
        with (
            torch.no_grad(),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
            DriftingWeights(model, drift) as weights,
        ):
            sampler = Sampler(model, weights, pool, score, prepare=prepare, seed=0)
            sampler([Requests([0], (0.3,), torch.arange(images)[None])])
        kinds.append(sampler.kind)

    # How many images a draw has is told by the pilot itself.
    add(), add(9)
    assert kinds[0] == kinds[1]
    # Another set, drift, score, precision or way to the device.
    add(7), add(drift=LogNormalDrift(target="crossbar")), add(drift=AdditiveDrift())
    add(score=confidence), add(autocast=True), add(prepare=lambda batch: batch), add(double=True)
    assert len(set(kinds)) == 8
