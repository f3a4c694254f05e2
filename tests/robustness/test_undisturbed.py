"""What an evaluation leaves behind: nothing, whatever a network does in eval mode."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import Dataset, TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.robustness import evaluate
from tests.helpers.disturbing import Counting, Merging

DRIFT = LogNormalDrift()


def images() -> TensorDataset:
    return TensorDataset(torch.rand(50, 1), torch.zeros(50, dtype=torch.int64))


def test_a_network_in_eval_mode_is_not_put_there_again():
    """It takes a small network of many modules as long as a forward pass."""

    class Told(nn.Linear):
        def __init__(self, *sizes: int) -> None:
            self.told = []
            super().__init__(*sizes)

        def train(self, mode: bool = True) -> nn.Module:
            self.told.append(mode)
            return super().train(mode)

    model = Told(1, 2)
    evaluate(model, images(), DRIFT, [0.5], 3)
    assert model.told == [False, True]
    model.eval()
    evaluate(model, images(), DRIFT, [0.5], 3)
    assert model.told == [False, True, False]


def test_what_putting_it_in_eval_mode_did_is_scored_and_undone():
    model = Merging()

    def product(model, batch):
        return model(torch.ones(len(batch[0])))

    assert evaluate(model, images(), DRIFT, [0.0], 3, score=product).mean == 3.0
    assert (model.training, model.merged, model.weight.item()) == (True, False, 1.0)


def test_buffers_that_a_forward_pass_writes_come_back():
    model = Counting()
    calls, last = model.calls, model.last
    evaluate(model, images(), DRIFT, [0.5], 3, score=lambda m, b: m(b[0])[:, 0])
    assert (model.calls, model.last) == (calls, last)
    assert (float(calls), float(last)) == (0, 0)


def test_a_weight_that_a_hook_computes_comes_back():
    model = nn.Sequential(nn.Linear(1, 2))
    prune.l1_unstructured(model[0], "weight", 0.5)
    before = model[0].weight.clone()
    evaluate(model, images(), DRIFT, [0.5], 3)
    assert torch.equal(model[0].weight, before)


def test_random_states_of_python_and_numpy_are_seeded_and_come_back():
    class Random(Dataset):
        def __len__(self):
            return 50

        def __getitem__(self, index):
            return torch.tensor([random.random(), float(np.random.rand())]), 0

    def number(model, batch):
        return batch[0].mean(1)

    states = random.getstate(), np.random.get_state()[1:3]
    first, again = (
        evaluate(nn.Linear(1, 1), Random(), DRIFT, [0.5], 3, score=number) for _ in range(2)
    )
    assert first.scores == again.scores
    assert random.getstate() == states[0]
    assert np.random.get_state()[2] == states[1][1]
    assert (np.random.get_state()[1] == states[1][0]).all()
