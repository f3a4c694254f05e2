"""What a training took."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bayesft.folders import at_once

COST = "cost.json"


@dataclass(frozen=True)
class Cost:
    """What the training of one run took, its cuts and resumes left out.

    Attributes:
        epochs: of the training.
        passes: forward passes through the network in one training step, of which each has
            its backward pass.
        seconds: wall-clock time of the training, with its validations and the search in it;
            the test is not in it.
        device: what it ran on.
        threads: of the CPU that PyTorch used for one operation.
    """

    epochs: int
    passes: int
    seconds: float
    device: str
    threads: int

    def write(self, folder: Path) -> None:
        """Leave it in the folder of the run."""
        with at_once(folder / COST) as temporary:
            temporary.write_text(
                json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def read(cls, folder: Path) -> "Cost | None":
        """Return what `write` left, or None: a run is worth its curve without it."""
        try:
            return cls(**json.loads((folder / COST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
