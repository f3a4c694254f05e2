"""Cells as they were measured: what was written to them, and what was read."""

import os
from collections.abc import MutableMapping, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bayesft.drift.base import Drift, check_sigma
from bayesft.drift.cells import FARTHEST, ROWS, STEPS, cells_in, errors_of, path_of, sha256_of
from bayesft.drift.several import several
from bayesft.errors import SettingError

# Weights that are computed at once: a layer takes many times its own memory.
_BLOCK = 1 << 18

# A drift's quantiles on each device: a copy to a GPU waits for it. Beside the drift, whose
# attributes say which one it is.
_COPIES: MutableMapping[Drift, dict[torch.device, Tensor]] = WeakKeyDictionary()

_TIMES_MEASURED = (
    "It is how many times the measured errors there are; try 1, or a list such as "
    "evaluation.sigmas=[0.5,1,2]."
)


class MeasuredDrift(Drift):
    r"""Every weight has an error that a measured cell of its size had.

    .. math::
        w' = w + \operatorname{sign}(w) \, \sigma \max |W| \,
             \bigl( Q(\Phi(z), |w| / \max |W|) - Q(\Phi(z_2), 0) \bigr)

    Q(p, g) is the quantile p of the errors of cells that were written to the part g of the
    largest conductance, :math:`(r - s) / \max s` for a cell that was written to s and read as
    r; sign(0) is 1. So at sigma 1 weights are as the cells were measured, however their errors
    are distributed; at 2 errors are twice as large, at 0 there are none. The last term is of
    `pairs` alone: a weight is the difference of two cells then, one of which was written to 0,
    and errs by the errors of both; :math:`z_2` is a second normal, see `several`. How cells of
    about the same conductance are taken together is in `cells.errors_of`. The largest
    conductance that was written stands for :math:`\max |W|` of each parameter W. Gradients take
    the errors as given.

    Example:
        >>> drift = MeasuredDrift([0.0] * 20 + [4.0] * 20, [0.0] * 20 + [3.0] * 20)
        >>> drift(torch.tensor([8.0, -8.0, 0.0, 4.0]), torch.zeros(4), 1.0)
        tensor([ 6., -6.,  0.,  3.])

    Args:
        written: what was written to n cells, at least 20, in any unit; negative values are
            the weights of pairs of cells.
        read: what was read from the same cells, in that unit.
        pairs: whether a weight is held by two cells of these, one for either sign. If not, it errs
            as one of them: also where these are differences already.
        target: see `Drift`.

    Raises:
        SettingError: these are no such numbers, or no cells of pairs.
    """

    vectorised = True

    def __init__(
        self,
        written: Sequence[float] | Tensor,
        read: Sequence[float] | Tensor,
        *,
        pairs: bool = False,
        target: str = "all",
    ) -> None:
        super().__init__(target=target)
        errors = errors_of(written, read)
        if pairs and any(float(each) < 0 for each in written):
            raise SettingError(
                "`drift.pairs=true` makes pairs of cells, but some of what was written is "
                "negative, as the differences of pairs are. Set drift.pairs=false."
            )
        self.cells = len(written)
        self.pairs = pairs
        self.quantiles = errors.quantiles
        self.slope = errors.slope_in_pairs if pairs else errors.slope

    @classmethod
    def from_csv(
        cls,
        file: str | os.PathLike[str] | None,
        *,
        pairs: bool | None = None,
        target: str = "all",
        sha256: str | None = None,
    ) -> "MeasuredDrift":
        """Return the drift of the cells in a file: a row each, with columns `written` and `read`.

        Args:
            file: its path.
            pairs: see `MeasuredDrift`; to be said unless something negative was written.
            target: see `Drift`.
            sha256: of the file, if it is to be what it was.

        Raises:
            SettingError: there is no such file, it holds no such cells, or it was changed; or
                `pairs` is to be said.
        """
        if file is None:
            raise SettingError(
                "`drift.file` is not set. Say which file holds the cells: drift.file=cells.csv. "
                "Expected a CSV file with a row for each cell, and columns `written` and `read`."
            )
        path = path_of(file)
        written, read = cells_in(path)
        if sha256 is not None and sha256_of(path) != sha256:
            raise SettingError(
                f"{path} was changed: it is not the file whose sha256 is `drift.sha256={sha256}`. "
                "Give other cells another file, or leave drift.sha256 to be found."
            )
        try:
            drift = cls(written, read, pairs=bool(pairs), target=target)
            if pairs is None and not any(float(each) < 0 for each in written):
                raise SettingError(
                    "how do these cells hold a weight? Expected drift.pairs=true, if it is the "
                    "difference of two of them, one for either sign, or drift.pairs=false, if it "
                    "is one. Of pairs a weight has the errors of both cells."
                )
            return drift
        except SettingError as error:
            raise SettingError(f"{path}: {error}") from error

    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        if sigma == 0 or not weight.numel():
            return weight.clone()
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        still = wide.detach()
        largest = still.abs().amax()
        scale = largest.clamp(min=torch.finfo(largest.dtype).tiny)
        blocks = zip(still.flatten().split(_BLOCK), normal.flatten().split(_BLOCK), strict=True)
        errors = [
            torch.where(part < 0, -1.0, 1.0) * self._errors(part.abs() / scale, z)
            for part, z in blocks
        ]
        return (wide + sigma * largest * torch.cat(errors).view(wide.shape)).to(weight.dtype)

    def _errors(self, part: Tensor, normal: Tensor) -> Tensor:
        quantiles = self._quantiles_on(part.device)
        if not self.pairs:
            return _error(part, normal, quantiles)
        own, other = several(normal, 2)
        return _error(part, own, quantiles) - _error(torch.zeros_like(part), other, quantiles)

    def _quantiles_on(self, device: torch.device) -> Tensor:
        copies = _COPIES.setdefault(self, {})
        if device not in copies:
            copies[device] = self.quantiles.to(device)
        return copies[device]

    def check(self, sigma: float) -> float:
        return check_sigma(sigma, _TIMES_MEASURED)

    def gain(self, sigma: float) -> float:
        """Return the mean of a drifted weight over the weight, where large ones count most."""
        return 1 + sigma * self.slope


def _error(part: Tensor, normal: Tensor, quantiles: Tensor) -> Tensor:
    """Return the errors of n cells.

    Args:
        part: their conductances, shape `(n,)`.
        normal: a standard normal for each.
        quantiles: see `cells.Errors`.
    """
    along = (normal.clamp(-FARTHEST, FARTHEST) + FARTHEST) * (STEPS / (2 * FARTHEST))
    column = along.long().clamp(max=STEPS - 1)
    # A weight that is no number has no place.
    place = (part.nan_to_num(0.0) * ROWS).round().long() * (STEPS + 1) + column
    table = quantiles.flatten()
    return torch.lerp(table[place], table[place + 1], along - column)
