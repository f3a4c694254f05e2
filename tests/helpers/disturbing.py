"""Networks that do something in eval mode, or to their buffers."""

import torch
from torch import nn


class Merging(nn.Module):
    """Adds a part to its weight in eval mode and takes it away again, as LoRA does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.part = nn.Parameter(torch.ones(1)), nn.Parameter(torch.full((1,), 2.0))
        self.merged = False

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if mode == self.merged:
            self.weight.data += self.part.data * (-1 if mode else 1)
            self.merged = not mode
        return self

    def forward(self, images):
        return images * (self.weight if self.merged else self.weight + self.part)


class Counting(nn.Module):
    """Writes buffers when it is used, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, images):
        self.calls += 1
        self.last = self.weight.detach().clone()
        return images * self.weight
