"""Putting drift on a network, and taking it off again to the bit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bayesft.drift.base import Drift, check_sigma
from bayesft.drift.chip import Chip


@contextmanager
def preserved(parameters: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield clones of `parameters`; whatever happens inside, copy them back.

    Subtracting noise again would not do: in float32 about a fifth of the weights
    come back with another last bit.
    """
    saved = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield saved
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])


def write_drifted(
    parameters: Mapping[str, Tensor],
    clean: Mapping[str, Tensor],
    normals: Mapping[str, Tensor],
    drift: Drift,
    sigma: float,
) -> None:
    """Overwrite `parameters` with the drifted form of `clean`, name by name.

    The caller restores them: use this inside `preserved`.
    """
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(drift(clean[name], normals[name], sigma))


@contextmanager
def drifted(model: nn.Module, drift: Drift, sigma: float, chip: Chip) -> Iterator[nn.Module]:
    """Yield `model` as it is on `chip`: its weights drifted with strength `sigma`.

    On leaving, by an exception too, every weight is back to the bit. Buffers are
    not touched, but a forward pass in train mode updates BatchNorm's statistics
    as it always does: call `model.eval()` first.

    Example:
        >>> from bayesft.drift import LogNormalDrift
        >>> net = nn.Linear(2, 1)
        >>> with drifted(net, LogNormalDrift(), 0.5, Chip(seed=0, index=0)):
        ...     y = net(torch.ones(1, 2))

    Raises:
        SettingError: `sigma` is negative or not finite, or nothing in `model` drifts.
    """
    strength = check_sigma(sigma)
    parameters = drift.parameters(model)
    with preserved(parameters) as clean:
        write_drifted(parameters, clean, chip.normals(clean), drift, strength)
        yield model
