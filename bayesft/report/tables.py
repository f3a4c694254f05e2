"""Tables for a terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console, RenderableType
from rich.table import Table

from bayesft.robustness import Curve, Difference


def curve_table(curves: Mapping[str, Curve], *, title: str = "Accuracy under drift") -> Table:
    """Return a table with a row per sigma and a column per curve, `mean ± standard error`.

    Args:
        curves: by name; they share their sigmas.
        title: of the table.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("sigma", justify="right")
    for name in curves:
        table.add_column(name, justify="right")
    first = next(iter(curves.values()))
    for sigma, *points in zip(first.sigmas, *(c.points for c in curves.values()), strict=True):
        table.add_row(f"{sigma:g}", *(f"{p.mean:.3f} ± {p.stderr:.3f}" for p in points))
    return table


def add_mean_row(table: Table, curves: Mapping[str, Curve]) -> None:
    """Add the mean over the curves' sigmas as a last row of `table`."""
    table.add_section()
    first = next(iter(curves.values()))
    span = f"mean {first.sigmas[0]:g} … {first.sigmas[-1]:g}"
    table.add_row(span, *(f"{c.mean:.3f} ± {c.stderr:.3f}" for c in curves.values()))


def difference_line(difference: Difference, name: str, baseline: str) -> str:
    """Return how far apart two networks are, and what that is sure of.

    Two trainings that differ in their seed alone can be several of these errors apart.
    """
    return (
        f"{name} − {baseline} = {difference.value:+.4f} ± {difference.stderr:.4f} on the same "
        "chips and images: of these two networks. Other trainings differ by more: python -m "
        "bayesft.contender and experiment=compare tell by how much"
    )


def short_number(number: float) -> str:
    """Return a number with four decimals, or three digits if it is far from 1."""
    plain = number == 0 or 1e-3 <= abs(number) < 1e5
    return f"{number:.4f}" if plain else f"{number:.3g}"


def short_vector(rates: Iterable[float]) -> str:
    """Return rates in few characters: `[0.20 0.45]`."""
    return "[" + " ".join(f"{rate:.2f}" for rate in rates) + "]"


def show(*what: RenderableType) -> None:
    """Print tables and texts to the terminal."""
    console = Console(soft_wrap=True)
    for each in what:
        console.print(each, highlight=False, markup=False)
