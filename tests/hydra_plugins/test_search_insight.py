"""What a search tells of the dimensions at its end."""

import math

import pytest

from bayesft.bo import SurrogateError
from bayesft.bo.optimizer import Optimizer
from bayesft.report import learnt
from tests.helpers.sweeps import Task, X, fail, results, sweep


def test_the_results_say_which_keys_matter(tmp_path, capsys):
    def task(cfg):
        return math.sin(4 * cfg.x) + 0.01 * cfg.width, 0.01

    settings = ["hydra.sweeper.n_trials=20", "hydra.sweeper.n_initial=4"]
    sweep(tmp_path / "s", task, X, "width=int(interval(1,4))", *settings)
    insight = results(tmp_path / "s")["insight"]
    assert list(insight["dimensions"]) == ["x", "width"]
    x, width = insight["dimensions"].values()
    assert list(x) == ["importance", "interval", "effect", "effect_sd"]
    assert x["interval"][0] < x["importance"] < x["interval"][1]
    assert x["importance"] > 2 * width["importance"]
    assert x["effect"] > 1 > 0.2 > width["effect"]
    assert insight["readable"] is True
    assert insight["verdict"].startswith("can be read")
    fit = insight["left_out"]
    assert fit["trials"] == 20
    assert fit["r2"] > 0.7
    assert fit["rank_correlation"] > fit["rank_correlation_by_chance"] > 0
    assert 0 <= fit["within_95_percent"] <= 1
    assert "effect on the value" in capsys.readouterr().out
    assert (tmp_path / "s" / "insight.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("function", "count", "reason"),
    [
        (lambda cfg: cfg.x, 3, "3 finished trials, at least 8 are needed"),
        (lambda cfg: 0.5, 9, "all 9 finished trials have the same value"),
        (lambda cfg: fail(ValueError("no")) if cfg.x < 0.4 else cfg.x, 9, "at least 8 are needed"),
    ],
)
def test_a_search_that_has_learnt_nothing_says_why(tmp_path, function, count, reason):
    settings = [f"hydra.sweeper.n_trials={count}", "hydra.sweeper.n_initial=8"]
    sweep(tmp_path / "s", Task(function), X, *settings, "hydra.sweeper.max_failure_rate=1")
    insight = results(tmp_path / "s")["insight"]
    assert insight["readable"] is False
    assert insight["verdict"].startswith("none: ")
    assert reason in insight["verdict"]
    assert not (tmp_path / "s" / "insight.png").exists()


def test_a_figure_that_cannot_be_drawn_does_not_fail_the_search(tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(learnt, "draw_insight", full)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=5", "hydra.sweeper.n_initial=4")
    assert "insight.png could not be drawn: OSError: No space left" in capsys.readouterr().out
    assert results(tmp_path / "s")["insight"]["dimensions"]["x"]["importance"] > 0


@pytest.mark.parametrize("error", [SurrogateError("singular"), RuntimeError("singular")])
def test_a_look_that_fails_does_not_cost_the_results(tmp_path, monkeypatch, error):
    monkeypatch.setattr(Optimizer, "insight", lambda self: fail(error))
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=2")
    found = results(tmp_path / "s")
    assert found["num_trials"] == 2
    assert found["insight"]["verdict"].startswith("none: ")
    assert found["insight"]["verdict"].endswith("singular")
