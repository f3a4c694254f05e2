"""What a factor study says of curves whose truth is known."""

import csv
import io
import math

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import stats

from bayesft.errors import SettingError
from bayesft.report.estimate import Estimate
from bayesft.report.factors import Study
from bayesft.report.factors.figure import draw_factors
from bayesft.report.factors.text import (
    factor_sentence,
    factor_table,
    leader_sentence,
    settings_sheet,
)
from bayesft.robustness import Curve, CurvePoint

SIGMAS = (0.3, 0.6)
BASE = {"dropout": "none", "norm": "none", "depth": 3, "activation": "relu"}
LUCK = (0.00, 0.08, -0.06, 0.03, -0.05)
NOISE = (0.004, -0.006, 0.002, -0.003, 0.003)


def curve(score: float) -> Curve:
    """0.98 without drift, and `score` on the average of the other two."""
    rows = [[0.98, 0.98], [score + 0.1, score + 0.1], [score - 0.1, score - 0.1]]
    points = tuple(
        CurvePoint.from_scores(sigma, row, images=100)
        for sigma, row in zip((0.0, *SIGMAS), rows, strict=True)
    )
    return Curve(points, tuple(map(tuple, rows)), seed=3)


def study(seeds: int = 5, /, **gains: float) -> Study:
    """Gains by `factor_level`: truth plus noise, on top of a seed's luck that all share."""
    curves = {(): {seed: curve(0.5 + LUCK[seed]) for seed in range(seeds)}}
    for number, (name, gain) in enumerate(gains.items()):
        factor, level = name.split("_", 1)
        noise = np.roll(NOISE, number)
        curves[((factor, int(level) if level.isdigit() else level),)] = {
            seed: curve(0.5 + LUCK[seed] + gain + noise[seed]) for seed in range(seeds)
        }
    return Study(BASE, curves, SIGMAS)


def test_a_mean_over_seeds_and_its_interval():
    values = [0.1, 0.2, 0.4]
    estimate = Estimate.of(values)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.stderr == pytest.approx(stats.sem(values))
    alone = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert estimate.interval() == pytest.approx(alone)
    together = stats.t.interval(1 - 0.05 / 4, 2, np.mean(values), stats.sem(values))
    assert estimate.interval(4) == pytest.approx(together)


def test_an_error_is_no_smaller_than_that_of_what_it_is_the_mean_of():
    """Three values that lie together by luck are not known better than each of them."""
    values, errors = [0.800, 0.800, 0.801], [0.004, math.nan, 0.003]
    found = Estimate.of(values, errors)
    assert found.stderr == pytest.approx(math.sqrt((0.004**2 + 0.003**2) / 3 / 3))
    assert found.value == pytest.approx(np.mean(values))
    # Their spread holds it already where it is larger.
    apart = [0.7, 0.8, 0.9]
    assert Estimate.of(apart, errors).stderr == pytest.approx(stats.sem(apart))


def test_one_seed_has_no_error():
    assert math.isnan(Estimate.of([0.1]).stderr)
    assert all(math.isnan(end) for end in Estimate.of([0.1]).interval())
    with pytest.raises(SettingError, match="needs a seed"):
        Estimate.of([])


def test_pairs_take_out_what_a_seed_does_to_both():
    """The luck of a seed is ten times the effect's noise, and in no difference."""
    gain = study(dropout_alpha=0.02).difference((("dropout", "alpha"),))
    assert gain.value == pytest.approx(0.02)
    assert gain.stderr == pytest.approx(stats.sem(NOISE))
    assert study(dropout_alpha=0.02).mean(()).stderr == pytest.approx(stats.sem(LUCK))


def test_a_difference_is_over_the_seeds_of_both():
    both = study(norm_batch=0.1)
    del both.curves[(("norm", "batch"),)][0]
    gain = both.difference((("norm", "batch"),))
    assert gain.seeds == 4
    assert gain.value == pytest.approx(0.1 + np.mean(NOISE[1:]))
    for seed in range(1, 5):
        del both.curves[()][seed]
    assert both.difference((("norm", "batch"),)) is None


def test_a_sentence_says_what_raises_what_lowers_and_what_is_open():
    sentence = factor_sentence(
        study(norm_batch=-0.2, norm_layer=0.1, norm_group=0.001, norm_instance=-0.3), "norm"
    )
    assert sentence.startswith("norm, against none: layer by 0.100 (0.0")
    assert ") raises the score; batch by 0.200 (" in sentence
    assert " and instance by 0.300 (" in sentence
    assert ") lower it; for group (" in sentence
    assert sentence.endswith("the data does not show a difference.")


def test_levels_share_the_doubt():
    """A gain that would do alone does not among four: 2.78 standard errors against 4.6."""
    gain = 3.5 * stats.sem(NOISE)
    assert "raises the score" in factor_sentence(study(norm_batch=gain), "norm")
    several = study(norm_batch=gain, norm_layer=0, norm_group=0, norm_instance=0)
    assert "raise" not in factor_sentence(several, "norm")


@pytest.mark.parametrize("gain", [0.2, 0.0])
def test_one_seed_shows_nothing(gain):
    one = study(1, norm_batch=gain, dropout_alpha=gain)
    sentence = factor_sentence(one, "norm")
    assert sentence == (
        "norm, against none: for batch one seed shows nothing: it takes two or more."
    )
    assert "one seed does not show" in leader_sentence(one)
    assert not any("±" in line for line in rows(factor_table(one)))


def test_a_leader_beyond_doubt():
    sentence = leader_sentence(study(norm_batch=-0.2, dropout_alpha=0.2, depth_6=0.05))
    assert sentence.startswith("dropout=alpha gains most, 0.200 (+0.1")
    assert "beyond doubt more than any other factor, 0.150 ahead of depth=6" in sentence


def test_a_leader_that_another_factor_may_equal():
    sentence = leader_sentence(study(dropout_alpha=0.2, dropout_dropout=0.19, depth_6=0.199))
    assert "whether more than depth=6 is not settled" in sentence
    # A level of the same factor is no rival: the question is which factor.
    assert "dropout=dropout" not in sentence


@pytest.mark.parametrize(
    ("gain", "said"),
    [(0.0005, "not shown to be more than chance"), (-0.1, "No level of any factor scores above")],
)
def test_no_leader(gain, said):
    assert said in leader_sentence(study(norm_batch=gain, depth_6=gain - 0.01))


def test_levels_come_in_the_order_that_people_expect():
    settings = study(
        activation_tanh=0, activation_mine=0, activation_elu=0, depth_9=0, depth_15=0, depth_6=0
    )
    assert [level for [(_, level)] in settings.single] == [6, 9, 15, "elu", "tanh", "mine"]
    assert settings.factors == ["depth", "activation"]


def rows(table) -> list[str]:
    """Return the rows as they stand in a terminal of the usual width."""
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return [line for line in console.file.getvalue().splitlines() if line.startswith("│")]


def test_the_table_has_every_level():
    combined = (("norm", "batch"), ("depth", 6))
    three = study(norm_batch=-0.2, depth_6=0.05)
    three.curves[combined] = {0: curve(0.4), 1: curve(0.4)}
    lines = rows(factor_table(three))
    assert [line.split("│")[1].strip() for line in lines] == [
        "baseline", "norm=batch", "depth=6", "norm=batch, depth=6",
    ]  # fmt: skip
    assert "0.500 ± " in lines[0]
    assert "-0.200 ± 0.002" in lines[1]
    assert "0.980 ± 0.000" in lines[1]
    assert three.factors == ["norm", "depth"]


def test_the_file_has_the_numbers_of_the_table(tmp_path):
    settings_sheet(study(norm_batch=-0.2)).write(tmp_path / "f.csv")
    with open(tmp_path / "f.csv", newline="") as file:
        first, batch = csv.DictReader(file)
    assert (first["setting"], first["difference"], batch["level"]) == ("baseline", "", "batch")
    assert float(batch["difference"]) == pytest.approx(-0.2)
    assert float(batch["difference_stderr"]) == pytest.approx(stats.sem(NOISE))
    assert float(batch["low"]) < -0.2 < float(batch["high"]) < 0
    assert float(first["accuracy_0.3"]) == pytest.approx(0.6)
    assert float(first["accuracy_0"]) == pytest.approx(0.98)
    assert first["seeds"] == "0 1 2 3 4"


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize(
    "gains",
    [
        {"norm_batch": -0.2},
        {"norm_batch": -0.2, "depth_6": 0.1, "activation_elu": 0.0},
        {"norm_batch": -0.2, "depth_6": 0.1, "activation_elu": 0.0, "dropout_alpha": 0.2},
    ],
)
def test_a_figure_has_a_panel_per_factor(tmp_path, seeds, gains):
    draw_factors(study(seeds, **gains), tmp_path / "f.svg", title="all")
    drawn = (tmp_path / "f.svg").read_text()
    assert drawn.count("level: mean") == len(gains)
    for name in gains:
        factor, level = name.split("_")
        assert f"<!-- {factor} -->" in drawn
        assert f"<!-- {level}: " in drawn


def test_the_band_is_drawn(tmp_path):
    areas = []
    for seeds in (1, 5):
        draw_factors(study(seeds, norm_batch=-0.2), tmp_path / "f.png")
        pixels = np.asarray(Image.open(tmp_path / "f.png").convert("RGB"), dtype=int)
        pale = [0xFF - (0xFF - each) // 5 for each in (0x00, 0x72, 0xB2)]
        areas.append((abs(pixels - pale).sum(axis=2) < 12).sum())
    assert areas[0] < 100 < areas[1]


def test_a_study_needs_its_baseline():
    with pytest.raises(SettingError, match="no finished run"):
        Study(BASE, {(("norm", "batch"),): {0: curve(0.5)}}, SIGMAS)
    with pytest.raises(SettingError, match="has a level of width"):
        Study(BASE, {(): {0: curve(0.5)}, (("width", 3),): {}}, SIGMAS)
