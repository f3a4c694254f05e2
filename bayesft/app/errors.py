"""Errors on their way to a terminal."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from hydra.errors import CompactHydraException, InstantiationException

from bayesft.errors import BayesFTError

Function = TypeVar("Function", bound=Callable[..., Any])


class CommandError(CompactHydraException):
    """What Hydra prints as one message, without a traceback."""


def told_plainly(function: Function) -> Function:
    """Turn a `BayesFTError` that leaves `function` into a `CommandError`.

    Hydra wraps what a constructor raises in a message about the constructor: the
    user's mistake is what it was caused by.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BayesFTError as error:
            raise CommandError(str(error)) from error
        except InstantiationException as error:
            if isinstance(error.__cause__, BayesFTError):
                raise CommandError(str(error.__cause__)) from error
            raise

    return wrapper
