"""What the axes of several figures share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_scores(axes: Axes) -> None:
    """Have the vertical axis go from 0 to 1 where all lines do, as fractions; else as far as they.

    Errors may reach a little beyond.
    """
    heights = [float(each) for line in axes.get_lines() for each in line.get_ydata()]
    if all(0 <= height <= 1 for height in heights if math.isfinite(height)):
        axes.set_ylim(0, 1.02)
