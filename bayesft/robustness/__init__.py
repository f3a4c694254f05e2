"""How a network's score responds to drift. Knows no Lightning and no Hydra."""

from bayesft.robustness.curve import Curve, CurvePoint, Difference, paired_difference
from bayesft.robustness.montecarlo import evaluate
from bayesft.robustness.score import Score, accuracy

__all__ = [
    "Curve",
    "CurvePoint",
    "Difference",
    "Score",
    "accuracy",
    "evaluate",
    "paired_difference",
]
