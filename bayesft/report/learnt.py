"""What a search has learnt, told at its end: in the results file, the log and a figure."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesft.bo import Insight
from bayesft.errors import BayesFTError, reason_of
from bayesft.report.insights import draw_insight, insight_lines

if TYPE_CHECKING:
    from bayesft.bo.optimizer import Optimizer

FIGURE = "insight.png"

log = logging.getLogger("bayesft.search")


def look(optimizer: Optimizer) -> tuple[Insight | None, dict[str, Any]]:
    """Return what was learnt, and the same as plain data for the results file."""
    try:
        insight = optimizer.insight()
    except BayesFTError as error:
        return None, {"verdict": f"none: {error}", "readable": False}
    except Exception as error:
        # The results are not written yet, and are worth more than what they teach.
        log.warning("What the search has learnt could not be told: %s", reason_of(error))
        return None, {"verdict": f"none: {reason_of(error)}", "readable": False}
    fit = insight.calibration
    return insight, {
        "verdict": insight.verdict,
        "readable": insight.doubt is None,
        "left_out": {
            "trials": len(insight.trials),
            "rank_correlation": fit.rank_correlation,
            "rank_correlation_by_chance": insight.chance,
            "r2": fit.r2,
            "mean_square_residual": fit.mean_square,
            "within_95_percent": fit.within,
        },
        **({"from_scratch": insight.step} if insight.step else {}),
        "dimensions": {
            influence.name: {
                "importance": influence.importance,
                "interval": influence.interval and list(influence.interval),
                "effect": influence.effect,
                "effect_sd": influence.effect_sd,
            }
            for influence in insight.influences
        },
    }


def tell(insight: Insight, folder: Path) -> None:
    """Log the table and draw the figure in `folder`."""
    for line in insight_lines(insight):
        log.info("%s", line)
    try:
        draw_insight(insight, folder / FIGURE)
    except Exception as error:
        # The search is done and written down; a picture is not worth its exit status.
        log.warning("%s could not be drawn: %s", FIGURE, reason_of(error))
    else:
        log.info("Insight: %s", folder / FIGURE)
