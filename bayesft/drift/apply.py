"""Putting drift on a network, and taking it off again to the bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bayesft.drift.base import Drift, check_sigma
from bayesft.drift.chip import Chip
from bayesft.drift.noise import standard_normals

# Weights of each draw whose drift is computed at once.
_BLOCK = 1 << 18


class DriftingWeights:
    """The weights of a network that drift; as a context, lent to it in drifted form.

    Inside the context the network's parameters look at memory of their own here,
    which each `write` fills; on leaving, whatever happened inside, they look at their
    clean memory again. That was never written, so it is the same to the bit, which
    subtracting noise again would not give: in float32 about a fifth of the weights
    come back with another last bit.

    Example:
        >>> with DriftingWeights(model, LogNormalDrift()) as weights:
        ...     normals = standard_normals(0, range(10), weights.count)
        ...     for row in weights.rows(normals, 0.5):
        ...         weights.write(row)
        ...         y = model(x)

    Attributes:
        names: of the drifting parameters, in the model's order.
        count: how many numbers they hold, which is how many normals a draw takes.
        device: where they are.

    Args:
        model: any network, its drifting parameters on one device.
        drift: says which of its parameters drift, and how.

    Raises:
        SettingError: nothing in `model` drifts.
    """

    def __init__(self, model: nn.Module, drift: Drift) -> None:
        parameters = drift.parameters(model)
        self.names = tuple(parameters)
        self.drift = drift
        self.device = next(iter(parameters.values())).device
        self._parameters = list(parameters.values())
        self._clean = [parameter.data for parameter in self._parameters]
        self._sizes = [clean.numel() for clean in self._clean]
        self.count = sum(self._sizes)
        # Of several types the widest, which holds what the others round to.
        self._row = torch.cat([clean.reshape(-1) for clean in self._clean])
        # Many draws are then a few calls, where neither the drift nor the types tell one
        # weight's tensor from another's.
        alike = len({clean.dtype for clean in self._clean}) == 1
        self._at_once = drift.elementwise and alike
        # New memory for each draw would cost as much as the drift.
        self._rows: Tensor | None = None

    def rows(self, normals: Tensor, sigma: float) -> Tensor:
        """Return the drifted weights of several draws; the network keeps what it has.

        Args:
            normals: float32, shape `(draws, count)`, on the weights' device.
            sigma: the strength.

        Returns:
            shape `(draws, count)`, each row in the order of `names`; as it is until the
            next call.
        """
        # A parameter cannot look at a tensor that was made for inference alone.
        with torch.inference_mode(False), torch.no_grad():
            if not self._at_once:
                return torch.stack([self._one(row, sigma) for row in normals])
            if self._rows is None or self._rows.shape != normals.shape:
                self._rows = torch.empty(normals.shape, dtype=self._row.dtype, device=self.device)
            # In blocks, so that what is in between stays in the cache.
            blocks = [each.split(_BLOCK, -1) for each in (self._rows, self._row, normals)]
            for out, clean, normal in zip(*blocks, strict=True):
                self.drift.into(out, clean.expand(normal.shape), normal, sigma)
            return self._rows

    def write(self, row: Tensor) -> None:
        """Give the network the drifted weights of one draw. Within the context alone."""
        with torch.no_grad():
            self._written.copy_(row)
            for drifted, values in self._elsewhere:
                drifted.copy_(values)
        # Autocast keeps casted copies of parameters, and would go on with the old ones.
        torch.clear_autocast_cache()

    def stacked(self, rows: Tensor) -> dict[str, Tensor]:
        """Return rows of drifted weights by name, each of shape `(draws, *the parameter's)`."""
        return {
            name: part.reshape(len(rows), *clean.shape).to(clean.dtype)
            for name, part, clean in zip(
                self.names, rows.split(self._sizes, dim=1), self._clean, strict=True
            )
        }

    def __enter__(self) -> "DriftingWeights":
        # A parameter cannot look at a tensor that was made for inference alone.
        with torch.inference_mode(False), torch.no_grad():
            self._written = self._row.clone()
            parts = self._written.split(self._sizes)
            lent, self._elsewhere = [], []
            for clean, part in zip(self._clean, parts, strict=True):
                values = part.view(clean.shape)
                if values.dtype == clean.dtype and values.stride() == clean.stride():
                    lent.append(values)
                    continue
                # Another type, or another memory format, which decides how a
                # convolution is computed.
                own = torch.clone(clean)
                lent.append(own)
                self._elsewhere.append((own, values))
        self._look_at(lent)
        return self

    def __exit__(self, *error: object) -> None:
        self._look_at(self._clean)
        del self._written, self._elsewhere

    def _look_at(self, tensors: list[Tensor]) -> None:
        for parameter, tensor in zip(self._parameters, tensors, strict=True):
            parameter.data = tensor
        torch.clear_autocast_cache()

    def _one(self, normals: Tensor, sigma: float) -> Tensor:
        parts = [
            self.drift(clean, part.view(clean.shape), sigma).reshape(-1)
            for clean, part in zip(self._clean, normals.split(self._sizes), strict=True)
        ]
        return torch.cat(parts)


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
    weights = DriftingWeights(model, drift)
    normals = standard_normals(chip.seed, [chip.index], weights.count)
    [row] = weights.rows(normals.to(weights.device), strength)
    with weights:
        weights.write(row)
        yield model
