"""What happens to a weight on analog memory."""

from bayesft.drift.additive import AdditiveDrift
from bayesft.drift.apply import DriftingWeights, drifted
from bayesft.drift.base import TARGETS, Drift, check_drift, check_network, check_sigma
from bayesft.drift.chip import Chip
from bayesft.drift.lognormal import LogNormalDrift
from bayesft.drift.measured import MeasuredDrift
from bayesft.drift.noise import seeded_generator, standard_normals
from bayesft.drift.pcm import PCMDrift
from bayesft.drift.stuck_at import StuckAtDrift

__all__ = [
    "TARGETS",
    "AdditiveDrift",
    "Chip",
    "Drift",
    "DriftingWeights",
    "LogNormalDrift",
    "MeasuredDrift",
    "PCMDrift",
    "StuckAtDrift",
    "check_drift",
    "check_network",
    "check_sigma",
    "drifted",
    "seeded_generator",
    "standard_normals",
]
