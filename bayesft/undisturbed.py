"""Looking at a network without leaving a trace: modes, buffers and random states."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

# There are no larger ones.
_SEEDS = 1 << 63
_NUMPY_SEEDS = 1 << 32


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode, and leave it as found: modes, buffers, computed weights.

    A forward pass in eval mode can write buffers too (observers of quantisation, counters of
    one's own), and a hook before it (pruning) a weight that is no parameter.
    """
    modes = [(module, module.training) for module in model.modules()]
    kept = None
    try:
        # For a network of many modules it takes as long as a forward pass.
        if any(training for _, training in modes):
            model.eval()
        kept = _Kept(model)
        yield
    finally:
        if kept is not None:
            kept.put_back()
        for module, training in modes:
            if training and not module.training:
                # And not its flag alone: what `eval` did (LoRA merges its weights) is undone.
                module.train()
        for module, training in modes:
            if module.training != training:
                module.training = training


class _Kept:
    """What a forward pass in eval mode might write, as it was."""

    def __init__(self, model: nn.Module) -> None:
        self._buffers: list[tuple[nn.Module, str, Tensor, Tensor, int]] = []
        self._computed: list[tuple[nn.Module, dict[str, Any]]] = []
        for module in model.modules():
            # Nearly all buffers are these, and in eval mode they are not written.
            if module._buffers and (module.training or not isinstance(module, _NormBase)):
                self._buffers += [
                    (module, name, buffer, buffer.clone(), buffer._version)
                    for name, buffer in module.named_buffers(recurse=False)
                    # Of inference alone: nobody may write it here. Lazy: there is none yet.
                    if not (is_lazy(buffer) or buffer.is_inference())
                ]
            if module._forward_pre_hooks:
                tensors = {k: v for k, v in vars(module).items() if isinstance(v, Tensor)}
                self._computed.append((module, tensors))

    def put_back(self) -> None:
        for module, name, buffer, value, version in self._buffers:
            if buffer._version != version:
                buffer.copy_(value)
            if getattr(module, name, None) is not buffer:
                setattr(module, name, buffer)
        for module, tensors in self._computed:
            vars(module).update(tensors)


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Leave the global random states as found: PyTorch's, NumPy's and Python's."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the global random states, and leave them as found."""
    with random_states_kept(device):
        # Not torch.manual_seed, which would seed every other GPU as well.
        torch.default_generator.manual_seed(seed % _SEEDS)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed % _SEEDS)
        random.seed(seed)
        np.random.seed(seed % _NUMPY_SEEDS)
        yield
