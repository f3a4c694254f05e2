"""Small networks, images for them, a score that is smooth, and a backend as on a GPU."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.models import MLP, LeNet5
from bayesft.robustness.backends import Vmapped


def data(side: int = 12, n: int = 60) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.rand(n, 1, side, side, generator=generator),
        torch.randint(0, 10, (n,), generator=generator),
    )


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return {
        "mlp": lambda: MLP(image_size=12, hidden=(20,)),
        "lenet5": lambda: LeNet5(image_size=12),
        "batch norm": lambda: LeNet5(image_size=12, norm="batch"),
        "large": lambda: MLP(image_size=12, hidden=(300, 300)),
    }[name]()


def confidence(model, batch):
    """A smooth score: close is close, where accuracy could jump at a tie."""
    images, labels = batch
    return model(images).softmax(1).gather(1, labels[:, None])[:, 0]


class Mixing(Vmapped):
    """Scores draws of all sigmas together, as on a GPU."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mixes = True
