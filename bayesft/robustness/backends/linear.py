"""What `auto` takes on a CPU for a small network of linear layers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.errors import BayesFTError
from bayesft.robustness.backends.base import Backend, Reduce
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped
from bayesft.robustness.batches import tensors_of
from bayesft.robustness.score import Score, accuracy

# Of larger ones, or with more images in a draw, the products take the time, which is no
# less for many draws at once.
_WEIGHTS = 1 << 21
_IMAGES = 256


class ManyLinear:
    """Scores many draws at once, whose layers are then one batch of matrix products each.

    With many images in a draw, and from where the network turns out not to serve many at
    once, one draw after the other.

    Args: see `InPlace`.
    """

    def __init__(self, model: nn.Module, weights: DriftingWeights, score: Score) -> None:
        self.many: Vmapped | None = Vmapped(model, weights, score)
        self.one_by_one = InPlace(model, weights, score)

    @staticmethod
    def serves(model: nn.Module, weights: DriftingWeights, score: Score) -> bool:
        """Tell whether a network is one of these, on a CPU, and scored by accuracy.

        A score of a user's may remember what it was called with.
        """
        if score is not accuracy or weights.device.type != "cpu" or weights.count > _WEIGHTS:
            return False
        owners = [each for each in model.modules() if [*each.parameters(recurse=False)]]
        return all(isinstance(owner, nn.Linear) for owner in owners)

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[float], reduce: Reduce
    ) -> Tensor:
        if self._serving(batches[0]) is self.many:
            try:
                return self.many(chips, batches, sigmas, reduce)
            except BayesFTError:
                raise
            except Exception:
                # One by one it comes again if it is not for their being many.
                self.many = None
        return self.one_by_one(chips, batches, sigmas, reduce)

    def chunk(self, batch: Any) -> int:
        return self._serving(batch).chunk(batch)

    def _serving(self, batch: Any) -> Backend:
        tensor = next(tensors_of(batch), None)
        few = tensor is not None and tensor.ndim > 0 and len(tensor) <= _IMAGES
        return self.many if few and self.many is not None else self.one_by_one
