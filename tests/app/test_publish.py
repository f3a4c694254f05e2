"""The report of a study in Weights & Biases, offline, and loggers that take no report."""

import json

import pytest
import wandb

from bayesft.app import ComparisonReport, FactorReport
from tests.app.test_compare import sweep
from tests.app.test_factors import sweep as sweep_factors
from tests.helpers.comparisons import add
from tests.helpers.wandb_file import read_run
from tests.report.test_factor_runs import add as add_factor


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """W&B writes to its files alone, whoever has logged in."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    # It reads the environment once in a process, and another test may have come first.
    wandb.teardown()


def runs_in(folder):
    """Return W&B's own files of the offline runs that write to `folder`."""
    return [*(folder / "wandb").glob("offline-run-*/run-*.wandb")]


def test_a_comparison_is_a_run_of_its_own_beside_the_trainings(offline, tmp_path):
    folder = tmp_path / "c"
    sweep(folder, "contender=erm,reram_v", "seed=0", "logger=wandb")
    [training] = runs_in(folder / "erm" / "seed-0")
    [report] = runs_in(folder)
    theirs, *_ = read_run(training)
    ours, config, history = read_run(report)
    assert (ours.job_type, ours.display_name) == ("report", "comparison")
    assert (ours.project, ours.run_group) == (theirs.project, theirs.run_group)
    assert ours.run_group == json.loads(config["folder"]) == str(folder)
    shown = {key: json.loads(text) for key, text in history.items() if key.startswith("compar")}
    kinds = {key.split("/")[1]: kind for key, kind in shown.items() if key.endswith("/_type")}
    assert kinds == {
        "contenders": "table-file", "runs": "table-file",
        "curves": "image-file", "page": "html-file",
    }  # fmt: skip
    files = report.parent / "files"
    page, curves = (files / shown[f"comparison/{name}/path"] for name in ("page", "curves"))
    assert page.read_bytes() == (folder / "comparison.html").read_bytes()
    assert curves.read_bytes() == (folder / "comparison.png").read_bytes()
    table = json.loads((files / shown["comparison/contenders/path"]).read_text())
    erm, reram_v = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    assert (erm["contender"], reram_v["contender"]) == ("erm", "reram_v")
    assert 0 < reram_v["own_chip"] <= 1
    # What is not known is no number: one seed has no error over seeds.
    assert erm["own_chip"] is reram_v["own_chip_stderr"] is erm["difference"] is None


def test_a_factor_studys_trainings_and_report_are_one_group(offline, tmp_path):
    folder = tmp_path / "f"
    sweep_factors(folder, "factor={},{norm:batch}", "seed=0", "logger=wandb")
    found = [read_run(path)[0] for path in folder.rglob("run-*.wandb")]
    assert {run.run_group for run in found} == {str(folder)}
    assert sorted(run.job_type for run in found) == ["", "", "report"]


def test_what_goes_wrong_there_is_told_and_the_report_is_here(
    offline, tmp_path, monkeypatch, capfd
):
    def fail(*args):
        raise OSError("no room")

    monkeypatch.setattr("callbacks.wandb_logger.WandbRunLogger.log_report", fail)
    sweep(tmp_path / "c", "contender=erm", "seed=0", "logger=wandb")
    shown = "".join(capfd.readouterr())
    assert "The report could not be handed to the logger: OSError: no room" in shown
    assert (tmp_path / "c" / "comparison.html").exists()


@pytest.mark.parametrize("name", ["csv", "none"])
def test_a_logger_that_takes_no_report_gets_none(tmp_path, capfd, name):
    sweep(tmp_path / "c", "contender=erm", "seed=0", f"logger={name}")
    assert "handed to the logger" not in "".join(capfd.readouterr())
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        "erm", "multirun.yaml", "comparison.yaml", "comparison.html", "comparison.png",
        "comparison.csv", "comparison_runs.csv", "comparison.lock",
    }  # fmt: skip


def test_what_there_is_to_hand_over(tmp_path):
    add(tmp_path / "c", "erm")
    add(tmp_path / "c", "sam")
    add_factor(tmp_path / "f")
    add_factor(tmp_path / "f", norm="batch")
    for study, folder in ((ComparisonReport(), "c"), (FactorReport(), "f")):
        report = study.report(tmp_path / folder)
        assert not report.missing
        assert all(len(row) == len(s.head) for s in report.sheets.values() for row in s.rows)
        assert report.sheets
        assert all(path.exists() for path in [*report.figures.values(), *report.pages.values()])
        assert report.figures
