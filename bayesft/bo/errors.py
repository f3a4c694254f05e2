"""What can go wrong in a search, and what is worth a warning."""

from bayesft.errors import BayesFTError


class SpaceError(BayesFTError, ValueError):
    """A search space, or a point of it, is not what it has to be."""


class TrialError(BayesFTError, ValueError):
    """A trial contradicts itself, such as a finished one without a value."""


class JournalError(BayesFTError):
    """The journal cannot be read, written, or used for this study."""


class OptimizerError(BayesFTError, ValueError):
    """The optimiser was given something that it cannot work with."""


class SurrogateError(OptimizerError):
    """The Gaussian process could not be fitted to the trials."""


class InsightError(OptimizerError):
    """The trials do not suffice to say anything about the dimensions."""


class JournalWarning(UserWarning):
    """The journal ends in half a line, which was left out."""


class OptimizerWarning(UserWarning):
    """The search goes on, but not as it was meant to."""
