"""Draws of several sets of sigmas in one call, as on a GPU, and what is planned for them."""

import pytest
import torch

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.robustness import PrecisionWarning, accuracy, adaptive, evaluate
from bayesft.robustness.backends import InPlace, Vmapped, choice
from bayesft.robustness.batches import Block
from bayesft.robustness.images import ImagePool
from bayesft.robustness.pilot import Plan
from bayesft.robustness.sampler import Requests, Sampler
from tests.helpers.drifting import Mixing, confidence, data, network

DRIFT = LogNormalDrift()


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize(("most", "calls"), [(100, ([4, 1, 3], [8])), (5, ([4, 1, 3], [4, 4]))])
def test_chips_may_have_sigmas_of_their_own(monkeypatch, mixes, most, calls):
    """In any order, and on a GPU all in one call, if they fit."""
    model = network("lenet5").eval()
    chips, sigmas = (
        [Chip(0, k) for k in range(4)],
        [(0.9, 0.3), (0.3,), (0.6, 0.3, 0.9), (0.3, 0.9)],
    )
    batches = [list(data()[torch.arange(k, k + 6)]) for k in range(4)]
    rows, scored = DriftingWeights.rows, []

    def counted(self, draws):
        scored.append(len(draws))
        return rows(self, draws)

    monkeypatch.setattr(DriftingWeights, "rows", counted)
    monkeypatch.setattr(Vmapped, "chunk", lambda self, batch: most)
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        expected = InPlace(model, weights, confidence)(chips, batches, sigmas)
        alone = [
            InPlace(model, weights, confidence)([chip], [batch], [own])
            for chip, batch, own in zip(chips, batches, sigmas, strict=True)
        ]
        backend = (Mixing if mixes else Vmapped)(model, weights, confidence)
        assert backend.mixes == mixes
        found = backend(chips, batches, sigmas)
    assert torch.equal(expected, torch.cat(alone))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert len(set(found[:, 0].tolist())) == 8
    assert scored == calls[mixes]


def test_all_that_is_to_be_drawn_next_is_one_call_where_sigmas_mix(monkeypatch):
    """But for draws of other numbers of images."""
    calls, expected = [], []

    def counted(self, chips, batches, sigmas, score=Vmapped.__call__):
        calls.append(len(set(sigmas)))
        return score(self, chips, batches, sigmas)

    def asked(self, requests, sample=Sampler.__call__):
        expected.append(len({each.images.shape[1] for each in requests}))
        return sample(self, requests)

    settings = {"target_stderr": 0.006, "score": confidence, "backend": "vmap"}
    model, sigmas = network("mlp"), [0.1, 0.4, 0.7, 1.0]
    apart = evaluate(model, data(), DRIFT, sigmas, images_per_draw=20, **settings)
    monkeypatch.setattr(choice, "BACKENDS", {"vmap": Mixing})
    monkeypatch.setattr(Vmapped, "__call__", counted)
    monkeypatch.setattr(Sampler, "__call__", asked)
    together = evaluate(model, data(), DRIFT, sigmas, images_per_draw=20, **settings)
    for one, other in zip(apart.scores, together.scores, strict=True):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-5, atol=1e-6)
    # Three times to find out that it serves.
    assert set(expected) == {1}
    assert len(calls) == 3 + len(expected)
    calls.clear(), expected.clear()
    plans = [Plan(8, 40), Plan(8, 120), Plan(16, 60), Plan(8, 300)]
    monkeypatch.setattr(adaptive, "run_pilot", lambda *given, **limits: plans)
    evaluate(model, data(), DRIFT, sigmas, **settings)
    assert expected[0] == 2
    assert max(calls) > 1
    assert len(calls) == 3 + sum(expected)


@pytest.mark.parametrize(
    ("kind", "images", "rounds"),
    [(Vmapped, None, [56, 16]), (Mixing, None, [80, 32]), (Mixing, 8, [32, 8])],
)
def test_looks_are_fewer_where_a_round_takes_more_than_a_few_draws(
    monkeypatch, kind, images, rounds
):
    """But not with a given number of images: then draws are the same on every device."""
    asked, original = [], Sampler.__call__

    def counted(self, requests):
        asked.append(sum(map(len, requests)))
        return original(self, requests)

    def planned(sampler, *given, **limits):
        original(sampler, [Requests([1 << 60], (0.5,), torch.arange(4)[None])])
        return [Plan(8, 80)]

    monkeypatch.setattr(choice, "BACKENDS", {"vmap": kind})
    monkeypatch.setattr(Sampler, "__call__", counted)
    monkeypatch.setattr(adaptive, "run_pilot", planned)
    settings = {"target_stderr": 1e-4, "max_draws": 200, "images_per_draw": images}
    with pytest.warns(PrecisionWarning):
        evaluate(network("mlp"), data(), DRIFT, [0.5], backend="vmap", **settings)
    assert asked[:2] == rounds


@pytest.mark.parametrize("fails", [False, True])
def test_batches_that_are_taken_at_once_are_the_same(monkeypatch, fails):
    """Of each draw its own, also from where a backend gave way to another."""
    model, asked = network("lenet5"), []
    settings = {"score": confidence, "images_per_draw": 7}
    expected = evaluate(model, data(), DRIFT, [0.3, 0.9], 20, backend="in_place", **settings)

    class Failing(Mixing):
        def chunk(self, batch):
            return 6

        def __call__(self, chips, batches, sigmas):
            asked.append(type(batches))
            if fails and len(asked) == 2:
                raise RuntimeError("as if")
            return super().__call__(chips, batches, sigmas)

    def chosen(self, batch):
        given = self.model, self.weights, self.score
        return choice._UntilItFails(Failing(*given), lambda: InPlace(*given))

    monkeypatch.setattr(Sampler, "_choose", chosen)
    monkeypatch.setattr(ImagePool, "at_once", True)
    found = evaluate(model, data(), DRIFT, [0.3, 0.9], 20, **settings)
    torch.testing.assert_close(*(torch.tensor(curve.scores) for curve in (found, expected)))
    assert asked == [Block] * (2 if fails else 4)
    asked.clear()
    # Hooks are handed what a loop hands them.
    evaluate(model, data(), DRIFT, [0.3, 0.9], 20, prepare=lambda batch: batch, **settings)
    assert set(asked) == {list}


@pytest.mark.parametrize("distributed", [False, True])
def test_processes_do_not_plan_by_their_own_backend(distributed):
    """One whose backend mixes would look at other times than the others, and wait for ever."""
    model = network("mlp")
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        sampler = Sampler(
            model, weights, ImagePool(data()), accuracy, prepare=None, seed=0,
            distributed=distributed,
        )  # fmt: skip
        assert not sampler.mixes
        sampler._backend = Mixing(model, weights, accuracy)
        assert sampler.mixes != distributed
