"""What 95 % of the chips reach: of the chips, and not of the images that they were scored on."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.robustness import CurvePoint, accuracy, evaluate, pilot
from bayesft.robustness.statistics import low_quantile_of_chips, quantile_interval

LEVEL = 0.05


def gamma(rng, n):
    return 1 - 0.03 - 0.02 * rng.gamma(1.0, 1.0, n)


def normal(rng, n):
    return 0.4 + 0.1 * rng.standard_normal(n)


def alike(rng, n):
    return np.full(n, 0.95)


def two_kinds(rng, n):
    return np.where(rng.random(n) < 0.1, 0.1, 0.95)


@pytest.mark.parametrize("chips", [gamma, normal, alike, two_kinds])
@pytest.mark.parametrize(("draws", "images"), [(200, 100), (200, 30)])
def test_it_is_the_chips_and_its_interval_holds_it(chips, draws, images):
    rng = np.random.default_rng(0)
    truth = np.quantile(np.clip(chips(rng, 100_000), 0, 1), LEVEL)
    found, plain, held = [], [], []
    for _ in range(200):
        p = np.clip(chips(rng, draws), 0, 1)
        scores = rng.binomial(images, p) / images
        within = (scores * (1 - scores)).mean() * images / (images - 1)
        value, low, high = low_quantile_of_chips(scores, LEVEL, within / images)
        assert low <= value <= high
        found.append(value)
        plain.append(np.quantile(scores, LEVEL))
        held.append(low <= truth <= high)
    assert 0.92 <= np.mean(held) <= 0.995
    if chips is not two_kinds:
        # Of those nine in ten are far from the quantile, and what is drawn together passes it by.
        assert abs(np.mean(found) - truth) < 0.25 * max(abs(np.mean(plain) - truth), 0.06)


def test_without_noise_it_is_the_scores():
    scores = np.random.default_rng(0).random(100)
    plain = (np.quantile(scores, LEVEL), *quantile_interval(scores, LEVEL))
    for noise in (math.nan, 0.0):
        assert low_quantile_of_chips(scores, LEVEL, noise) == plain
    # Where all scores are one, so is the quantile.
    assert low_quantile_of_chips(np.full(100, 0.5), LEVEL, 0.1) == (0.5, 0.5, 0.5)


def test_the_ends_are_scores():
    scores = [0.0] * 20 + [1.0] * 80
    point = CurvePoint.from_scores(0.3, scores, images=1000, image_variance=0.02)
    assert 0 <= point.quantile05_low <= point.quantile05 <= point.quantile05_high <= 1


@pytest.fixture(scope="module")
def case():
    """A network that drift changes, and 4000 images that it mostly gets right."""
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    images = torch.randn(4000, 6)
    labels = model(images + 0.1 * torch.randn(4000, 6)).argmax(1)
    return model, TensorDataset(images, labels)


@pytest.mark.parametrize(
    "settings",
    [
        {"draws": 400, "images_per_draw": 50},
        {"draws": 400, "images_per_draw": 200},
        {"target_stderr": 0.006, "images_per_draw": 20},
        {"target_stderr": 0.004},
    ],
)
def test_it_does_not_depend_on_the_images_of_a_draw(monkeypatch, case, settings):
    # On how busy the machine is neither.
    monkeypatch.setattr(pilot, "draws_worth", lambda draw, image: 16.0)
    model, data = case
    truth = evaluate(model, data, LogNormalDrift(), [0.4], 1000, images_per_draw=4000, seed=5)
    point = evaluate(model, data, LogNormalDrift(), [0.0, 0.4], **settings).points[1]
    assert point.quantile05_low <= truth.points[0].quantile05 <= point.quantile05_high
    assert point.quantile05 == pytest.approx(truth.points[0].quantile05, abs=0.02)
    # All images tell the chip's score itself.
    assert truth.points[0].image_variance == 0
    assert truth.points[0].quantile05 == np.quantile(np.array(truth.scores[0]), LEVEL)


def test_without_drift_all_chips_are_one(case):
    model, data = case
    point = evaluate(model, data, LogNormalDrift(), [0.0], 100, images_per_draw=50).points[0]
    assert point.quantile05 == point.mean
    assert (point.quantile05_low, point.quantile05_high) == pytest.approx(
        point.interval(), abs=0.01
    )


def test_a_score_of_a_whole_batch_tells_nothing_of_its_images(case):
    model, data = case

    def whole(model, batch):
        return accuracy(model, batch).mean()

    point = evaluate(
        model, data, LogNormalDrift(), [0.4], 100, images_per_draw=50, score=whole
    ).points[0]
    assert math.isnan(point.image_variance)
    single = evaluate(model, data, LogNormalDrift(), [0.4], 100, images_per_draw=1).points[0]
    assert math.isnan(single.image_variance)
