"""What a person reads of a search while it runs: a line per trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from bayesft.bo import Constraint, Trial, is_feasible
from bayesft.report.tables import short_number, short_vector
from hydra_plugins.bayesft_sweeper._vectors import Layout


def trial_line(
    trial: Trial,
    best: Trial | None,
    layout: Layout,
    seconds_left: float | None,
    constraints: Sequence[Constraint] = (),
) -> str:
    """Return one line on a trial that has ended."""
    parts = [f"trial {trial.number:>3}", short_point(trial.params, layout)]
    if trial.state == "failed":
        parts.append(f"failed: {_shortened(trial.reason or '')}")
    else:
        parts.append(_value(trial))
        parts += [violation_of(trial, constraint) for constraint in constraints]
    if best is not None:
        infeasible = "" if is_feasible(best, constraints) else ", infeasible"
        parts.append(f"best {short_number(best.value)} (trial {best.number}{infeasible})")
    if seconds_left:
        parts.append(f"{_duration(seconds_left)} left")
    return "  ".join(part for part in parts if part)


def luckier_line(
    best: Trial, trials: Sequence[Trial], constraints: Sequence[Constraint], *, minimize: bool
) -> str | None:
    """Return why a trial that gave a better value than the best is not it; None if none did."""
    sign = -1 if minimize else 1
    finished = [t for t in trials if t.state == "finished" and is_feasible(t, constraints)]
    top = max(finished, key=lambda trial: sign * trial.value, default=best)
    if sign * top.value <= sign * best.value:
        return None
    return (
        f"Trial {top.number} gave {short_number(top.value)}, but by the Gaussian process of all "
        "trials it is not the better one"
    )


def violation_of(trial: Trial, constraint: Constraint) -> str:
    """Return what a finished trial measured where it misses a constraint, else nothing."""
    if is_feasible(trial, [constraint]):
        return ""
    mean, _ = constraint.measured(trial.extra)
    slack = constraint.slack(trial.extra)
    shown = "not finite" if slack is None else f"{mean:.4g}"
    if slack is not None and (constraint.slack({constraint.name: float(shown)}) or 0) >= 0:
        shown = repr(mean)  # Four digits would say that it keeps to the limit.
    _, limit = str(constraint).split(" ", 1)
    return f"{constraint.name} {shown}, not {limit}"


def short_point(params: Mapping[str, Any], layout: Layout) -> str:
    """Return a point in few characters: vectors as bare lists, scalars by their last word."""
    parts = [short_vector(params[name] for name in vector.elements) for vector in layout.vectors]
    for key in layout.scalars:
        value = params[key]
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{key.lstrip('+').rsplit('.', 1)[-1]}={shown}")
    return " ".join(parts)


def warm_start_line(trials: Sequence[Trial]) -> str | None:
    """Say what starting from other trials' weights has saved, or None if none did."""
    times = {True: [], False: []}
    for trial in trials:
        if trial.state == "finished" and trial.seconds is not None:
            times[trial.source is not None].append(trial.seconds)
    warm, cold = times[True], times[False]
    if not warm or not cold:
        return None
    each = sum(cold) / len(cold)
    line = (
        f"Warm starts: {len(warm)} of {len(trials)} trials started from another's weights and took "
        f"{_duration(sum(warm) / len(warm))} each, the others {_duration(each)}"
    )
    saved = each * len(warm) - sum(warm)
    return line + (f": {_duration(saved)} saved" if saved > 0 else ": nothing saved")


def best_params(params: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return a point by config key, each vector as one list."""
    point = {v.key: [params[name] for name in v.elements] for v in layout.vectors}
    return point | {key: params[key] for key in layout.scalars}


def _value(trial: Trial) -> str:
    error = "" if trial.stderr is None else f" ± {short_number(trial.stderr)}"
    return f"{short_number(trial.value)}{error}"


def _shortened(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
