"""Trials of a batch run at the same time, by launchers that people use; what ended is kept."""

import secrets
import tempfile

import pytest

from tests.helpers.processes import ended, tells, told, wait_for_end_of_processes
from tests.helpers.sweeps import events, results


@pytest.fixture
def joblib(command):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    return [*command, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]


def test_joblib_runs_a_batch_at_once_and_every_result_is_told(joblib, tmp_path):
    run = ended([*joblib, "x=interval(0,1)", "seconds=0.5", "hydra.sweeper.n_trials=6"])
    assert run.returncode == 0, run.stderr
    assert sorted(told(tmp_path / "s")) == list(range(6))
    assert results(tmp_path / "s")["num_trials"] == 6
    starts = [event["time"] for event in events(tmp_path / "s", "ask")]
    # Both of a batch are asked before either runs.
    assert all(b - a < 0.5 for a, b in zip(starts[::2], starts[1::2], strict=True))
    for event in tells(tmp_path / "s"):
        assert (tmp_path / "s" / event["folder"] / "outcome.json").exists()


def test_a_killed_worker_takes_no_finished_trial_with_it(joblib, tmp_path):
    """The launcher then gives nothing back, of its batch's finished jobs neither."""
    joblib += ["x=0.1,0.2,0.9", "dies=0.9", "hydra.sweeper.n_trials=3"]
    run = ended([*joblib, "hydra.sweeper.max_failure_rate=1", "hydra.sweeper.n_jobs=3"])
    assert run.returncode == 0, run.stderr
    finished = {event["number"] for event in tells(tmp_path / "s")}
    [failed] = events(tmp_path / "s", "fail")
    assert finished | {failed["number"]} == {0, 1, 2}
    assert "the launcher failed" in failed["reason"]
    assert results(tmp_path / "s")["num_failed"] == 1


@pytest.fixture
def submitit(command):
    """The executor of one machine; on a cluster `hydra/launcher=submitit_slurm` takes its place."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    return [*command, "hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2"]


def test_submitit_runs_a_batch_and_every_result_is_told(submitit, tmp_path):
    run = ended([*submitit, "x=interval(0,1)", "hydra.sweeper.n_trials=4"])
    assert run.returncode == 0, run.stderr
    assert sorted(told(tmp_path / "s")) == list(range(4))
    assert results(tmp_path / "s")["num_trials"] == 4


@pytest.mark.slow
def test_a_killed_job_of_submitit_takes_no_finished_trial_with_it(submitit, tmp_path):
    submitit += ["x=0.1,0.9", "dies=0.9", "hydra.sweeper.n_trials=2"]
    run = ended([*submitit, "hydra.sweeper.max_failure_rate=1"])
    assert run.returncode == 0, run.stderr
    [finished] = tells(tmp_path / "s")
    [failed] = events(tmp_path / "s", "fail")
    assert {finished["number"], failed["number"]} == {0, 1}


@pytest.fixture
def ray(command, monkeypatch):
    """A cluster of two cores, whatever this machine has, that ends with its search."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    # Not below `tmp_path`: the names of Ray's sockets may not be longer than 107 letters.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else one goes to ~/.ray
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield [
            *command,
            "hydra/launcher=ray",
            "+hydra.launcher.ray.init.num_cpus=2",
            "+hydra.launcher.ray.init.include_dashboard=false",
            "hydra.sweeper.n_jobs=2",
        ]
        wait_for_end_of_processes(folder)


def test_ray_runs_a_batch_at_once_and_every_result_is_told(ray, tmp_path):
    run = ended([*ray, "x=interval(0,1)", "together=2", "hydra.sweeper.n_trials=4"])
    assert run.returncode == 0, run.stderr
    assert sorted(told(tmp_path / "s")) == list(range(4))
    assert results(tmp_path / "s")["num_trials"] == 4
    for event in tells(tmp_path / "s"):
        assert (tmp_path / "s" / event["folder"] / "outcome.json").exists()


@pytest.mark.slow
def test_a_killed_worker_of_ray_takes_no_finished_trial_with_it(ray, tmp_path):
    """The launcher then gives nothing back, of its batch's finished jobs neither."""
    ray += ["x=0.1,0.9", "dies=0.9", "together=2", "hydra.sweeper.n_trials=2"]
    ray += ["+hydra.launcher.ray.remote.max_retries=0", "hydra.sweeper.max_failure_rate=1"]
    run = ended(ray)
    assert run.returncode == 0, run.stderr
    [finished] = tells(tmp_path / "s")
    [failed] = events(tmp_path / "s", "fail")
    assert {finished["number"], failed["number"]} == {0, 1}
    assert "the launcher failed: WorkerCrashedError" in failed["reason"]
    assert results(tmp_path / "s")["num_failed"] == 1
