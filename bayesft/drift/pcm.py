"""Phase-change memory, as measured: errors of programming, drift over time, noise of reading."""

import math
import numbers

import torch
from torch import Tensor

from bayesft.drift.base import Drift, check_sigma
from bayesft.drift.several import several
from bayesft.errors import SettingError

# The first reading after programming, and how long one takes, in seconds.
FIRST_READ = 20.0
READ = 250e-9
# The largest conductance, in microsiemens; the source's errors of programming are in these.
LARGEST = 25.0
# Weights that are computed at once.
_BLOCK = 1 << 18

_TIMES_MEASURED = (
    "It is how many times the noise of the measured cells there is; try 1, or a list such as "
    "evaluation.sigmas=[1,2,4]."
)


class PCMDrift(Drift):
    r"""The weights as phase-change cells hold them some time after they were programmed.

    A weight is held by two cells, one for each sign, of which the other one is programmed to
    no conductance, and has little, by its errors. With g the conductance that is wanted, as a
    part of the largest (which stands for :math:`\max |W|` of a parameter W), and standard
    normals :math:`z_1, z_2, z_3` of the cell's own,

    .. math::
        g_p &= \max(g + \sigma s_p(g) z_1, 0), &
        25 s_p(g) &= -1.1731 g^2 + 1.9650 g + 0.2635 \\
        g_t &= g_p (t / t_c)^{-\sigma \nu}, &
        \nu &= |\mu(g) + s_\nu(g) z_2| \\
        g' &= \max(g_t (1 + \sigma s_r(g) z_3), 0), &
        s_r(g) &= \min(0.0088 / g^{0.65}, 0.2) \sqrt{\ln((t + t_r) / 2 t_r)}

    with :math:`\mu(g) = -0.0155 \ln g + 0.0244` within .049 and .1,
    :math:`s_\nu(g) = -0.0125 \ln g - 0.0059` within .008 and .045, :math:`t_c = 20` s when the
    cells are first read, and :math:`t_r = 250` ns for a reading. At sigma 1 that is the cells
    as they were measured, at 2 the errors of programming and reading and the exponents
    of the drift are twice as large, at 0 weights are exact.

    Conductances fall with time, and a chip takes the average fall back by one factor
    for each layer, of what its currents summed up to when they were first read, and do now
    (`compensated`). Gradients take this factor and the sizes of the errors as given.

    Source: Nandakumar et al., "Phase-change memory models for deep learning training and
    inference", ICECS 2019, from a million cells; Joshi et al., "Accurate deep neural network
    inference using computational phase-change memory", Nature Communications 2020.
    Deviations: an exponent is not below 0, since no conductance grows (as in the IBM Analog
    Hardware Acceleration Kit, which takes its size, too); one noise of reading holds for a
    whole evaluation, where a chip has another in each product of a matrix; the compensation
    sums all cells of a layer, as programmed and as they are now.

    Example:
        >>> weight, normal = torch.tensor([1.0, -0.5]), torch.tensor([0.0, 0.0])
        >>> PCMDrift(time=3600)(weight, normal, 0.0)
        tensor([ 1.0000, -0.5000])

    Args:
        time: t, seconds since the cells were programmed; at least 20.
        compensated: whether the average fall of each layer is taken back.
        target: see `Drift`.

    Raises:
        SettingError: a setting cannot be.
    """

    vectorised = True

    def __init__(
        self, *, time: float = 86_400.0, compensated: bool = True, target: str = "all"
    ) -> None:
        super().__init__(target=target)
        number = isinstance(time, numbers.Real) and not isinstance(time, bool)
        if not number or not FIRST_READ <= time < math.inf:
            raise SettingError(
                f"Expected `time` to be at least {FIRST_READ:g}, but got {time!r}. It is how many "
                "seconds ago the cells were programmed; try drift.time=86400, a day."
            )
        if not isinstance(compensated, bool):
            raise SettingError(
                f"Expected `compensated` to be true or false, but got {compensated!r}. It is "
                "whether each layer's average fall is taken back."
            )
        self.time = float(time)
        self.compensated = compensated

    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        if sigma == 0 or not weight.numel():
            return weight.clone()
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        largest = wide.detach().abs().amax()
        # So exact that of float32 weights it is the same in whatever order; Apple's GPUs know
        # no float64.
        exact = torch.float32 if wide.is_mps else torch.float64
        drifted, written, left = [], 0.0, 0.0
        # A layer takes many times its own memory at once.
        for part, z in zip(
            wide.flatten().split(_BLOCK), normal.flatten().split(_BLOCK), strict=True
        ):
            sign = torch.copysign(torch.ones_like(part), part.detach())
            own, other = several(z, 6).split(3)
            held, before = self._cell(part * sign, largest, own, sigma)
            against, beside = self._cell(torch.zeros_like(largest), largest, other, sigma)
            drifted.append(sign * (held - against))
            if self.compensated:
                written = written + (before + beside).detach().sum(dtype=exact)
                left = left + (held + against).detach().sum(dtype=exact)
        result = torch.cat(drifted).view(weight.shape)
        if self.compensated:
            result = result * torch.where(left > 0, written / left, 1.0).to(result.dtype)
        return result.to(weight.dtype)

    def _cell(
        self, wanted: Tensor, largest: Tensor, normals: Tensor, sigma: float
    ) -> tuple[Tensor, Tensor]:
        """Return what cells hold now, and when they were programmed, in units of weights.

        Args:
            wanted: what is programmed, at least 0; one number if it is the same for all.
            largest: what the largest conductance stands for.
            normals: three for each cell, of programming, drift and reading.
            sigma: see the class.
        """
        part = wanted.detach() / largest.clamp(min=torch.finfo(largest.dtype).tiny)
        program, age, read = normals
        written = _cut(wanted + sigma * largest * programming_error(part) * program)
        mean, spread = exponents(part)
        fallen = sigma * math.log(self.time / FIRST_READ)
        held = written * torch.exp(-fallen * (mean + spread * age).abs())
        return _cut(held + held * (sigma * reading_noise(part, self.time) * read)), written

    def check(self, sigma: float) -> float:
        return check_sigma(sigma, _TIMES_MEASURED)

    def gain(self, sigma: float) -> float:
        """Return the mean of a drifted weight over a large weight: a fifth of the largest or more.

        Compensated it is taken for 1, and is within a tenth of it up to sigma 4 after a day.
        """
        fallen = math.log(self.time / FIRST_READ) * sigma
        # exp(-fallen * nu) for a normal nu.
        mean, spread = (each.item() for each in exponents(torch.ones(())))
        return 1.0 if self.compensated else math.exp(-mean * fallen + (spread * fallen) ** 2 / 2)


def _cut(conductance: Tensor) -> Tensor:
    """Return nothing for what would be negative."""
    # A little less than 0, so that gradients pass at 0, where a bias may begin.
    return conductance.clamp(min=-1e-30)


def programming_error(part: Tensor) -> Tensor:
    """Return the standard deviation of a programmed conductance; both as parts of the largest."""
    return ((-1.1731 * part + 1.9650) * part + 0.2635).clamp(min=0) / LARGEST


def exponents(part: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the exponents by which conductances fall.

    Args:
        part: the conductances, as parts of the largest.
    """
    # Below, neither changes any more, and a logarithm of 0 takes a CPU ten times as long.
    logarithm = part.clamp(min=1e-6).log()
    mean = (-0.0155 * logarithm + 0.0244).clamp(0.049, 0.1)
    return mean, (-0.0125 * logarithm - 0.0059).clamp(0.008, 0.045)


def reading_noise(part: Tensor, time: float) -> Tensor:
    """Return the standard deviation of a reading, `time` seconds after programming, over its mean.

    It grows with the time because a 1/f noise has more of its power at lower frequencies.
    """
    power = math.log((time + READ) / (2 * READ))
    return (0.0088 / part**0.65).clamp(max=0.2) * math.sqrt(power)
