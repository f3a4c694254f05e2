"""The alternating search from its configs."""

import shutil

import pytest
import yaml

from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.app.report import report_search
from bayesft.bo import Journal
from bayesft.robustness import Curve
from tests.helpers.app import SMALL, composed, search

ALTERNATING = (
    "experiment=alternating",
    *SMALL,
    "trainer.max_epochs=11",
    "callbacks.dropout_search.warmup=1",
    "callbacks.dropout_search.search=8",
    "callbacks.dropout_search.trials=4",
    "callbacks.dropout_search.n_initial=2",
)


def test_one_training_leaves_what_a_search_leaves(tmp_path, capsys):
    score = train(composed(tmp_path, *ALTERNATING))
    shown = capsys.readouterr().out
    assert "BayesFT" in shown
    assert "No trial was better" not in shown
    found = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (found["kind"], found["num_trials"]) == ("alternating", 4)
    assert str(found["best_params"]["model.dropout"]) in shown
    _, trials = Journal(tmp_path / "journal.jsonl").replay()
    best = trials[found["best_trial"]]
    assert list(best.params.values()) == found["best_params"]["model.dropout"]
    curve = Curve.from_json(tmp_path / "test_curve.json")
    assert score == pytest.approx(curve.at([0.3, 0.6, 0.9, 1.2, 1.5]).mean)
    for name in ("curves.png", "insight.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    # Elsewhere, and later, it reads as the other kind of search does.
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path, moved)
    report_search(moved, found)
    assert "Test accuracy under drift" in capsys.readouterr().out


def test_it_composes_with_other_parts(tmp_path):
    cfg = composed(tmp_path, "experiment=alternating", "model=lenet5", "data=mnist")
    assert cfg.scheduler.search == cfg.callbacks.dropout_search.search == 0.64
    assert cfg.callbacks.dropout_search.seed == cfg.evaluation.objective.seed
    assert cfg.callbacks.dropout_search.seed != cfg.evaluation.test.seed


def test_a_search_of_trainings_that_search_is_refused(tmp_path):
    with pytest.raises(CommandError, match="would search its dropout rates itself"):
        search(tmp_path, *ALTERNATING)


def test_phases_that_do_not_fit_are_one_message(tmp_path):
    with pytest.raises(CommandError, match="search would be longer than the training"):
        train(composed(tmp_path, *ALTERNATING, "callbacks.dropout_search.search=11"))
