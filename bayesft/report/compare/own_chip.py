"""What a contender that is made for one chip has there."""

from collections.abc import Mapping, Sequence

from bayesft.report.compare.runs import Run
from bayesft.report.estimate import Estimate


def own_chip(runs: Sequence[Run]) -> Estimate | None:
    """Return the mean score of a contender's runs on their own chip, its error over seeds.

    None for a contender that is made for no chip, and for runs that did not write it down.
    """
    values = [run.own_chip for run in runs if run.own_chip is not None]
    return Estimate.of(values) if values else None


def own_chip_sigma(runs: Sequence[Run]) -> float | None:
    """Return the strength of the drift on that chip, None where a method does not say."""
    if own_chip(runs) is None:
        return None
    sigma = runs[0].config["method"].get("sigma")
    return float(sigma) if isinstance(sigma, (int, float)) else None


def has_own_chips(runs: Mapping[str, Sequence[Run]]) -> bool:
    """Whether any of the contenders has a chip of its own."""
    return any(own_chip(of_name) is not None for of_name in runs.values())


def own_chip_note(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return what the numbers on own chips are, and are not; nothing if there are none."""
    if not has_own_chips(runs):
        return ""
    parts = []
    for name, of_name in runs.items():
        estimate, sigma = own_chip(of_name), own_chip_sigma(of_name)
        if estimate is None:
            continue
        at = "" if sigma is None else f" at σ = {sigma:g}"
        few = "" if estimate.seeds == len(of_name) else f", {estimate.seeds} of {len(of_name)} runs"
        parts.append(f"{name}{at}{few}")
    return (
        f"Own chip: the score on the one chip that a contender was made for "
        f"({'; '.join(parts)}), ± one standard error over seeds. It is of one chip and one σ, and "
        "cannot be compared with the other numbers, which are means over chips that no training "
        "has seen."
    )
