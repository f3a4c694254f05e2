"""The estimate: unbiased, with an honest error, repeatable, and without side effects."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesft.drift import Chip, LogNormalDrift, StuckAtDrift
from bayesft.errors import SettingError
from bayesft.robustness import Curve, accuracy, evaluate, paired_difference
from bayesft.robustness.images import draw_indices

DRIFT = LogNormalDrift()


class Threshold(nn.Module):
    """Right exactly when its one weight, 1 when clean, has not doubled.

    Its expected accuracy under log-normal drift is P(sigma z < log 2).
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return torch.cat([images * 0 + 2, images * 0 + self.weight], dim=1)


def images(n: int = 40):
    return TensorDataset(torch.ones(n, 1), torch.zeros(n, dtype=torch.int64))


def expected(sigma: float) -> float:
    return 0.5 * math.erfc(-math.log(2) / sigma / math.sqrt(2))


def test_the_mean_is_the_expectation_and_the_error_is_its_spread():
    sigmas = [0.5, 1.0]
    curves = [evaluate(Threshold(), images(), DRIFT, sigmas, 100, seed=s) for s in range(60)]
    for i, sigma in enumerate(sigmas):
        means = torch.tensor([curve.points[i].mean for curve in curves], dtype=torch.float64)
        p = expected(sigma)
        true_error = math.sqrt(p * (1 - p) / 100)
        assert abs(means.mean() - p) < 4 * true_error / math.sqrt(60)
        # The spread of 60 means has a relative standard error of 1/sqrt(120).
        assert means.std() == pytest.approx(true_error, rel=4 / math.sqrt(120))
        stated = sum(curve.points[i].stderr for curve in curves) / 60
        assert stated == pytest.approx(true_error, rel=0.05)


def test_same_seed_same_numbers_and_the_same_chips_for_every_model_and_sigma():
    first = evaluate(Threshold(), images(), DRIFT, [0.5, 1.0], 50, seed=3)
    torch.manual_seed(1)
    again = evaluate(Threshold(), images(), DRIFT, [1.0], 50, seed=3)
    assert first.scores[1] == again.scores[0]
    assert first.scores != evaluate(Threshold(), images(), DRIFT, [0.5, 1.0], 50, seed=4).scores
    # One normal serves both sigmas: who fails at the smaller one fails at the larger.
    assert all(small >= large for small, large in zip(*first.scores, strict=True))


@pytest.mark.parametrize("form", ["loader", "shuffled", "dataset", "batches"])
def test_every_form_of_data_gives_the_same_draws(form):
    data = TensorDataset(torch.arange(30.0).view(-1, 1), torch.arange(30) % 3)
    forms = {
        "loader": DataLoader(data, batch_size=7),
        "shuffled": DataLoader(data, batch_size=7, shuffle=True),
        "dataset": data,
        "batches": [data[:11], data[11:30]],
    }
    seen: list[torch.Tensor] = []

    def remember(model, batch):
        seen.append(batch[0].flatten().clone())
        return torch.zeros(len(batch[0]))

    evaluate(nn.Linear(1, 1), forms[form], DRIFT, [0.1], 6, images_per_draw=10, score=remember)
    counts = torch.cat(seen).long().bincount(minlength=30)
    # 6 draws of 10 from 30: each image exactly twice.
    assert counts.tolist() == [2] * 30
    wanted = draw_indices(range(6), images=10, total=30, seed=0).tolist()
    assert [batch.long().tolist() for batch in seen] == wanted


def test_nothing_is_left_behind_after_an_exception_either():
    model = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Dropout())
    model[1].eval()
    model[2].train()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()

    def fails(model, batch):
        assert not any(module.training for module in model.modules())
        model(batch[0])
        torch.rand(1)
        raise RuntimeError("in the score")

    with pytest.raises(RuntimeError, match="in the score"):
        evaluate(model, images(), DRIFT, [0.5], 3, score=fails)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_error_of_the_mean_over_sigmas_knows_that_they_share_draws():
    curve = evaluate(Threshold(), images(), DRIFT, [0.9, 1.0, 1.1], 400, seed=0)
    independent = math.sqrt(sum(point.stderr**2 for point in curve.points)) / 3
    # The three columns are nearly the same, so averaging them gains almost nothing.
    assert curve.stderr > 1.5 * independent
    assert curve.stderr < max(point.stderr for point in curve.points) * 1.01


def test_a_paired_difference_is_surer_than_two_curves():
    clean = evaluate(Threshold(), images(), DRIFT, [0.9, 1.0], 200, seed=0)
    worse = Threshold()
    worse.weight.data.mul_(1.2)
    other = evaluate(worse, images(), DRIFT, [0.9, 1.0], 200, seed=0)
    difference = paired_difference(clean, other)
    assert difference.value == pytest.approx(clean.mean - other.mean)
    assert 0 < difference.stderr < 0.8 * math.hypot(clean.stderr, other.stderr)
    elsewhere = evaluate(worse, images(), DRIFT, [0.9, 1.0], 200, seed=1)
    with pytest.raises(SettingError, match="same chips"):
        paired_difference(clean, elsewhere)


@pytest.mark.parametrize("draws", [1, 20])
def test_curves_come_back_from_their_files(tmp_path, draws):
    curve = evaluate(Threshold(), images(), DRIFT, [0.0, 0.3, 1.0], draws, seed=0)
    curve.to_json(tmp_path / "c.json")
    back = Curve.from_json(tmp_path / "c.json")
    assert back.scores == curve.scores
    assert back.seed == curve.seed
    assert repr(back.points) == repr(curve.points)  # repr: NaN is not equal to itself
    curve.to_csv(tmp_path / "c.csv")
    assert repr(Curve.from_csv(tmp_path / "c.csv").points) == repr(curve.points)


def test_a_score_of_another_length_than_the_images_is_told():
    batches = [(torch.rand(16, 4), torch.zeros(16, dtype=torch.int64))]
    for backend in ("in_place", "vmap"):
        with pytest.raises(SettingError, match=r"each of 16 images.*but got 5 values"):
            evaluate(
                nn.Linear(4, 3), batches, LogNormalDrift(), [0.3], 4, images_per_draw=16,
                score=lambda model, batch: model(batch[0])[:5, 0], backend=backend,
            )  # fmt: skip


def test_the_worst_score_is_not_above_the_best():
    batches = [(torch.rand(16, 4), torch.zeros(16, dtype=torch.int64))]
    with pytest.raises(SettingError, match="`worst_score` to be at most `best_score`, but got 2"):
        evaluate(nn.Linear(4, 3), batches, LogNormalDrift(), [0.3], 4, worst_score=2.0)


def test_overflow_is_wrong_and_a_score_that_is_not_finite_is_the_worst():
    class Overflows(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images):
            return torch.cat([images * math.inf * self.weight, images], dim=1)

    assert evaluate(Overflows(), images(), DRIFT, [0.1], 4).mean == 0
    curve = evaluate(
        Threshold(),
        images(),
        DRIFT,
        [0.1],
        4,
        score=lambda model, batch: torch.tensor(math.nan),
        worst_score=-1.0,
    )
    assert curve.mean == -1
    assert curve.points[0].nonfinite == 4
    assert "4 draws, 4 not finite" in str(curve)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "`draws`.*at least 1.*0"),
        ({"images_per_draw": 0}, "`images_per_draw`"),
        ({"sigmas": [-0.1]}, "`sigma`.*-0.1"),
        ({"sigmas": []}, "`sigmas`.*none"),
        ({"sigmas": [math.nan]}, "nan"),
        ({"seed": -1}, "`seed`.*0 or larger.*-1"),
        ({"sigmas": 0.5}, r"`sigmas` to be a list of strengths such as \[0.5\], but got 0.5"),
        ({"drift": LogNormalDrift}, r"got the class LogNormalDrift: make one, LogNormalDrift\(\)"),
        ({"drift": "lognormal"}, r"such as LogNormalDrift\(\), but got 'lognormal'"),
        ({"model": Threshold}, "torch.nn.Module, but got the class Threshold"),
        ({"model": lambda images: images}, "but got an object of the class function"),
        ({"score": "acc"}, "`score` to be a function.*but got 'acc'"),
        ({"batches": None}, "`batches` to be a DataLoader, .*but got a NoneType"),
        ({"batches": [(torch.ones(1), torch.tensor(0))] * 3}, r"single samples.*batch_size=100"),
        ({"batches": [(torch.ones(1), 0)] * 3}, r"1 images with an int. Of single samples"),
        ({"batches": [(torch.ones(4, 1), torch.zeros(3).long())]}, r"4 images with .*\(3,\)"),
        ({"batches": [(torch.ones(4, 1), torch.zeros(4))]}, r"an integer, .*float32.*labels.long"),
        ({"batches": (torch.ones(4, 1), torch.ones(4))}, r"pair.*give \[\(images, labels\)\]"),
        ({"distributed": True}, r"torch.distributed, but it is not initialised. Call"),
        ({"score": lambda model, batch: 0.5}, r"shape \(\), but got a float. Return torch.tensor"),
        ({"score": lambda model, batch: None}, "but got a NoneType"),
        ({"score": lambda model, batch: torch.ones(2, 3)}, r"but got a tensor of shape \(2, 3\)"),
        ({"score": lambda model, batch: torch.ones(0)}, r"but got a tensor of shape \(0,\)"),
        ({"batches": TensorDataset(torch.ones(0, 1), torch.ones(0))}, "no images"),
    ],
)
def test_bad_settings_are_named(settings, message):
    usual = {"model": Threshold(), "batches": images(), "drift": DRIFT, "sigmas": [0.1], "draws": 2}
    with pytest.raises(SettingError, match=message):
        evaluate(**usual | settings)


@pytest.mark.parametrize("labels", [torch.zeros(50, 1), torch.zeros(50, 2), list("ab" * 25)])
def test_accuracy_tells_labels_of_another_form(labels):
    with pytest.raises(SettingError, match=r"labels of shape \(images,\).*labels.squeeze\(1\)"):
        accuracy(Threshold(), (torch.ones(50, 1), labels))


@pytest.mark.parametrize("other", [None, [0.5], 0.5])
def test_a_paired_difference_needs_two_curves(other):
    curve = evaluate(Threshold(), images(), DRIFT, [0.5], 3)
    kind = type(other).__name__
    with pytest.raises(SettingError, match=f"`baseline` to be a curve.*but got {kind}"):
        paired_difference(curve, other)
    with pytest.raises(SettingError, match=f"`curve` to be a curve.*but got {kind}"):
        paired_difference(other, curve)


def test_a_paired_difference_of_two_drifts_is_none():
    ours, theirs = (
        evaluate(Threshold(), images(), drift, [0.5], 3) for drift in (DRIFT, StuckAtDrift())
    )
    with pytest.raises(SettingError, match=r"same chips, sigmas and drift.*Stuck"):
        paired_difference(ours, theirs)
    # Of an earlier version, that did not say.
    assert paired_difference(ours, replace(theirs, drift=None)).value == ours.mean - theirs.mean


def test_numpys_numbers_are_numbers(tmp_path):
    ours, theirs = (
        evaluate(
            Threshold(), images(), DRIFT, [of(0.5)], images_per_draw=count(5), seed=count(3),
            target_stderr=of(0.25), max_draws=count(40),
        )
        for of, count in ((float, int), (np.float32, np.int64))
    )  # fmt: skip
    assert ours == theirs
    theirs.to_json(tmp_path / "c.json")
    assert Chip(np.int64(3), np.int32(1)) == Chip(3, 1)


def test_seeds_beyond_what_a_generator_takes():
    curves = [evaluate(Threshold(), images(), DRIFT, [0.5], 3, seed=1 << 64) for _ in range(2)]
    assert curves[0] == curves[1]
