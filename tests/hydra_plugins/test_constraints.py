"""A search under limits on what its trials measure."""

import pytest
from hydra.errors import HydraException

from tests.helpers.sweeps import events, results, sweep

LIMIT = "hydra.sweeper.constraints=['clean >= 0.4']"


def task(cfg):
    return {"value": (cfg.x, 0.01), "clean": 1 - cfg.x, "size": (3.0, 0.5)}


def test_the_best_keeps_to_the_limit(tmp_path, capsys):
    sweep(tmp_path, task, "x=interval(0,1)", LIMIT, "hydra.sweeper.n_trials=12")
    found = results(tmp_path)
    assert found["best_feasible"] is True
    assert found["constraints"] == ["clean >= 0.4"]
    assert 0.5 < found["best_params"]["x"] <= 0.6
    assert found["best_named"]["clean"] == [pytest.approx(1 - found["best_params"]["x"]), None]
    assert found["best_named"]["size"] == [3.0, 0.5]
    assert ", not >= 0.4  best" in capsys.readouterr().out
    assert all(set(event["extra"]) == {"clean", "size"} for event in events(tmp_path, "tell"))


def test_no_feasible_trial_is_said(tmp_path, capsys):
    limit = "hydra.sweeper.constraints=['clean >= 2']"
    # The Gaussian process would go where `clean` is larger.
    few = ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_initial=3"]
    sweep(tmp_path, task, "x=interval(0,1)", limit, *few)
    assert results(tmp_path)["best_feasible"] is False
    out = capsys.readouterr().out
    best = results(tmp_path)
    clean = f"{best['best_named']['clean'][0]:.4g}"
    assert f"No trial keeps to clean >= 2; of the best one it is clean {clean}, not >= 2" in out
    assert f"(trial {best['best_trial']}, infeasible)" in out


def test_limits_that_each_is_kept_to_but_not_together_are_told_together(tmp_path, capsys):
    limits = "hydra.sweeper.constraints=['clean >= 0.6','clean <= 0.4']"
    few = ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_initial=3"]
    sweep(tmp_path, task, "x=interval(0,1)", limits, *few)
    assert "No trial keeps to clean >= 0.6 and clean <= 0.4; of the best" in capsys.readouterr().out


def test_a_near_miss_is_shown_with_the_digits_that_say_so(tmp_path, capsys):
    limit = "hydra.sweeper.constraints=['clean >= 0.5']"
    few = ["hydra.sweeper.n_trials=1", "hydra.sweeper.n_initial=1"]
    sweep(tmp_path, lambda cfg: {"value": 1, "clean": 0.499999}, "x=interval(0,1)", limit, *few)
    assert "clean 0.499999, not >= 0.5" in capsys.readouterr().out


def test_other_values_are_kept_without_a_limit(tmp_path):
    sweep(tmp_path, task, "x=interval(0,1)", "hydra.sweeper.n_trials=2")
    assert results(tmp_path)["best_named"]["size"] == [3.0, 0.5]
    assert results(tmp_path)["constraints"] == []
    assert results(tmp_path)["best_feasible"] is True


def test_a_limit_on_what_no_trial_returns_ends_the_search_at_once(tmp_path):
    limit = "hydra.sweeper.constraints=['cleann >= 0.4']"
    message = "trial 0: .*cleann >= 0.4 is on a value that was not returned.* were clean, size"
    with pytest.raises(HydraException, match=message):
        sweep(tmp_path, task, "x=interval(0,1)", limit, "hydra.sweeper.n_trials=8")
    assert len(events(tmp_path, "ask")) == 1
    # Put right, the search goes on with what it has; wrong again, no job starts.
    with pytest.raises(HydraException, match=message):
        sweep(tmp_path, task, "x=interval(0,1)", limit, "hydra.sweeper.n_trials=8")
    assert len(events(tmp_path, "ask")) == 1
    sweep(tmp_path, task, "x=interval(0,1)", LIMIT, "hydra.sweeper.n_trials=2")
    assert len(events(tmp_path, "ask")) == 2


@pytest.mark.parametrize("limits", ["[clean]", "['clean > 1']", "[1]"])
def test_a_limit_that_cannot_be_read_is_told_before_any_job(tmp_path, limits):
    with pytest.raises(HydraException, match="Expected a constraint such as"):
        sweep(tmp_path, task, "x=interval(0,1)", f"hydra.sweeper.constraints={limits}")
    assert not (tmp_path / "journal.jsonl").exists()
