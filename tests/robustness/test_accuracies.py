"""Accuracies of several draws, counted together: those that each draw has alone."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5
from bayesft.robustness import accuracy, evaluate
from bayesft.robustness.backends import in_place
from bayesft.robustness.score import correct

DRIFT = LogNormalDrift()


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.rand(60, 1, 12, 12, generator=generator),
        torch.randint(0, 10, (60,), generator=generator),
    )


def lenet5() -> LeNet5:
    torch.manual_seed(0)
    return LeNet5(image_size=12)


def mlp() -> MLP:
    return MLP(image_size=12)


def _one_by_one(model, batch):
    return accuracy(model, batch)


@pytest.mark.parametrize("limit", [1, 500, 1 << 18])
@pytest.mark.parametrize("target", [{"draws": 21}, {"target_stderr": 0.1, "max_draws": 40}])
def test_accuracies_that_are_counted_together_are_those_of_each_draw(monkeypatch, limit, target):
    counted = []

    def watched(logits, labels):
        counted.append(len(logits))
        return correct(logits, labels)

    monkeypatch.setattr(in_place, "_LOGITS", limit)
    monkeypatch.setattr(in_place, "correct", watched)
    model = lenet5()
    usual = {"images_per_draw": 10, "backend": "in_place", **target}
    together = evaluate(model, data(), DRIFT, [0.3, 0.9], **usual)
    assert max(counted) == {1: 1, 500: 5}.get(limit, min(32, together.points[0].draws) * 2)
    assert (
        together.scores
        == evaluate(model, data(), DRIFT, [0.3, 0.9], score=_one_by_one, **usual).scores
    )


def test_a_network_may_give_the_same_memory_each_time():
    """As a compiled one does."""

    class Static(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.memory = lenet5(), torch.empty(10, 10)

        def forward(self, images):
            return self.memory.copy_(self.network(images))

    usual = {"images_per_draw": 10, "backend": "in_place"}
    curve = evaluate(Static(), data(), DRIFT, [0.6], 12, **usual)
    assert len({*curve.scores[0]}) > 1
    assert curve.scores == evaluate(lenet5(), data(), DRIFT, [0.6], 12, **usual).scores


@pytest.mark.parametrize("wrong", [-1, 10])
@pytest.mark.parametrize("backend", ["auto", "in_place", "vmap"])
@pytest.mark.parametrize("make", [lenet5, mlp])
def test_a_label_of_no_class_is_told(make, backend, wrong):
    """It would be a wrong answer, as each of a network's would be of labels that count from 1."""
    images, labels = data().tensors
    labels = torch.where(torch.arange(60) == 59, wrong, labels)
    words = rf"labels from 0 to 9, for the model gives 10 logits, but got .*{wrong}.*from 0"
    with pytest.raises(SettingError, match=words):
        evaluate(
            make(),
            TensorDataset(images, labels),
            DRIFT,
            [0.3],
            12,
            images_per_draw=10,
            backend=backend,
        )
