"""Trials, launchers and people that stop in the middle, and what is kept."""

import errno
import json
import math
import pickle

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException

from hydra_plugins.bayesft_sweeper import _outcome
from tests.helpers.sweeps import Task, X, events, fail, results, sweep, wrap_launcher


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: fail(ValueError("too\nlarge")), "ValueError: too large"),
        (lambda: math.nan, "nan"),
        (lambda: None, "None"),
        (lambda: "good", "'good'"),
    ],
)
def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path, bad, reason):
    task = Task(lambda cfg: bad() if len(task.seen) == 2 else cfg.x)
    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_trials=5")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["number"] == 1
    assert reason in failed["reason"]
    found = results(tmp_path / "s")
    assert (found["num_trials"], found["num_failed"]) == (5, 1)
    assert len(task.seen) == 5


class OfTwoArgumentsError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first}, not {second}")


def test_an_exception_that_cannot_be_pickled_takes_no_batch_with_it(tmp_path, monkeypatch):
    def in_other_processes(launch, job_overrides, initial_job_idx):
        jobs = []
        for i, overrides in enumerate(job_overrides):
            jobs += pickle.loads(pickle.dumps(launch([overrides], initial_job_idx + i)))
        return jobs

    def task(cfg):
        return fail(OfTwoArgumentsError("this", "that")) if cfg.x == 0.5 else cfg.x

    wrap_launcher(monkeypatch, in_other_processes)
    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_jobs=4", "hydra.sweeper.n_trials=4")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["reason"] == "OfTwoArgumentsError: this, not that"
    assert len(events(tmp_path / "s", "tell")) == 3


def test_a_failure_is_told_with_its_traceback_in_the_jobs_log(tmp_path):
    def task(cfg):
        if HydraConfig.get().job.num == 1:
            raise ValueError("too deep")
        return cfg.x

    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_trials=4")
    text = (tmp_path / "s" / "1" / "app.log").read_text()
    assert "This trial failed: ValueError: too deep" in text
    assert "Traceback" in text
    assert "in task" in text


def test_a_full_disk_in_a_jobs_folder_costs_no_result(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_outcome.json, "dump", full)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=2")
    assert results(tmp_path / "s")["num_failed"] == 0
    assert len(events(tmp_path / "s", "tell")) == 2
    assert not list((tmp_path / "s" / "0").glob(".outcome*"))


def test_too_many_failures_end_the_search(tmp_path):
    task = Task(lambda cfg: fail(ValueError("always")))
    settings = [X, "hydra.sweeper.n_trials=10", "hydra.sweeper.max_failure_rate=0.25"]
    with pytest.raises(HydraException, match=r"max_failure_rate=0.25.*ValueError: always"):
        sweep(tmp_path / "s", task, *settings)
    assert len(task.seen) == 3
    assert results(tmp_path / "s")["best_value"] is None


def test_a_launcher_that_dies_costs_the_jobs_that_had_not_ended(tmp_path, monkeypatch):
    def dies(launch, job_overrides, initial_job_idx):
        if initial_job_idx == 2:
            launch(job_overrides[:1], initial_job_idx)
            raise RuntimeError("worker was killed")
        return launch(job_overrides, initial_job_idx)

    wrap_launcher(monkeypatch, dies)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=6")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["number"] == 3
    assert "the launcher failed: RuntimeError: worker was killed" in failed["reason"]
    assert sorted(e["number"] for e in events(tmp_path / "s", "tell")) == [0, 1, 2, 4, 5]


def test_ctrl_c_leaves_a_trial_that_is_run_again_at_its_point(tmp_path):
    interrupted = Task(
        lambda cfg: fail(KeyboardInterrupt()) if len(interrupted.seen) == 3 else cfg.x
    )
    with pytest.raises(SystemExit) as stop:
        sweep(tmp_path / "s", interrupted, X, "hydra.sweeper.n_trials=4")
    assert stop.value.code == 130
    again = Task()
    sweep(tmp_path / "s", again, X, "hydra.sweeper.n_trials=4")
    assert again.seen[0] == interrupted.seen[2]
    assert len(again.seen) == 2
    assert [e["job"] for e in events(tmp_path / "s", "ask")] == [0, 1, 2, 3, 4]  # a fresh folder
    assert results(tmp_path / "s")["num_trials"] == 4


def test_an_outcome_that_nobody_collected_counts(tmp_path):
    """Killed between a job's end and the journal: the job is not run again."""
    folder = tmp_path / "s"
    sweep(folder, Task(), X, "hydra.sweeper.n_trials=3")
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:-1]))
    again = Task()
    sweep(folder, again, X, "hydra.sweeper.n_trials=3")
    assert not again.seen
    assert [e["value"] for e in events(folder, "tell")] == [
        json.loads((folder / str(i) / "outcome.json").read_text())["value"] for i in range(3)
    ]
