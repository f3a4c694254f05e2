"""What is worth a warning in an evaluation."""


class PrecisionWarning(UserWarning):
    """The limits ended an evaluation before its standard error was what was asked for."""
