"""What a person reads of the trials that failed, and what to do about them."""

from collections.abc import Sequence
from pathlib import Path

from bayesft.bo import Trial
from bayesft.folders import typed
from hydra_plugins.bayesft_sweeper._told import short_point
from hydra_plugins.bayesft_sweeper._vectors import Layout


def too_many_failures(
    trials: Sequence[Trial], n_trials: int, max_failure_rate: float, layout: Layout, folder: Path
) -> str | None:
    """Return what to tell if more trials failed than may, else None.

    Args:
        trials: all of the study.
        n_trials: how many it is to have.
        max_failure_rate: the part of them that may fail.
        layout: by which points are shown.
        folder: of the sweep.
    """
    failed = [trial for trial in trials if trial.state == "failed"]
    allowed = max_failure_rate * n_trials
    if len(failed) <= allowed:
        return None
    repairable = [trial for trial in failed if trial.repairable]
    if len(failed) - len(repairable) > allowed:
        last = failed[-1]
        advice = (
            "Go on with a larger hydra.sweeper.max_failure_rate, or begin anew in another "
            "hydra.sweep.dir."
        )
    else:
        # That more may fail would put nothing right.
        last = repairable[-1]
        advice = _how_to_repair(repairable, folder)
        if not any(trial.state == "finished" for trial in trials):
            advice += (
                " No trial has finished: to begin anew in another hydra.sweep.dir, as with other "
                "settings, loses nothing."
            )
    return (
        f"{len(failed)} of {n_trials} trials failed, more than "
        f"hydra.sweeper.max_failure_rate={max_failure_rate:g} allows. The last one, "
        f"{short_point(last.params, layout)}, failed with {_reason(last)}. Its log is in "
        f"{folder / (last.folder or '')}. {advice}"
    )


def repairable_line(trials: Sequence[Trial], folder: Path) -> str | None:
    """Return what to tell at the end of a search of failures that can be put right, or None."""
    failed = [trial for trial in trials if trial.repairable]
    if not failed:
        return None
    number, reason = failed[-1].number, _reason(failed[-1])
    what = "1 trial" if len(failed) == 1 else f"{len(failed)} trials"
    return f"{what} failed, trial {number} with {reason}. {_how_to_repair(failed, folder)}"


def _how_to_repair(trials: Sequence[Trial], folder: Path) -> str:
    what = "that trial runs" if len(trials) == 1 else f"{len(trials)} of them run"
    return (
        "Once that is put right, go on with the same command and "
        f"{typed('hydra.sweep.dir', folder)}: {what} again at the same "
        f"{'point' if len(trials) == 1 else 'points'}."
    )


def _reason(trial: Trial) -> str:
    return (trial.reason or "").rstrip(".")
