"""Trials that take up the nearest finished one."""

import pytest
from hydra.errors import HydraException

from bayesft.bo import Trial
from hydra_plugins.bayesft_sweeper._told import warm_start_line
from tests.helpers.sweeps import CONFIG, Task, X, events, sweep, wrap_launcher

WARM = (
    CONFIG
    + """
warm_start:
  folder: null
"""
)
ON = "hydra.sweeper.warm_start=true"
FEW = ["hydra.sweeper.n_initial=3", "hydra.sweeper.n_trials=6"]


def sources(folder):
    return [event.get("source") for event in events(folder, "ask")]


def test_trials_of_the_gaussian_process_start_from_the_nearest_finished_one(tmp_path):
    seen = []

    def task(cfg):
        seen.append((cfg.x, cfg.warm_start.folder))
        return -((cfg.x - 0.3) ** 2)

    folder = tmp_path / "it's a 'search'"
    sweep(tmp_path / "plain", Task(), X, *FEW, config=WARM)
    assert sources(tmp_path / "plain") == [None] * 6
    sweep(str(folder).replace("'", "\\'"), task, X, *FEW, ON, config=WARM)
    assert [source for _, source in seen[:3]] == [None] * 3
    told = sources(folder)
    for number, (x, source) in enumerate(seen[3:], start=3):
        nearest = min(range(number), key=lambda other: abs(seen[other][0] - x))
        assert told[number] == nearest
        assert source == str((folder / str(nearest)).absolute())


def ab(cfg):
    return ["a", "b"]


def test_points_that_were_given_start_from_scratch(tmp_path):
    """However few trials come before the Gaussian process."""
    vectors = {"names": f"{__name__}.ab", "low": 0, "high": 1, "start": [0, 0.2, 0.4]}
    config = WARM.replace("hydra:\n", f"hydra:\n  sweeper: {{vectors: {{rates: {vectors}}}}}\n")
    few = ["hydra.sweeper.n_initial=1", "hydra.sweeper.n_trials=5"]
    sweep(tmp_path, lambda cfg: sum(cfg.rates), *few, ON, config=config)
    assert [source is None for source in sources(tmp_path)] == [True, True, True, False, False]


def test_a_trial_that_is_run_again_takes_up_the_same_one(tmp_path, monkeypatch):
    task = Task()

    def dies(launch, job_overrides, initial_job_idx):
        if initial_job_idx == 4:
            raise KeyboardInterrupt
        return launch(job_overrides, initial_job_idx=initial_job_idx)

    with monkeypatch.context() as patched:
        wrap_launcher(patched, dies)
        with pytest.raises(SystemExit):
            sweep(tmp_path, task, X, *FEW, ON, config=WARM)
    before = [(e["number"], e["source"]) for e in events(tmp_path, "ask") if e["number"] == 4]
    sweep(tmp_path, task, X, *FEW, ON, config=WARM)
    after = [(e["number"], e["source"]) for e in events(tmp_path, "ask") if e["number"] == 4]
    assert after == before * 2


def test_an_application_without_the_key_is_told_before_any_job(tmp_path):
    task = Task()
    with pytest.raises(HydraException, match=r"warm_start"):
        sweep(tmp_path, task, X, ON)
    assert task.seen == []


def test_the_end_tells_what_it_saved(tmp_path, capsys):
    sweep(tmp_path, Task(), X, *FEW, ON, config=WARM)
    told = capsys.readouterr().out
    assert "Warm starts: 3 of 6 trials started from another's weights" in told

    def trial(number, seconds, source=None):
        return Trial(number, {}, "finished", 1.0, seconds=seconds, source=source)

    trials = [trial(0, 100.0), trial(1, 80.0), trial(2, 30.0, 0), trial(3, 20.0, 1)]
    line = warm_start_line(trials)
    assert line.startswith("Warm starts: 2 of 4 trials ")
    assert line.endswith("took 25 s each, the others 2 min: 2 min saved")
    assert warm_start_line(trials[:2]) is None
    assert warm_start_line([trials[0], trial(1, 200.0, 0)]).endswith("nothing saved")
