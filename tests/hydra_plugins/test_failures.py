"""Trials, launchers and people that stop in the middle, and what is kept."""

import errno
import json
import math
import pickle

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException

from bayesft.errors import DataError
from hydra_plugins.bayesft_sweeper import _outcome, _sweep
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


def test_the_same_command_does_not_go_on_after_too_many_failures(tmp_path):
    settings = [X, "hydra.sweeper.n_trials=10", "hydra.sweeper.max_failure_rate=0.25"]
    with pytest.raises(HydraException):
        sweep(tmp_path / "s", Task(lambda cfg: fail(ValueError("always"))), *settings)
    again = Task()
    with pytest.raises(HydraException, match=r"Go on with a larger hydra\.sweeper\.max_failure"):
        sweep(tmp_path / "s", again, *settings)
    assert not again.seen
    sweep(tmp_path / "s", again, *settings[:-1], "hydra.sweeper.max_failure_rate=0.5")
    assert len(again.seen) == 7


MISTAKES = [DataError("b.png is damaged"), CompactHydraException("b.png is damaged")]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_that_was_put_right_does_not_hold_up_the_search(tmp_path, mistake):
    folder, settings = tmp_path / "s", [X, "hydra.sweeper.n_trials=4"]
    broken = Task(lambda cfg: fail(mistake))
    with pytest.raises(HydraException) as refused:
        sweep(folder, broken, *settings)
    message = str(refused.value)
    assert "2 of 4 trials failed" in message
    assert "Error: b.png is damaged. Its log" in message or "Exception: b.png is" in message
    assert f"the same command and hydra.sweep.dir={folder}: 2 of them run again" in message
    assert "No trial has finished" in message
    assert "larger" not in message
    repaired = Task()
    sweep(folder, repaired, *settings)
    # The same points come first, in folders of their own.
    assert repaired.seen[:2] == broken.seen
    assert len(repaired.seen) == 4
    assert sorted(event["number"] for event in events(folder, "tell")) == [0, 1, 2, 3]
    ended = events(folder, "fail") + events(folder, "tell")
    assert len({event["folder"] for event in ended}) == 6
    found = results(folder)
    assert (found["num_trials"], found["num_failed"]) == (4, 0)


def test_a_mistake_that_was_not_put_right_ends_the_search_again(tmp_path):
    settings = [X, "hydra.sweeper.n_trials=10", "hydra.sweeper.max_failure_rate=0.2"]
    broken = Task(lambda cfg: fail(DataError("b.png is damaged")))
    for seen in (3, 6):
        with pytest.raises(HydraException, match=r"3 of 10 trials failed"):
            sweep(tmp_path / "s", broken, *settings)
        assert len(broken.seen) == seen
    assert broken.seen[3:] == broken.seen[:3]
    assert results(tmp_path / "s")["num_failed"] == 3


def test_one_mistake_among_many_trials_is_told_in_the_end_and_tried_again(tmp_path, capsys):
    folder, settings = tmp_path / "s", [X, "hydra.sweeper.n_trials=5", "hydra.sweep.subdir=job"]
    mistake = DataError("b.png is damaged")
    task = Task(lambda cfg: fail(mistake) if len(task.seen) == 1 else cfg.x)
    sweep(folder, task, *settings)
    assert "1 trial failed, trial 0 with DataError: b.png is damaged. Once that is put right" in (
        capsys.readouterr().out
    )
    assert results(folder)["num_failed"] == 1
    again = Task(lambda cfg: cfg.x)
    sweep(folder, again, *settings)
    # That one alone, though its job left an outcome in the folder that all have.
    assert again.seen == task.seen[:1]
    assert "Running again what may have been put right: trial 0\n" in capsys.readouterr().out
    assert results(folder)["num_failed"] == 0
    assert results(folder)["num_trials"] == 5


def test_a_mistake_is_tried_again_where_the_search_had_reason_to_stop(tmp_path):
    settings = [X, "hydra.sweeper.n_trials=20", "hydra.sweeper.patience=2",
                "hydra.sweeper.n_initial=3"]  # fmt: skip
    task = Task(lambda cfg: fail(DataError("b.png")) if len(task.seen) == 2 else -len(task.seen))
    sweep(tmp_path / "s", task, *settings)
    assert results(tmp_path / "s")["stopped"]
    again = Task(lambda cfg: -100.0)
    sweep(tmp_path / "s", again, *settings)
    assert again.seen == [task.seen[1]]
    assert results(tmp_path / "s")["num_failed"] == 0


def test_other_failures_are_not_tried_again(tmp_path):
    folder, settings = tmp_path / "s", [X, "hydra.sweeper.n_trials=5"]
    task = Task(lambda cfg: fail(FloatingPointError()) if len(task.seen) == 1 else cfg.x)
    sweep(folder, task, *settings)
    again = Task()
    sweep(folder, again, *settings)
    assert not again.seen
    assert results(folder)["num_failed"] == 1


@pytest.mark.parametrize("code", [0, 2, 128, 255, None, "no data"])
def test_a_task_that_leaves_by_itself_has_failed(tmp_path, code):
    task = Task(lambda cfg: fail(SystemExit(code)) if len(task.seen) == 2 else cfg.x)
    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_trials=4")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["reason"] == f"RuntimeError: the task called sys.exit({code!r})"
    assert len(task.seen) == 4


def test_a_task_that_a_signal_ends_is_run_again(tmp_path, capsys):
    stopped = Task(lambda cfg: fail(SystemExit(143)) if len(stopped.seen) == 2 else cfg.x)
    with pytest.raises(SystemExit) as stop:
        sweep(tmp_path / "s", stopped, X, "hydra.sweeper.n_trials=3")
    assert stop.value.code == 143
    told = f"status 143. The finished trials are kept; go on with hydra.sweep.dir={tmp_path}"
    assert told in capsys.readouterr().out
    again = Task()
    sweep(tmp_path / "s", again, X, "hydra.sweeper.n_trials=3")
    assert again.seen[0] == stopped.seen[1]
    assert not events(tmp_path / "s", "fail")


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (RuntimeError("no cluster answers"), False),
        (OSError(errno.ENOSPC, "No space left on device"), True),
    ],
)
def test_a_launcher_that_runs_nothing_fails_no_trial(tmp_path, monkeypatch, error, begins):
    folder, broken = tmp_path / "s", True

    def launches(launch, job_overrides, initial_job_idx):
        if broken and initial_job_idx == 2:
            if begins:
                (folder / "2").mkdir()
                launch(job_overrides[1:], initial_job_idx + 1)
            raise error
        return launch(job_overrides, initial_job_idx)

    wrap_launcher(monkeypatch, launches)
    settings = [X, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=6"]
    with pytest.raises(HydraException, match=f"{error.args[-1]}.*go on with hydra.sweep.dir="):
        sweep(folder, Task(), *settings)
    assert len(events(folder, "tell")) == 2 + begins
    broken = False
    sweep(folder, Task(), *settings)
    assert not events(folder, "fail")
    assert results(folder)["num_trials"] == 6
    # At the same points.
    asked = {event["number"]: event["params"] for event in events(folder, "ask")[:4]}
    assert all(event["params"] == asked.get(event["number"], event["params"])
               for event in events(folder, "ask"))  # fmt: skip


def test_a_disk_that_is_full_between_the_jobs_is_told_in_words(tmp_path, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_sweep, "write_results", full)
    with pytest.raises(HydraException, match=r"No space left.*go on with hydra.sweep.dir="):
        sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=2")
    assert len(events(tmp_path / "s", "tell")) == 2


def test_the_outcome_of_an_earlier_job_in_the_same_folder_is_not_taken(tmp_path):
    folder = tmp_path / "s"
    stopped = Task(lambda cfg: fail(KeyboardInterrupt()) if len(stopped.seen) == 2 else cfg.x)
    settings = [X, "hydra.sweep.subdir=job", "hydra.sweeper.n_trials=3"]
    with pytest.raises(SystemExit):
        sweep(folder, stopped, *settings)
    again = Task(lambda cfg: cfg.x)
    sweep(folder, again, *settings)
    assert again.seen[0] == stopped.seen[1]
    assert [event["value"] for event in events(folder, "tell")] == [stopped.seen[0], *again.seen]


GROUPS = """
defaults:
  - opt: sgd
  - override hydra/sweeper: bayesft
  - _self_
x: 0.5
"""


def test_every_choice_of_a_config_group_is_composed_before_any_job(tmp_path):
    files = {"opt/sgd": "{name: sgd, momentum: 0.9}", "opt/adam": "{name: adam}"}
    task = Task()
    for overrides, message in (
        (["opt=sgd,adam,lion"], "lion"),
        (["opt=sgd,adam", "opt.momentum=interval(0,1)"], "opt.momentum"),
    ):
        with pytest.raises(HydraException, match=message):
            sweep(tmp_path / "s", task, *overrides, config=GROUPS, files=files)
    assert not task.seen


def test_choices_that_do_not_go_together_fail_their_trials_alone(tmp_path):
    files = {
        "opt/sgd": "{name: sgd, momentum: 0.9}", "opt/adam": "{name: adam}",
        "net/a": "# @package opt\n{momentum: 0.5}", "net/b": "# @package opt\n{nesterov: true}",
    }  # fmt: skip
    config = GROUPS.replace("  - opt: sgd\n", "  - opt: sgd\n  - net: a\n")
    settings = [
        "opt=sgd,adam", "net=a,b", "opt.momentum=interval(0,1)", "hydra.sweeper.n_trials=8",
        "hydra.sweeper.n_jobs=4", "hydra.sweeper.max_failure_rate=1",
    ]  # fmt: skip
    sweep(tmp_path / "s", Task(lambda cfg: cfg.opt.momentum), *settings, config=config, files=files)
    failed, told = (events(tmp_path / "s", kind) for kind in ("fail", "tell"))
    assert failed
    assert all("opt.momentum" in event["reason"] for event in failed)
    assert len(failed) + len(told) == 8
    asked = {event["number"]: event["params"] for event in events(tmp_path / "s", "ask")}
    for event in failed + told:
        params = asked[event["number"]]
        assert ((params["opt"], params["net"]) == ("adam", "b")) == (event["event"] == "fail")
