"""Errors on their way to a terminal."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from hydra.errors import CompactHydraException, InstantiationException
from omegaconf.errors import InterpolationResolutionError

from bayesft.errors import BayesFTError, reason_of

Function = TypeVar("Function", bound=Callable[..., Any])


class CommandError(CompactHydraException):
    """What Hydra prints as one message, without a traceback."""


def told_plainly(function: Function) -> Function:
    """Turn a `BayesFTError` that leaves `function` into a `CommandError`.

    Hydra wraps what a constructor raises in a message about the constructor, and
    OmegaConf what a resolver raises: the user's mistake is what it was caused by.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (BayesFTError, InstantiationException, InterpolationResolutionError) as error:
            mistake = _mistake(error)
            if mistake is None and isinstance(error, InstantiationException):
                raise CommandError(_of_constructor(error)) from error
            if mistake is None:
                raise
            # Hydra would show an error of OmegaConf as well, if that were the cause.
            raise CommandError(_message(mistake)) from mistake

    return wrapper


def _mistake(error: BaseException | None) -> BayesFTError | None:
    """Return the `BayesFTError` that `error` is, or comes from."""
    while error is not None and not isinstance(error, BayesFTError):
        error = error.__cause__ or error.__context__
    return error


def _of_constructor(error: InstantiationException) -> str:
    """Return what a class that is not ours said, or why it could not be found.

    Hydra leaves the cause to a traceback, or writes it without the name of a file.
    """
    first = str(error).split("\n")[0].split(", set env var")[0].rstrip(":")
    cause = error.__cause__
    if cause is None:
        return str(error)
    advice = ""
    if "Error locating" in first:
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, ModuleNotFoundError) and "." not in (cause.name or ""):
            advice = " Is its folder in PYTHONPATH, or is it installed?"
    return f"{first}: {reason_of(cause).rstrip('.')}.{advice}"


def _message(error: BayesFTError) -> str:
    """Return the error's own words.

    What a loader's worker process raises arrives with the worker's traceback before it.
    """
    name = f"{type(error).__module__}.{type(error).__qualname__}: "
    return str(error).rpartition(name)[2]
