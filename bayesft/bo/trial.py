"""One evaluation of one point of the search space."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from bayesft.bo.errors import TrialError

State = Literal["running", "finished", "failed"]


@dataclass(frozen=True)
class Trial:
    """What was tried, and what came of it.

    Args:
        number: Place in the study, from 0.
        params: The point: one value for each name of the space.
        state: `running` until its result is known, then `finished` or `failed`.
        value: What was measured; finite if finished, None otherwise.
        stderr: Standard error of `value`, in its units; None if it is not known.
        reason: Why it failed; None otherwise.
        repairable: Whether that can be put right, as a damaged file or a wrong setting, so that
            the same point may yet give a value.
        started: When it was last started, in seconds since 1970.
        seconds: How long it took.
        job: Number of the job that ran it.
        folder: Where that job wrote.
        extra: Anything else worth keeping, as plain data.
        worker: Name of the process that had it run.
        source: Number of the trial that it took up, such as by starting from its weights.
        progress: How far the training that the trials share has come when this one is
            measured, from 0 to 1; None if each trial has a training of its own.

    Raises:
        TrialError: The fields contradict each other.
    """

    number: int
    params: dict[str, Any]
    state: State = "running"
    value: float | None = None
    stderr: float | None = None
    reason: str | None = None
    started: float | None = None
    seconds: float | None = None
    job: int | None = None
    folder: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    worker: str | None = None
    source: int | None = None
    progress: float | None = None
    repairable: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or isinstance(self.number, bool) or self.number < 0:
            raise TrialError(
                f"Expected `number` to be an integer from 0 on, but got {self.number!r}."
            )
        object.__setattr__(self, "params", dict(self.params))
        object.__setattr__(self, "extra", dict(self.extra))
        if self.state not in ("running", "finished", "failed"):
            self._refuse("`state` to be running, finished or failed", self.state)
        for name in ("value", "stderr", "started", "seconds", "progress"):
            self._check_number(name)
        if self.progress is not None and not 0 <= self.progress <= 1:
            self._refuse("`progress` to be from 0 to 1", self.progress)
        if self.stderr is not None and self.stderr < 0:
            self._refuse("`stderr` to be at least 0", self.stderr)
        if self.state == "finished" and self.value is None:
            self._refuse("a finished trial to have a `value`", None)
        if self.state != "finished" and (self.value is not None or self.stderr is not None):
            self._refuse(f"a {self.state} trial to have no `value` and no `stderr`", self.value)
        if (self.state == "failed") != bool(self.reason):
            self._refuse("a `reason` of a failed trial, and of no other", self.reason)
        if self.repairable and self.state != "failed":
            self._refuse("a failed trial alone to be `repairable`", self.state)

    @property
    def is_from_scratch(self) -> bool:
        """Whether it took up no other trial."""
        return self.source is None

    def _check_number(self, name: str) -> None:
        number = getattr(self, name)
        if number is None:
            return
        try:
            # NumPy's and torch's scalars too; a string of digits is a mistake.
            as_float = math.nan if isinstance(number, (str, bytes, bool)) else float(number)
        except (TypeError, ValueError, OverflowError):
            as_float = math.nan
        if not math.isfinite(as_float):
            self._refuse(f"`{name}` to be a finite number", number)
        object.__setattr__(self, name, as_float)

    def _refuse(self, expected: str, got: Any) -> None:
        raise TrialError(f"Trial {self.number}: expected {expected}, but got {got!r}.")
