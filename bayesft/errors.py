"""The errors that a user can cause.

Everything raised on purpose by BayesFT derives from `BayesFTError`, so that a
command can show its message without a traceback. This module imports nothing.
"""

INTERRUPTED = 130
"""The status that a shell expects of a program that Ctrl-C ended."""


class BayesFTError(Exception):
    """Something the user typed, or a file of theirs, cannot be used as it is.

    The message names the setting as it was typed, what was expected, what came,
    and the next step.
    """


class SettingError(BayesFTError, ValueError):
    """A setting has a value that it cannot have."""


class DataError(BayesFTError):
    """A data set is missing, damaged, or not what the settings say it is."""


class CheckpointError(BayesFTError):
    """A checkpoint cannot be read, or belongs to another network."""


def reason_of(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
