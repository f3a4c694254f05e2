"""Contenders that are made for one chip, and are reported there as well."""

import csv
import json
import math

import numpy as np
import pytest
from scipy import stats

from bayesft.report.compare import report_comparison
from bayesft.report.compare.own_chip import own_chip, own_chip_note, own_chip_sigma
from bayesft.report.compare.runs import read_comparison
from bayesft.report.scores import SCORES, read_scores, write_scores
from tests.helpers.comparisons import add

VALUES = (0.91, 0.95, 0.93)
METHOD = {"_target_": "bayesft.methods.ReRAMV", "sigma": 0.7}


def made_for_one_chip(folder, values=VALUES):
    """Write a comparison of `reram_v`, whose accuracy on its own chip is known, with `erm`."""
    for seed, value in enumerate(values):
        add(folder, "erm", seed, 0.5 + seed / 100)
        add(folder, "reram_v", seed, 0.4 + seed / 100, own_chip=value, method=METHOD)
    return folder


def test_scores_come_back_and_what_is_not_finite_does_not(tmp_path):
    write_scores({"test/acc": 0.5, "test/loss": math.nan, "test/σ": math.inf}, tmp_path)
    assert read_scores(tmp_path) == {"test/acc": 0.5}
    # JSON has no NaN: another program could not read it.
    assert json.loads((tmp_path / SCORES).read_text())["test/loss"] is None


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"test/own_chip_acc": "x"}'])
def test_scores_that_are_not_there_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / SCORES).write_text(content)
    assert read_scores(tmp_path) == {}


def test_the_mean_on_the_own_chip_has_the_error_over_seeds(tmp_path):
    found = read_comparison(made_for_one_chip(tmp_path))
    estimate = own_chip(found.runs["reram_v"])
    assert estimate.value == pytest.approx(np.mean(VALUES))
    assert estimate.stderr == pytest.approx(stats.sem(VALUES))
    assert own_chip_sigma(found.runs["reram_v"]) == 0.7
    assert own_chip(found.runs["erm"]) is None
    assert own_chip_sigma(found.runs["erm"]) is None


def test_it_is_told_with_what_it_cannot_be_compared_with(tmp_path, capsys):
    report_comparison(made_for_one_chip(tmp_path))
    shown = capsys.readouterr().out
    [row] = [line for line in shown.splitlines() if line.lstrip().startswith("own chip")]
    assert row.split() == ["own", "chip,", "σ", "0.7", "0.930", "±", "0.012"]
    assert all(len(line) <= 80 for line in shown.splitlines() if "±" in line and " 3 " in line)
    told = "the one chip that a contender was made for (reram_v at σ = 0.7)"
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    for text in (shown, page):
        assert told in text
        assert "cannot be compared with the other numbers" in text
    assert '<th scope="col">own chip</th>' in page
    assert "0.930 <small>± 0.012</small>" in page
    with open(tmp_path / "comparison.csv", newline="") as file:
        erm, reram_v = csv.DictReader(file)
    assert float(reram_v["own_chip"]) == pytest.approx(0.93)
    assert float(reram_v["own_chip_stderr"]) == pytest.approx(stats.sem(VALUES))
    assert float(reram_v["own_chip_sigma"]) == 0.7
    assert (erm["own_chip"], erm["own_chip_stderr"], erm["own_chip_sigma"]) == ("", "", "")


def test_seeds_that_did_not_write_it_down_are_told(tmp_path):
    found = read_comparison(made_for_one_chip(tmp_path, (0.91, 0.95, None)))
    assert own_chip(found.runs["reram_v"]).value == pytest.approx(0.93)
    assert "reram_v at σ = 0.7, 2 of 3 runs" in own_chip_note(found.runs)


def test_a_folder_without_it_is_reported_as_before(tmp_path, capsys):
    add(tmp_path, "erm")
    add(tmp_path, "reram_v", method=METHOD)
    report_comparison(tmp_path)
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "own chip" not in capsys.readouterr().out.lower()
    assert "own chip" not in page.lower()
