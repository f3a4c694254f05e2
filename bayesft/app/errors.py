"""Errors on their way to a terminal."""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hydra.errors import CompactHydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError

from bayesft.errors import BayesFTError, SettingError, reason_of

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
            if mistake is None and isinstance(error, InterpolationKeyError):
                # Hydra would show the cause as well.
                raise CommandError(_of_interpolation(error)) from None
            if mistake is None:
                raise
            # So it would an error of OmegaConf.
            raise CommandError(_message(mistake)) from mistake

    return wrapper


@contextlib.contextmanager
def targets_named(config: DictConfig) -> Iterator[None]:
    """Tell which `_target_` in `config` can be found but not called, as it was typed.

    Hydra shows what it found, and at times not where.

    Raises:
        SettingError: one that the block asks for.
    """
    try:
        yield
    except InstantiationException as error:
        text = str(error)
        kind = re.search(r"Expected a callable target, got .* of type '(\w+)'", text)
        if kind is None:
            raise
        found = re.search(r"^full_key: (.+)$", text, re.MULTILINE)
        key = _typed_at(config, found[1] if found else "")
        target = OmegaConf.select(config._get_root(), f"{key}._target_".lstrip("."))
        raise SettingError(
            f"Expected `{key + '.' if key else ''}_target_` to be the path of a class or a "
            f"function, such as my_package.MyClass, but got {target!r}, which is of type "
            f"{kind[1]} and cannot be called."
        ) from error


def _typed_at(config: DictConfig, key: str) -> str:
    """Return the key that `key` stands for, if it is there as `${another}` alone."""
    parent, _, name = key.rpartition(".")
    holder = OmegaConf.select(config._get_root(), parent) if parent else config._get_root()
    node = holder._get_node(name) if isinstance(holder, DictConfig) and name else None
    other = re.fullmatch(r"\$\{([\w.]+)\}", str(node._value())) if node is not None else None
    return _typed_at(config, other[1]) if other else key


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


def _of_interpolation(error: InterpolationKeyError) -> str:
    """Return where a value of the config points to nothing, and what there is instead."""
    first = str(error.msg).split("\n")[0]
    found = re.search(r"'(.+)'", first)
    if found is None or error.parent_node is None:
        return f"{error.full_key}: {first}."
    root, names = error.parent_node._get_root(), found[1].split(".")
    # The longest beginning of the path that there is.
    there = len(names) - 1
    while there and OmegaConf.select(root, ".".join(names[:there])) is None:
        there -= 1
    parent = OmegaConf.select(root, ".".join(names[:there])) if there else None
    known = ", ".join(map(str, parent)) if isinstance(parent, DictConfig) else ""
    advice = f" Expected one of {known}." if known else ""
    missing = ".".join(names[: there + 1])
    return f"`{error.full_key}` is {error.child_node}, but there is no `{missing}`.{advice}"


def _message(error: BayesFTError) -> str:
    """Return the error's own words.

    What a loader's worker process raises arrives with the worker's traceback before it.
    """
    name = f"{type(error).__module__}.{type(error).__qualname__}: "
    return str(error).rpartition(name)[2]
