"""Tables and figures of curves."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bayesft.report import curve_table, difference_line, draw_curves
from bayesft.report.tables import add_mean_row
from bayesft.robustness import Curve, CurvePoint, Difference


def curve(*rows: list[float]) -> Curve:
    points = tuple(CurvePoint.from_scores(0.3 * i, row, images=100) for i, row in enumerate(rows))
    return Curve(points, tuple(tuple(row) for row in rows), seed=0)


GOOD, BAD = curve([0.9, 1.0], [0.7, 0.8]), curve([0.9, 0.9], [0.2, 0.4])


def text(table) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


def test_a_row_per_sigma_and_a_column_per_curve():
    table = curve_table({"BayesFT": GOOD, "ERM": BAD})
    add_mean_row(table, {"BayesFT": GOOD, "ERM": BAD})
    lines = [line for line in text(table).splitlines() if "±" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["0", "0.3", "mean 0 … 0.3"]
    assert "0.950 ± 0.050" in lines[0]
    assert "0.300 ± 0.100" in lines[1]
    assert "0.850 ± 0.050" in lines[2]
    assert "0.600 ± 0.050" in lines[2]


def test_curves_of_other_sigmas_are_not_put_side_by_side():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        curve_table({"a": GOOD, "b": GOOD.at([0.0])})


@pytest.mark.parametrize(
    ("difference", "line"),
    [
        (Difference(0.15, 0.01), "A − B = +0.1500 ± 0.0100 on the same chips and images: +15.0"),
        (Difference(-0.02, 0.01), "A − B = -0.0200 ± 0.0100 on the same chips and images: -2.0"),
        (Difference(0.0, 0.0), "A − B = +0.0000"),
    ],
)
def test_a_difference_in_one_sentence(difference, line):
    assert difference_line(difference, "A", "B").startswith(line)


def test_a_figure_holds_every_curve(tmp_path):
    draw_curves({"BayesFT": GOOD, "ERM": BAD}, tmp_path / "curves.png", title="both")
    draw_curves({"BayesFT": GOOD}, tmp_path / "one.png", title="both")
    vermillion = [0xD5, 0x5E, 0x00]
    for name, least in (("curves.png", 100), ("one.png", 0)):
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB"), dtype=int)
        alike = (abs(pixels - vermillion).sum(axis=2) < 10).sum()
        assert alike > least if least else alike == 0


def test_a_single_draw_has_no_band_and_still_a_figure(tmp_path):
    draw_curves({"one draw": curve([0.9], [0.5])}, tmp_path / "c.svg")
    assert "one draw" in (tmp_path / "c.svg").read_text()
