"""What a comparison says of curves whose truth is known."""

import csv
import io
import math

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from bayesft.errors import SettingError
from bayesft.report.compare import Comparison
from bayesft.report.compare.figure import draw_comparison
from bayesft.report.compare.runs import read_comparison
from bayesft.report.compare.sheets import contenders_sheet, runs_sheet
from bayesft.report.compare.text import (
    caption,
    comparison_table,
    duration,
    leader_sentence,
)
from tests.helpers.comparisons import SIGMAS, add, curve

LUCK = (0.00, 0.08, -0.06, 0.03, -0.05)
NOISE = (0.004, -0.006, 0.002, -0.003, 0.003)
CHIPS = (0.05, -0.03, 0.01, -0.02, -0.01)


def comparison(seeds: int = 5, /, **gains: float) -> Comparison:
    """Gains over erm, each with its own noise, on top of a seed's luck that all share."""
    curves = {"erm": {seed: curve(0.5 + LUCK[seed]) for seed in range(seeds)}}
    for number, (name, gain) in enumerate(gains.items()):
        noise = np.roll(NOISE, number)
        curves[name] = {s: curve(0.5 + LUCK[s] + gain + noise[s]) for s in range(seeds)}
    return Comparison(curves, SIGMAS, "erm")


def test_a_mean_has_the_spread_of_its_seeds():
    mean = comparison().mean("erm")
    assert mean.value == pytest.approx(0.5 + np.mean(LUCK))
    assert mean.stderr == pytest.approx(stats.sem(LUCK))
    assert comparison().at("erm", 0.3).value == pytest.approx(0.6 + np.mean(LUCK))


def test_pairs_take_out_what_a_seed_does_to_both():
    """The luck of a seed is ten times the noise, and in no difference."""
    gain = comparison(sam=0.02).difference("sam")
    assert (gain.value, gain.seeds) == (pytest.approx(0.02), 5)
    assert gain.stderr == pytest.approx(stats.sem(NOISE))
    at = comparison(sam=0.02).difference("sam", 0.6)
    assert (at.value, at.stderr) == (pytest.approx(0.02), pytest.approx(stats.sem(NOISE)))


def test_one_seed_has_the_error_over_chips():
    """In a difference the chips are the same: what they do to both is in no error."""
    other = [chip + noise for chip, noise in zip(CHIPS, NOISE, strict=True)]
    one = {"erm": {0: curve(0.5, chips=CHIPS)}, "sam": {0: curve(0.6, chips=other)}}
    found = Comparison(one, SIGMAS, "erm")
    assert found.mean("erm").stderr == pytest.approx(stats.sem(CHIPS))
    assert found.at("erm", 0.3).stderr == pytest.approx(stats.sem(CHIPS))
    assert found.difference("sam").stderr == pytest.approx(stats.sem(NOISE))
    assert found.difference("sam", 0.3).stderr == pytest.approx(stats.sem(NOISE))


def test_seeds_that_agree_by_luck_have_the_error_over_chips():
    other = [chip + noise for chip, noise in zip(CHIPS, NOISE, strict=True)]
    alike = {
        "erm": {seed: curve(0.5, chips=CHIPS) for seed in range(4)},
        "sam": {seed: curve(0.6, chips=other) for seed in range(4)},
    }
    found = Comparison(alike, SIGMAS, "erm")
    assert found.mean("erm").stderr == pytest.approx(stats.sem(CHIPS) / 2)
    assert found.at("erm", 0.3).stderr == pytest.approx(stats.sem(CHIPS) / 2)
    # In a difference the chips are the same, and only what they do to one alone is left.
    assert found.difference("sam").stderr == pytest.approx(stats.sem(NOISE) / 2)


def test_a_quantile_is_over_chips_and_its_mean_over_sigmas():
    one = Comparison({"erm": {0: curve(0.5, chips=CHIPS)}}, SIGMAS, "erm")
    low = np.quantile(CHIPS, 0.05)
    assert one.quantile05("erm").value == pytest.approx(0.5 + low)
    assert one.quantile05("erm", 0.3).value == pytest.approx(0.6 + low)
    assert math.isnan(one.quantile05("erm").stderr)
    assert comparison().quantile05("erm").stderr == pytest.approx(stats.sem(LUCK))


def test_a_difference_is_over_the_seeds_of_both():
    both = comparison(sam=0.1)
    del both.curves["sam"][0]
    gain = both.difference("sam")
    assert (gain.seeds, gain.value) == (4, pytest.approx(0.1 + np.mean(NOISE[1:])))
    both.curves["erm"].clear()
    assert both.difference("sam") is None
    assert both.rivals == []
    assert both.contenders == ["sam"]


def test_the_baseline_differs_from_nothing():
    assert comparison(sam=0.1).difference("erm") is None
    assert comparison(sam=0.1).rivals == ["sam"]


def test_the_sigmas_are_those_of_all():
    both = comparison(sam=0.1)
    both.curves["sam"][0] = both.curves["sam"][0].at(SIGMAS)
    assert both.measured_sigmas == SIGMAS


def test_a_comparison_needs_a_curve():
    with pytest.raises(SettingError, match="needs a finished run"):
        Comparison({"erm": {}}, SIGMAS, "erm")


def test_a_leader_beyond_chance():
    said = leader_sentence(comparison(sam=0.05, bayesft=0.2))
    assert said.startswith("bayesft has the highest mean, 0.700 ± ")
    low, high = stats.t.interval(1 - 0.05 / 2, 4, 0.2, stats.sem(NOISE))
    assert f"(95 % interval {low:+.3f} to {high:+.3f} by 5 seeds, for all 2 diff" in said
    assert said.endswith(" It is ahead of each of the others by more than chance.")


def test_a_leader_is_compared_with_who_is_close_to_it_too():
    said = leader_sentence(comparison(sam=0.05, bayesft=0.2, awp=0.198))
    assert said.endswith(" It is not shown to be ahead of awp.")
    # Beyond three intervals together, of its rivals, but not beyond six, of all pairs.
    said = leader_sentence(comparison(sam=0.05, bayesft=0.2, awp=0.185))
    assert said.endswith(" It is not shown to be ahead of awp.")
    assert leader_sentence(comparison(bayesft=0.2)).endswith("for it alone).")
    alone = comparison(bayesft=0.2, sam=0.1)
    alone.curves["sam"] = {9: curve(0.6)}
    assert "not shown to be ahead of sam" in leader_sentence(alone)


def test_a_lead_is_in_pairs():
    found = comparison(sam=0.05, bayesft=0.2)
    assert found.lead("bayesft", "erm") == found.difference("bayesft")
    lead = found.lead("bayesft", "sam")
    differences = np.roll(NOISE, 1) - np.array(NOISE)
    assert (lead.value, lead.seeds) == (pytest.approx(0.15), 5)
    assert lead.stderr == pytest.approx(stats.sem(differences))


@pytest.mark.parametrize(("seeds", "factor"), [(3, "4.3"), (5, "2.8")])
def test_an_error_of_few_seeds_is_said_to_be_rough(seeds, factor):
    assert f"itself rough: 95 % is ± {factor} of them for n = {seeds}" in caption(comparison(seeds))
    assert "rough" not in caption(comparison(1))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (comparison(sam=0.001), "not shown to be more than chance"),
        (comparison(sam=-0.1), "none of the others is above it"),
        (comparison(1, sam=0.2), "One seed does not show"),
    ],
)
def test_no_leader_without_evidence(found, words):
    assert words in leader_sentence(found)


def test_a_leader_without_a_pair():
    both = comparison(sam=0.2)
    both.curves["erm"].clear()
    assert "shares no seed with erm" in leader_sentence(both)


@pytest.fixture
def found(tmp_path):
    """Two contenders and three seeds, read from a folder."""
    for seed in range(3):
        add(tmp_path, "erm", seed, 0.5 + LUCK[seed], seconds=60.0)
        add(tmp_path, "sam", seed, 0.6 + LUCK[seed] + NOISE[seed], seconds=100.0 + seed)
    return read_comparison(tmp_path)


def test_the_table_fits_a_terminal_and_has_every_contender(found):
    console = Console(file=io.StringIO(), width=80)
    console.print(comparison_table(found.comparison, found.runs))
    text = console.file.getvalue()
    _, erm, sam = (line for line in text.splitlines() if "─" not in line and line.strip())
    mean = found.comparison.mean("erm")
    assert erm.split() == ["erm", "3", "0.900", *mean.text().split(), "0.507", "60", "s"]
    assert sam.split()[:3] == ["sam", "3", "0.900"]
    assert "+0.100 ± 0.003" in sam
    assert sam.rstrip().endswith("1.7 min")


def test_long_names_and_numbers_fit_into_a_terminal_too(tmp_path):
    for seed, luck in enumerate(LUCK):
        add(tmp_path, "erm", seed)
        add(tmp_path, "noise_injection", seed, 0.3 + luck, seconds=600)
    found = read_comparison(tmp_path)
    console = Console(file=io.StringIO(), width=80)
    console.print(comparison_table(found.comparison, found.runs))
    [line] = [line for line in console.file.getvalue().splitlines() if "noise_injection" in line]
    assert found.comparison.difference("noise_injection").text("+") in line
    assert "10.0 min" in line


def test_the_caption_says_what_stands_behind_the_error(found):
    said = caption(found.comparison)
    assert "σ = 0.3, 0.6" in said
    assert "one standard error over seeds, itself rough" in said
    assert "; where n is 1 it is over chips" in said


def test_the_files_have_the_numbers_of_the_table(found, tmp_path):
    contenders_sheet(found.comparison, found.runs).write(tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        erm, sam = csv.DictReader(file)
    assert (erm["contender"], erm["seeds"], erm["difference"]) == ("erm", "0 1 2", "")
    assert float(sam["difference"]) == pytest.approx(0.1 + np.mean(NOISE[:3]))
    assert float(sam["difference_stderr"]) == pytest.approx(stats.sem(NOISE[:3]))
    assert float(sam["difference_low"]) < 0.1 < float(sam["difference_high"])
    assert float(sam["difference_0.3"]) == pytest.approx(0.1 + np.mean(NOISE[:3]))
    assert float(sam["accuracy_0"]) == pytest.approx(0.9)
    assert float(sam["seconds"]) == pytest.approx(101)
    assert (sam["epochs"], sam["passes_per_step"]) == ("10", "1")
    runs_sheet(found.runs).write(tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 2 * 3 * 3
    picked = [r for r in rows if (r["contender"], r["seed"], r["sigma"]) == ("erm", "1", "0.3")]
    assert [float(row["mean"]) for row in picked] == [pytest.approx(0.68)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.345, "2.3 s"), (48.4, "48 s"), (192, "3.2 min"), (5400, "1.5 h"), (math.nan, "")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_figure_names_each_contender(tmp_path, seeds):
    draw_comparison(comparison(seeds, sam=0.1, bayesft=0.2), tmp_path / "f.svg", title="all")
    drawn = (tmp_path / "f.svg").read_text()
    for name in ("erm", "sam", "bayesft", "difference from erm", "all"):
        assert f"<!-- {name} -->" in drawn


def test_a_baseline_alone_has_no_second_panel(tmp_path):
    draw_comparison(comparison(), tmp_path / "f.svg")
    assert "difference from" not in (tmp_path / "f.svg").read_text()
