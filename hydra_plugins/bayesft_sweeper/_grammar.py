"""From Hydra's sweep grammar to a search space, and from a point back to overrides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException

from bayesft.bo import SpaceError
from bayesft.bo.space import Categorical, Dimension, Integer, Real
from hydra_plugins.bayesft_sweeper._errors import SweepError

# Text that needs no quotes in an override, but for the words that mean something else.
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_NOT_TEXT = {"null", "true", "false", "nan", "inf"}


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        swept: dimensions by config key as typed, in the order that they were typed.
        fixed: overrides that every trial gets, as they were typed.
        fixed_keys: their keys.
        lines: what was typed for each key of `swept`.
    """

    swept: Mapping[str, Dimension]
    fixed: tuple[str, ...]
    fixed_keys: frozenset[str]
    lines: Mapping[str, str]


def parse_request(
    arguments: Sequence[str], params: Mapping[str, Any], parser: OverridesParser
) -> Request:
    """Read the command line and `hydra.sweeper.params`; the command line wins.

    Raises:
        SweepError: an override cannot be read, or a sweep cannot be searched.
    """
    typed = _parse(parser, arguments)
    given = {bare(override.get_key_element()) for override in typed}
    from_file = [
        f"{key}={_typed(value)}" for key, value in params.items() if bare(key) not in given
    ]
    swept: dict[str, Dimension] = {}
    fixed: dict[str, str] = {}
    seen: dict[str, Override] = {}
    for override in [*_parse(parser, from_file), *typed]:
        key = override.get_key_element()
        before = seen.setdefault(bare(key), override)
        if before is not override and (before.is_sweep_override() or override.is_sweep_override()):
            raise SweepError(
                f"{bare(key)} is given twice, {before.input_line} and {override.input_line}, and "
                "swept in one of them. Keep one of the two."
            )
        if override.is_sweep_override():
            swept[key] = _dimension(key, override)
        else:
            fixed[key] = str(override.input_line)
    lines = {key: str(seen[bare(key)].input_line) for key in swept}
    return Request(swept, tuple(fixed.values()), frozenset(map(bare, fixed)), lines)


def as_override(key: str, dimension: Dimension, value: Any) -> str:
    """Return the override that sets `key` to a value of `dimension`."""
    # A choice is kept as Hydra would write it, escaped or quoted.
    return f"{key}={value if isinstance(dimension, Categorical) else repr(value)}"


def bare(key: str) -> str:
    """Return a key without what says to add, to force or to delete it."""
    return key.lstrip("+~")


def _parse(parser: OverridesParser, lines: Sequence[str]) -> list[Override]:
    try:
        return parser.parse_overrides(list(lines))
    except HydraException as error:
        raise SweepError(str(error)) from error


def _typed(value: Any) -> str:
    """Return what one would type for a value of a config file; text is Hydra's grammar already."""
    if isinstance(value, list):
        return f"[{','.join(map(_element, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_element(name)}:{_element(inner)}" for name, inner in value.items())
        return f"{{{','.join(pairs)}}}"
    return value if isinstance(value, str) else as_text(value)


def _element(value: Any) -> str:
    return as_text(value) if isinstance(value, str) else _typed(value)


def _dimension(key: str, override: Override) -> Dimension:
    """Return the dimension of a swept key.

    Raises:
        SweepError: the sweep cannot be searched; the key is said.
    """
    try:
        return _searchable(key, override)
    except SpaceError as error:
        raise SweepError(f"{override.input_line}: {error}") from error


def _searchable(key: str, override: Override) -> Dimension:
    sweep = override.value()
    if isinstance(sweep, (IntervalSweep, RangeSweep)) and (other := sweep.tags - {"log"}):
        raise SweepError(
            f"{override.input_line}: expected the tag log or none, but got {', '.join(other)}."
        )
    if isinstance(sweep, IntervalSweep):
        kind = Integer if isinstance(sweep.start, int) and isinstance(sweep.end, int) else Real
        return kind(sweep.start, sweep.end, log="log" in sweep.tags)
    if isinstance(sweep, RangeSweep) and _is_whole(sweep):
        # Hydra's ranges exclude their stop.
        return Integer(int(sweep.start), int(sweep.stop) - 1, log="log" in sweep.tags)
    if override.is_discrete_sweep():
        if isinstance(sweep, (ChoiceSweep, RangeSweep)):
            # The order means nothing here, and must be the same when a search goes on.
            sweep.shuffle = False
        return Categorical(tuple(override.sweep_iterator(transformer=as_text)))
    raise SweepError(f"{key}: the sweep {override.input_line} cannot be searched.")


def as_text(element: Any) -> str:
    """Return a choice in Hydra's grammar, so that it reads back as what it is.

    Hydra's own form drops quotes: the text 'null' would become null.
    """
    text = element.text if isinstance(element, QuotedString) else element
    if isinstance(text, str) and (not _PLAIN.fullmatch(text) or text.lower() in _NOT_TEXT):
        return QuotedString(text, Quote.single).with_quotes()
    return Transformer.str(text)


def _is_whole(sweep: RangeSweep) -> bool:
    ends = (sweep.start, sweep.stop, sweep.step)
    return all(isinstance(end, int) for end in ends) and sweep.step == 1
