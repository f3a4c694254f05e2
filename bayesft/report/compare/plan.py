"""Which contenders and seeds a comparison is to have."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from bayesft.report.runs import read_mapping

PLAN = "comparison.yaml"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Plan:
    """What was asked for, in that order."""

    contenders: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def joined(self, other: "Plan") -> "Plan":
        """Return both plans as one: a folder can be asked for more later."""
        return Plan(
            _once([*self.contenders, *other.contenders]), _once([*self.seeds, *other.seeds])
        )

    def write(self, folder: Path) -> None:
        """Leave it in the folder of the comparison."""
        content = {"contenders": list(self.contenders), "seeds": list(self.seeds)}
        (folder / PLAN).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return the plan in `folder`, an empty one if there is none.

        Raises:
            SettingError: it cannot be read.
        """
        path = folder / PLAN
        content = read_mapping(path) if path.exists() else {}
        return cls(tuple(content.get("contenders", ())), tuple(content.get("seeds", ())))


def _once(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(items))
