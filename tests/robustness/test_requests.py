"""Which draws an evaluation asks for, on which images, and whose scores it is given."""

import itertools

import pytest
import torch

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.robustness import evaluate, sampler, sharing
from bayesft.robustness.backends import InPlace
from bayesft.robustness.images import ImagePool, draw_indices
from bayesft.robustness.pilot import FIRST_CHIP
from bayesft.robustness.sampler import Requests, Sampler
from bayesft.robustness.sequential import FOLDS
from tests.helpers.drifting import Mixing, confidence, data, network

DRIFT = LogNormalDrift()


@pytest.fixture
def asked(monkeypatch):
    """Pairs of requests and what was answered."""
    pairs, original = [], Sampler.__call__

    def remembered(self, requests):
        answers = original(self, requests)
        pairs.extend(zip(requests, answers, strict=True))
        return answers

    monkeypatch.setattr(Sampler, "__call__", remembered)
    return pairs


def test_a_folds_draws_have_the_images_of_its_own_row(asked):
    """And a pilot's chips and images are others."""
    evaluate(
        network("mlp"), data(), DRIFT, [0.2, 0.9], target_stderr=0.01, seed=3, score=confidence
    )
    pilots, folds = set(), set()
    for requests, _ in asked:
        settings = {"images": requests.images.shape[1], "total": 60, "seed": 3}
        for chip, images in zip(requests.chips, requests.images, strict=True):
            number, stream = chip - FIRST_CHIP, "pilot"
            if number < 0:
                number, stream = chip // FOLDS, f"images of fold {chip % FOLDS}"
            [own] = draw_indices(range(number, number + 1), stream=stream, **settings)
            assert torch.equal(images, own)
            (pilots if chip >= FIRST_CHIP else folds).add(chip)
    assert len(pilots) > FOLDS
    assert len(folds) > 4 * FOLDS
    # What tells the time of an image from that of a draw are draws of its own.
    sizes = {chip: requests.images.shape[1] for requests, _ in asked for chip in requests.chips}
    assert all(sizes[chip] == 8 for chip in sorted(pilots)[:16])
    assert len(pilots) == 18


def test_the_variance_within_is_that_of_all_rounds(asked):
    settings = {"target_stderr": 0.004, "images_per_draw": 5, "score": confidence}
    curve = evaluate(network("mlp"), data(), DRIFT, [0.9], **settings)
    assert len(asked) > 1
    within = torch.cat([rows[:, 0, 1] for _, rows in asked])
    assert len(within) >= curve.points[0].draws
    assert curve.points[0].image_variance == pytest.approx(float(within.mean()) / 5 * (1 - 5 / 60))


@pytest.mark.parametrize("most", [3, 100])
def test_each_draw_is_given_its_own_score(most):
    """In calls of several, of other strengths, at once and in parts."""

    class Few(Mixing):
        def chunk(self, batch):
            return most

    model = network("lenet5").eval()
    requests = [
        Requests(range(2, 6), (0.3, 0.9), draw_indices(range(4), images=6, total=60, seed=0)),
        Requests([9], (0.6,), draw_indices(range(4, 5), images=6, total=60, seed=0)),
        Requests([0, 1], (0.1, 0.6, 0.9), draw_indices(range(2), images=9, total=60, seed=1)),
    ]
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        together = Sampler(
            model, weights, ImagePool(data()), confidence, prepare=None, seed=7, backend="in_place"
        )
        together._backend = Few(model, weights, confidence)
        found = together(requests)
        alone = InPlace(model, weights, confidence)
        for each, rows in zip(requests, found, strict=True):
            batches = [list(data()[images]) for images in each.images]
            chips = [Chip(7, chip) for chip in each.chips]
            expected = alone(chips, batches, [each.sigmas] * len(each))
            torch.testing.assert_close(rows.flatten(0, 1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_processes_divide_draws_as_their_scores_are_put_together(monkeypatch, size):
    """The n-th of all requests' draws is the n-th process's, counted on from one to the next."""
    lengths = [7, 1, 12, 4, 3]
    starts = itertools.accumulate(lengths, initial=0)
    requests = [
        Requests(range(start, start + length), (0.5,), torch.zeros(length, 1, dtype=torch.int64))
        for start, length in zip(starts, lengths, strict=False)
    ]
    monkeypatch.setattr(sharing.dist, "get_world_size", lambda: size)
    monkeypatch.setattr(Sampler, "_score", lambda self, mine: [asked.extend(mine)] * 0)
    monkeypatch.setattr(sampler, "gathered", lambda *given, **settings: torch.zeros(27, 2))
    model = network("mlp")
    with DriftingWeights(model, DRIFT) as weights:
        several = Sampler(
            model, weights, ImagePool(data()), confidence, prepare=None, seed=0, distributed=True
        )
        for rank in range(size):
            asked = []
            monkeypatch.setattr(sharing.dist, "get_rank", lambda rank=rank: rank)
            several(requests)
            mine = [chip for each in asked for chip in each.chips]
            assert mine == list(range(27))[rank::size]


@pytest.mark.parametrize(
    ("settings", "processes", "expected"),
    [
        ({"draws": 5}, 1, 10),
        ({"draws": 5}, 4, 3),
        ({"draws": 1}, 4, 1),
        ({"target_stderr": 0.05}, 1, None),
    ],
)
def test_a_backend_is_chosen_for_as_many_draws_as_there_will_be(
    monkeypatch, settings, processes, expected
):
    """Of one process."""
    told, choose = [], sampler.choose

    def remembered(*given, draws, **others):
        told.append(draws)
        return choose(*given, draws=draws, **others)

    monkeypatch.setattr(sampler, "choose", remembered)
    monkeypatch.setattr(sampler, "processes", lambda *, distributed: processes)
    evaluate(network("mlp"), data(), DRIFT, [0.2, 0.9], score=confidence, **settings)
    assert told == [expected]
