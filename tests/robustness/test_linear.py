"""Many draws of a linear network at once on a CPU, and one by one where that does not serve."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.models import MLP
from bayesft.robustness import evaluate
from bayesft.robustness.backends import InPlace, Vmapped

DRIFT = LogNormalDrift()
SIGMAS = [0.0, 0.4, 0.9]


def data(images=300, size=12):
    torch.manual_seed(0)
    return TensorDataset(torch.rand(images, 1, size, size), torch.randint(0, 10, (images,)))


@pytest.fixture
def scored(monkeypatch):
    """How many draws were scored by which, in order."""
    found = []
    for kind in (InPlace, Vmapped):

        def counted(self, chips, *rest, original=kind.__call__, kind=kind):
            found.append((kind, len(chips)))
            return original(self, chips, *rest)

        monkeypatch.setattr(kind, "__call__", counted)
    return found


@pytest.mark.parametrize("images", [1, 7, 250])
def test_scores_are_those_of_one_draw_after_the_other(scored, images):
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(30, 20))
    settings = {"draws": 21, "images_per_draw": images}
    many = evaluate(model, data(), DRIFT, SIGMAS, **settings)
    assert {kind for kind, _ in scored} == {Vmapped}
    single = evaluate(model, data(), DRIFT, SIGMAS, backend="in_place", **settings)
    assert len({score for row in single.scores for score in row}) > 1
    # A logit in ten thousand may be as large as another but for its rounding.
    for a, b in zip(many.scores, single.scores, strict=True):
        assert sum(x != y for x, y in zip(a, b, strict=True)) <= 1
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b), atol=1.5 / images, rtol=0)


def test_many_images_are_scored_one_draw_after_the_other(scored):
    evaluate(MLP(image_size=12), data(), DRIFT, SIGMAS, 5, images_per_draw=257)
    assert {kind for kind, _ in scored} == {InPlace}


class Branching(nn.Module):
    """Goes another way for some data; from the second batch on, if it is told so."""

    def __init__(self, above):
        super().__init__()
        self.layer, self.above = nn.Linear(144, 10), above

    def forward(self, images):
        features = self.layer(images.flatten(1))
        # A batch alone has no draws in front.
        return -features if images.amax() > self.above else features


def test_what_cannot_be_scored_at_once_is_scored_one_by_one(scored):
    torch.manual_seed(0)
    model = Branching(0.5)
    curve = evaluate(model, data(), DRIFT, SIGMAS, 21, images_per_draw=50)
    # It was tried once.
    assert [kind for kind, _ in scored].count(Vmapped) == 1
    assert scored[-1][0] is InPlace
    assert (
        curve.scores
        == evaluate(model, data(), DRIFT, SIGMAS, 21, images_per_draw=50, backend="in_place").scores
    )


def test_from_where_it_cannot_it_is_one_by_one(monkeypatch, scored):
    """What was scored before stays."""
    monkeypatch.setattr(Vmapped, "chunk", lambda self, batch: 7)
    original, calls = Vmapped.__call__, []

    def fails_later(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("as if")
        return original(self, *arguments)

    monkeypatch.setattr(Vmapped, "__call__", fails_later)
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(30,))
    curve = evaluate(model, data(), DRIFT, SIGMAS, 21, images_per_draw=50)
    assert len(calls) == 2
    expected = evaluate(model, data(), DRIFT, SIGMAS, 21, images_per_draw=50, backend="in_place")
    torch.testing.assert_close(
        torch.tensor(curve.scores), torch.tensor(expected.scores), atol=0.021, rtol=0
    )


def test_an_error_that_is_the_networks_is_told():
    class Broken(Branching):
        def forward(self, images):
            raise ValueError("in the network")

    with pytest.raises(ValueError, match="in the network"):
        evaluate(Broken(0), data(), DRIFT, SIGMAS, 5)

    class Wide(Branching):
        def forward(self, images):
            return super().forward(images)[:, :, None]

    with pytest.raises(SettingError, match="`accuracy` expects the model to give logits"):
        evaluate(Wide(2), data(), DRIFT, SIGMAS, 5)


def test_a_network_that_is_random_in_eval_mode_repeats():
    class Noisy(Branching):
        def forward(self, images):
            return super().forward(images) + torch.randn(len(images), 10)

    torch.manual_seed(0)
    model = Noisy(2)
    first, second = (evaluate(model, data(), DRIFT, SIGMAS, 9).scores for _ in range(2))
    assert first == second
