"""How a network's score responds to drift. Knows no Lightning and no Hydra.

`evaluate` gives a `Curve`. Beneath it: `images` says which images a draw is scored
on, `sampler` scores draws with one of the `backends`, `pilot` and `sequential` say
how many it takes, `statistics` what the scores tell.
"""

from bayesft.robustness.clean import clean_score, clean_visit
from bayesft.robustness.curve import Curve
from bayesft.robustness.errors import PrecisionWarning, ScoreWarning
from bayesft.robustness.montecarlo import evaluate
from bayesft.robustness.paired import Difference, DifferencePoint, paired_difference
from bayesft.robustness.point import CurvePoint
from bayesft.robustness.score import Score, accuracy

__all__ = [
    "Curve",
    "CurvePoint",
    "Difference",
    "DifferencePoint",
    "PrecisionWarning",
    "Score",
    "ScoreWarning",
    "accuracy",
    "clean_score",
    "clean_visit",
    "evaluate",
    "paired_difference",
]
