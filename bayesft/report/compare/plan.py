"""Which contenders and seeds a comparison is to have, and what makes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from bayesft.folders import at_once
from bayesft.report.runs import read_mapping

PLAN = "comparison.yaml"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Plan:
    """What was asked for, in that order.

    Attributes:
        contenders: by name.
        seeds: of each.
        asked: the overrides that each contender was last asked for with, but not the seeds, nor
            `contender` where it is the contender's name.
    """

    contenders: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    asked: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False)

    def joined(self, other: "Plan") -> "Plan":
        """Return both plans as one: a folder can be asked for more later."""
        return Plan(
            _once([*self.contenders, *other.contenders]),
            _once([*self.seeds, *other.seeds]),
            {**self.asked, **other.asked},
        )

    def commands(self, runs: Iterable[tuple[str, int]]) -> list[list[str]]:
        """Return the overrides of multiruns that make runs, contender and seed of each.

        Contenders that were asked for with the same overrides are of one multirun, which may
        name more runs than these: what is finished is not made again.
        """
        groups: dict[tuple[str, ...], list[tuple[str, int]]] = {}
        for name, seed in runs:
            # Plans of earlier versions do not say.
            asked = tuple(self.asked.get(name, ("experiment=compare",)))
            groups.setdefault(asked, []).append((name, seed))
        commands = []
        for asked, made in groups.items():
            names = ",".join(_once(name for name, _ in made))
            seeds = ",".join(map(str, _once(seed for _, seed in made)))
            chosen = [] if is_renamed(asked) else [f"contender={names}"]
            commands.append([*asked, *chosen, f"seed={seeds}"])
        return commands

    def write(self, folder: Path) -> None:
        """Leave it in the folder of the comparison."""
        content = {
            "contenders": list(self.contenders),
            "seeds": list(self.seeds),
            "asked": {name: list(overrides) for name, overrides in self.asked.items()},
        }
        with at_once(folder / PLAN) as temporary:
            temporary.write_text(
                yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
            )

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return the plan in `folder`, an empty one if there is none.

        Raises:
            SettingError: it cannot be read.
        """
        path = folder / PLAN
        content = read_mapping(path) if path.exists() else {}
        return cls(
            tuple(content.get("contenders", ())),
            tuple(content.get("seeds", ())),
            content.get("asked", {}),
        )


def is_renamed(overrides: Iterable[str]) -> bool:
    """Whether overrides give a contender another name, to stand beside one of other settings."""
    return any(key_of(each) == "comparison.contender" for each in overrides)


def key_of(override: str) -> str:
    """Return what an override sets."""
    return override.lstrip("+~").split("=")[0]


def _once(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(items))
