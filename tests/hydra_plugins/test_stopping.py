"""A search that has converged ends, and says why."""

import pytest
from hydra.errors import HydraException

from tests.helpers.sweeps import events, results, sweep


def bowl(cfg):
    return -((cfg.x - 0.3) ** 2), 0.001


def test_patience_ends_a_search_whose_best_stays_the_best(tmp_path):
    settings = ["x=interval(0,1)", "hydra.sweeper.n_initial=4", "hydra.sweeper.patience=3"]
    sweep(tmp_path, bowl, *settings, "hydra.sweeper.n_trials=40")
    found = results(tmp_path)
    assert 4 + 3 <= found["num_trials"] < 40
    assert found["stopped"].startswith(f"trial {found['best_trial']} has been the best for ")
    assert found["num_trials"] - 1 - found["best_trial"] >= 3
    # Told again, it is still done; told to be more patient, it goes on.
    sweep(tmp_path, bowl, *settings, "hydra.sweeper.n_trials=40")
    assert results(tmp_path) == found
    more = found["num_trials"] + 1
    sweep(tmp_path, bowl, *settings[:-1], f"hydra.sweeper.n_trials={more}")
    assert results(tmp_path)["num_trials"] == more
    assert results(tmp_path)["stopped"] is None


def test_min_improvement_ends_a_search_that_expects_no_more(tmp_path):
    sweep(
        tmp_path,
        bowl,
        "x=interval(0,1)",
        "hydra.sweeper.n_initial=4",
        "hydra.sweeper.n_trials=40",
        "hydra.sweeper.min_improvement=0.001",
    )
    found = results(tmp_path)
    assert found["num_trials"] < 40
    assert "expected to gain" in found["stopped"]
    assert found["best_value"] > -0.01


def test_no_search_ends_before_the_gaussian_process_took_over(tmp_path):
    """Even if the first trial was the best of all."""
    sweep(
        tmp_path,
        lambda cfg: -abs(cfg.x - 0.5),
        "x=interval(0,1)",
        "hydra.sweeper.n_initial=8",
        "hydra.sweeper.n_trials=9",
        "hydra.sweeper.patience=1",
        "hydra.sweeper.min_improvement=1000",
    )
    assert len(events(tmp_path, "tell")) == 8


@pytest.mark.parametrize("setting", ["patience=1", "min_improvement=1000"])
def test_no_search_ends_before_a_trial_keeps_to_the_limits(tmp_path, setting):
    def task(cfg):
        return {"value": -cfg.x, "clean": cfg.x}

    limit = "hydra.sweeper.constraints=['clean >= 0.9']"
    settings = ["hydra.sweeper.n_initial=2", "hydra.sweeper.n_trials=12"]
    sweep(tmp_path, task, "x=interval(0,1)", limit, *settings, f"hydra.sweeper.{setting}")
    found = results(tmp_path)
    assert found["best_feasible"] is True
    assert 2 < found["num_trials"] < 12


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("patience=0", "hydra.sweeper.patience to be null or an integer of at least 1.*0"),
        ("patience=1.5", "1.5"),
        ("min_improvement=0", "hydra.sweeper.min_improvement to be null or a finite.*0"),
        ("min_improvement=-1", "-1"),
    ],
)
def test_bad_settings_are_named_before_any_job(tmp_path, setting, message):
    ran = []
    with pytest.raises(HydraException, match=message):
        sweep(tmp_path, ran.append, "x=interval(0,1)", f"hydra.sweeper.{setting}")
    assert not ran
