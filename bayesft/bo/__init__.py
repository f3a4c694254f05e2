"""Bayesian optimisation as ask and tell over a named space.

`space` says what can be chosen, `trial` what came of it, `journal` keeps the
trials in a file, `optimizer` says what to try next, with `surrogate` (the
Gaussian process) and `acquisition` (where it hopes to improve) beneath it, and
`explain` what has been learnt, as an `insight`. The package knows nothing of
networks.

`Optimizer` is imported when it is first used, because torch, GPyTorch and
BoTorch come with it; everything else here is light.
"""

from typing import TYPE_CHECKING, Any

from bayesft.bo.constraint import Constraint, is_feasible
from bayesft.bo.errors import (
    InsightError,
    JournalError,
    JournalWarning,
    OptimizerError,
    OptimizerWarning,
    SpaceError,
    SurrogateError,
    TrialError,
)
from bayesft.bo.insight import Calibration, Influence, Insight, Slice
from bayesft.bo.journal import JOURNAL, Journal, check_space, write_journal
from bayesft.bo.space import Categorical, Dimension, Integer, Real, Space
from bayesft.bo.trial import Trial

if TYPE_CHECKING:
    from bayesft.bo.optimizer import Optimizer

__all__ = [
    "JOURNAL",
    "Calibration",
    "Categorical",
    "Constraint",
    "Dimension",
    "Influence",
    "Insight",
    "InsightError",
    "Integer",
    "Journal",
    "JournalError",
    "JournalWarning",
    "Optimizer",
    "OptimizerError",
    "OptimizerWarning",
    "Real",
    "Slice",
    "Space",
    "SpaceError",
    "SurrogateError",
    "Trial",
    "TrialError",
    "check_space",
    "is_feasible",
    "write_journal",
]


def __getattr__(name: str) -> Any:
    if name == "Optimizer":
        from bayesft.bo.optimizer import Optimizer

        return Optimizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
