"""What is worth a warning in an evaluation."""


class PrecisionWarning(UserWarning):
    """An evaluation ended with a larger standard error than was asked for."""


class ScoreWarning(UserWarning):
    """Scores that are not finite did not count as what was said."""
