"""What happens to a weight on analog memory."""

from bayesft.drift.apply import drifted, preserved, write_drifted
from bayesft.drift.base import TARGETS, Drift, check_sigma
from bayesft.drift.chip import Chip, seeded_generator
from bayesft.drift.lognormal import LogNormalDrift

__all__ = [
    "TARGETS",
    "Chip",
    "Drift",
    "LogNormalDrift",
    "check_sigma",
    "drifted",
    "preserved",
    "seeded_generator",
    "write_drifted",
]
