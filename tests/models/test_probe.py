"""A look at a network leaves it as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from bayesft.models.probe import check_logits, probing
from tests.helpers.disturbing import Counting, Merging

SHAPE = 1, 4, 4


def test_what_putting_it_in_eval_mode_did_is_undone():
    """Its flag alone would leave a LoRA layer merged, and a training would go on from there."""
    model = Merging()
    check_logits(model, SHAPE, None)
    assert (model.training, model.merged, model.weight.item()) == (True, False, 1.0)


def test_buffers_and_random_states_come_back():
    class Noisy(Counting):
        def forward(self, images):
            np.random.random()
            return super().forward(images) + torch.rand(1)

    model = Noisy()
    calls, last = model.calls, model.last
    states = torch.get_rng_state(), np.random.get_state()[2]
    check_logits(model, SHAPE, None)
    assert (model.calls, model.last) == (calls, last)
    assert float(calls) == 0
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[2] == states[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_lazy_network_learns_its_sizes_and_begins_from_the_seed(seed):
    def lazy():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(3), nn.LazyBatchNorm1d())

    model, expected = lazy(), lazy()
    with probing(model, SHAPE) as images:
        model(images)
    expected(torch.ones(2, *SHAPE))
    assert torch.equal(model[1].weight, expected[1].weight)
    assert model[2].running_mean.shape == (3,)
    assert model.training
