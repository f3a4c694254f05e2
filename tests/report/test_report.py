"""Tables and figures of curves."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from bayesft.bo import Calibration, Influence, Insight, Slice, Trial
from bayesft.report import (
    curve_table,
    difference_line,
    draw_curves,
    draw_insight,
    insight_lines,
)
from bayesft.report.axes import show_scores
from bayesft.report.insights import short_name
from bayesft.report.tables import add_mean_row, short_number
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
        (Difference(0.15, 0.01), "A − B = +0.1500 ± 0.0100 on the same chips and images: of these"),
        (Difference(-0.02, 0.01), "A − B = -0.0200 ± 0.0100 on the same"),
        (Difference(0.0, 0.0), "A − B = +0.0000 ± 0.0000"),
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


def test_the_band_is_the_interval_of_each_point(tmp_path, monkeypatch):
    """Of two draws it is 12.7 standard errors to each side, and not 1.96."""
    drawn = []
    monkeypatch.setattr(Axes, "fill_between", lambda self, *args, **_: drawn.append(args))
    draw_curves({"BayesFT": GOOD}, tmp_path / "c.png")
    [(sigmas, lower, upper)] = drawn
    assert sigmas == GOOD.sigmas
    assert list(zip(lower, upper, strict=True)) == [point.interval() for point in GOOD.points]


def test_a_single_draw_has_no_band_and_still_a_figure(tmp_path):
    draw_curves({"one draw": curve([0.9], [0.5])}, tmp_path / "c.svg")
    assert "one draw" in (tmp_path / "c.svg").read_text()


def insight(sites: int, *, trials: int = 30) -> Insight:
    """Return an insight of `sites` rates, a learning rate and a choice."""
    line = Slice((0.0, 0.4, 0.8), (0.5, 0.7, 0.6), (0.1, 0.05, 0.1))
    rate = Influence("", 0.6, (0.408, 0.78), effect=0.2, effect_sd=0.07, slice=line)
    lr = Slice((1e-4, 1e-2, 1.0), (0.5, 0.7, 0.6), (0.1, 0.05, 0.1), "log")
    act = Slice((True, 1), (0.5, 0.7), (0.1, 0.05), "choices")
    influences = [replace(rate, name=f"model.dropout[layer{i}.conv1]") for i in range(sites)]
    influences += [replace(rate, name="optimizer.lr", slice=lr), replace(rate, name="a", slice=act)]
    done = tuple(
        Trial(
            number,
            {i.name: i.slice.values[number % len(i.slice.values)] for i in influences},
            state="finished",
            value=0.5 + 0.01 * number,
        )
        for number in range(trials)
    )
    values = tuple(trial.value for trial in done)
    predicted = tuple(value + 0.01 for value in values)
    calibration = Calibration(values, predicted, (0.01,) * trials, (-1.0,) * trials)
    return Insight(tuple(influences), calibration, done, done[3], parameters=sites + 4)


def test_the_most_important_dimensions_in_lines():
    first, head, *rows = insight_lines(insight(2))
    assert [line.split()[0] for line in rows] == [
        "model.dropout[layer0.conv1]", "model.dropout[layer1.conv1]", "optimizer.lr", "a",
    ]  # fmt: skip
    assert "60 % (41 to 78 %)" in rows[0]
    assert "0.2000 ± 0.0700" in rows[0]
    assert {line.index("0.2000") for line in rows} == {head.index("effect")}
    assert {line.index("60 %") for line in rows} == {head.index("importance")}
    assert first.startswith("The fit: can be read. Left-out trials: rank correlation 1.00, R² 0.9")
    assert first.endswith("100 % within 95 %")


def test_the_rest_of_many_dimensions_is_counted():
    lines = insight_lines(insight(20), most=5)
    assert len(lines) == 8
    assert lines[-1] == "and 17 that matter less"


def test_what_starts_from_scratch_are_worth_more_is_said():
    assert "from scratch" not in " ".join(insight_lines(insight(2)))
    for step, said in ((0.04, "0.0400 more"), (-0.04, "0.0400 less")):
        last = insight_lines(replace(insight(2), step=step))[-1]
        assert last == f"Trials from scratch give {said} than those from another's weights"


@pytest.mark.parametrize("sites", [0, 2, 20])
def test_a_figure_has_a_panel_for_each_dimension_and_one_for_the_fit(tmp_path, sites):
    draw_insight(insight(sites), tmp_path / "i.svg", value="accuracy")
    text = (tmp_path / "i.svg").read_text()
    shown = [line for line in text.splitlines() if line.strip().startswith("<!--")]
    assert sum("60 % (41 to 78 %)" in line for line in text.splitlines()) == sites + 2
    assert any("Importance, and slices through trial 3" in line for line in shown)
    assert all(f"layer{i}.conv1" in text for i in range(sites))
    for word in ("lr", "True", "accuracy", "rank correlation 1.00", "observed"):
        assert word in text
    assert ("too few trials" if sites == 20 else "can be read") in text


@pytest.mark.parametrize(
    ("name", "short"),
    [("model.dropout[layer1.0]", "layer1.0"), ("+optimizer.lr", "lr"), ("x", "x")],
)
def test_a_short_name(name, short):
    assert short_name(name) == short


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.0, "0.0000"), (0.67951, "0.6795"), (-12.5, "-12.5000"), (1.2345e-5, "1.23e-05"),
     (-1e300, "-1e+300")],
)  # fmt: skip
def test_a_number_keeps_digits_whatever_its_size(number, shown):
    assert short_number(number) == shown


def test_scores_beyond_fractions_are_in_the_picture():
    for heights, limits in (([0.2, 0.9], (0.0, 1.02)), ([-5.0, -1.0], None), ([0.5, 40.0], None)):
        axes = Figure().subplots()
        axes.plot([0.0, 0.3], heights)
        axes.plot([], [])
        show_scores(axes)
        low, high = axes.get_ylim()
        assert limits in (None, (low, high))
        assert low <= min(heights) < max(heights) <= high
