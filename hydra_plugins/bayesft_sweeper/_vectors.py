"""Config keys that hold a vector, such as one dropout rate per site.

Hydra cannot override one element of a list, so a vector is swept element by
element and written as a whole. Its length and its elements' names come from the
composed config.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from bayesft.bo import SpaceError
from bayesft.bo.space import Dimension, Real
from bayesft.errors import reason_of
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._grammar import Request, as_override, as_text, bare
from hydra_plugins.bayesft_sweeper._limits import Limits


@dataclass(frozen=True)
class Vector:
    """One vector of the config.

    Attributes:
        key: of the config.
        elements: a dimension for each element, by the name it has in the space.
        names: a function of the composed config, which gives the elements' names.
        start: constants to try first.
    """

    key: str
    elements: Mapping[str, Real]
    names: Callable[[DictConfig], Sequence[str]]
    start: tuple[float, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How points of the space and overrides of the config belong together."""

    vectors: tuple[Vector, ...]
    scalars: Mapping[str, Dimension] = field(default_factory=dict)

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Everything swept: the vectors' elements first."""
        elements = {name: real for v in self.vectors for name, real in v.elements.items()}
        return elements | dict(self.scalars)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides that set the config to the point `params`."""
        vectors = [
            f"{vector.key}=[{','.join(repr(params[name]) for name in vector.elements)}]"
            for vector in self.vectors
        ]
        return vectors + self.scalar_overrides(params)

    def scalar_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return those of `overrides` that set no vector."""
        return [as_override(key, each, params[key]) for key, each in self.scalars.items()]

    def check_names(self, cfg: DictConfig, choice: str) -> None:
        """Raise unless the vectors' elements have the names in `cfg` that they are swept by.

        Raises:
            SweepError: they do not.
        """
        for vector in self.vectors:
            ours, theirs = list(vector.elements), element_names(vector.key, vector.names(cfg))
            if ours != theirs:
                raise SweepError(
                    f"{vector.key} has other elements with {choice} than without it, and one "
                    f"search cannot have both: {', '.join(theirs)} for {', '.join(ours)}. Search "
                    f"with each alone, or with the same value for all elements: {vector.key}=0.1, "
                    f"or '{vector.key}=choice(0,0.1,0.3)'."
                )

    def start(self, cfg: DictConfig) -> list[dict[str, Any]]:
        """Return the first points: the vectors' constants, all else as the config has it."""
        rest = {key: _default(key, dimension, cfg) for key, dimension in self.scalars.items()}
        if any(value is None for value in rest.values()):
            return []
        constants = list(dict.fromkeys(c for v in self.vectors for c in v.start))
        points = []
        for constant in constants or ([] if self.vectors else [0.0]):
            elements = {
                name: min(max(constant, real.low), real.high)
                for vector in self.vectors
                for name, real in vector.elements.items()
            }
            if (point := elements | rest) not in points:
                points.append(point)
        return points

    def samples(
        self, first: Mapping[str, Any], keys: Collection[str]
    ) -> Iterator[Mapping[str, Any]]:
        """Return `first`, and points that differ from it in one of `keys`: all its choices."""
        yield first
        for key in keys:
            for value in self.scalars[key].choices:
                if value != first[key]:
                    yield {**first, key: value}


def lay_out(request: Request, vectors: Mapping[str, Any], cfg: DictConfig) -> Layout:
    """Decide what is swept as a vector and what as a scalar.

    A vector that the user fixed is not swept; one that the user swept over an
    interval is swept element by element within it; one swept over choices is a
    scalar like any other.

    Raises:
        SweepError: a vector's settings are incomplete, or it is swept beyond its limits.
    """
    if not isinstance(vectors, Mapping):
        raise SweepError(f"Expected hydra.sweeper.vectors to be a mapping, but got {vectors}.")
    found, scalars = [], dict(request.swept)
    # `++model.dropout` is the same key.
    typed_keys = {bare(typed): typed for typed in scalars}
    for key, settings in vectors.items():
        if key in request.fixed_keys:
            continue
        limits = _limits(key, settings)
        bounds = None
        if key in typed_keys:
            typed = typed_keys[key]
            bounds = scalars[typed]
            if outside := limits.outside(bounds):
                low, high = settings["low"], settings["high"]
                raise SweepError(
                    f"{request.lines[typed]}: expected {key} to be {limits}, but got "
                    f"{outside[0]:g}. Try '{typed}=interval({low},{high})'."
                )
            if not isinstance(bounds, Real):
                continue
            del scalars[typed]
        found.append(_vector(key, settings, bounds, cfg))
    return Layout(tuple(vector for vector in found if vector.elements), scalars)


def _limits(key: str, settings: Any) -> Limits:
    """Return what a vector's numbers can be; raise unless its settings are those of a vector."""
    if not isinstance(settings, Mapping):
        raise _wrong(key, "a mapping with names, low and high", settings)
    for needed in ("names", "low", "high"):
        if needed not in settings:
            raise SweepError(
                f"hydra.sweeper.vectors: {key} needs names, low and high, but has no {needed!r}."
            )
    if unknown := sorted(set(settings) - {"names", "low", "high", "start", "least", "below"}):
        raise _wrong(key, "names, low, high, start, least and below", ", ".join(unknown))
    try:
        return Limits.from_settings(settings)
    except (TypeError, ValueError) as error:
        raise _wrong(key, "numbers least and below", reason_of(error)) from error


def _vector(key: str, settings: Mapping[str, Any], bounds: Real | None, cfg: DictConfig) -> Vector:
    try:
        names = get_method(settings["names"])
    except Exception as error:  # Whatever importing it raises.
        raise _wrong(key, "names to be the path of a function", reason_of(error)) from error
    try:
        real = bounds or Real(float(settings["low"]), float(settings["high"]))
        start = tuple(map(float, settings.get("start") or ()))
    except (TypeError, ValueError, SpaceError) as error:
        raise _wrong(key, "numbers low < high and a list start", reason_of(error)) from error
    elements = list(names(cfg))
    if len(set(elements)) < len(elements):
        raise _wrong(key, "names that differ", ", ".join(map(str, elements)))
    return Vector(key, dict.fromkeys(element_names(key, elements), real), names, start)


def element_names(key: str, names: Sequence[str]) -> list[str]:
    """Return what the elements of a vector are called in the space."""
    return [f"{key}[{name}]" for name in names]


def _wrong(key: str, expected: str, got: Any) -> SweepError:
    return SweepError(f"hydra.sweeper.vectors: {key}: expected {expected}, but got {got}.")


def _default(key: str, dimension: Dimension, cfg: DictConfig) -> Any:
    """Return the config's own value if the dimension can take it, else its middle.

    Of a config group that is the choice that the defaults make.
    """
    key = bare(key)
    groups = OmegaConf.select(cfg, "hydra.runtime.choices") or {}
    value = groups[key] if key in groups else OmegaConf.select(cfg, key)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    for candidate in (value, as_text(value)):
        if dimension.contains(candidate):
            return candidate
    return dimension.decode([0.5] * dimension.width)
