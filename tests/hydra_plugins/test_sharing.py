"""Several processes on one study."""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter

import pytest

from bayesft.bo import Real, Space
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._outcome import Outcome
from hydra_plugins.bayesft_sweeper._study import Study
from tests.helpers.processes import environment, interruptible, tells, told, wait_for_results
from tests.helpers.sweeps import events, results, sweep

TRIALS = 40


@contextlib.contextmanager
def processes(command, count):
    started = [interruptible(command, env=environment()) for _ in range(count)]
    try:
        yield list(started)
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kill", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_four_processes_share_a_study(command, tmp_path, kill):
    folder = tmp_path / "s"
    command += ["x=interval(0,1)", "seconds=0.3", f"hydra.sweeper.n_trials={TRIALS}"]
    with processes(command, 4) as started:
        if kill:
            wait_for_results(started[0], folder, 15)
            # In the middle of a job that it runs.
            started.pop(_one_at_work(folder, started)).kill()
        for process in started:
            _, errors = process.communicate(timeout=150)
            assert process.returncode == 0, errors
    assert sorted(told(folder)) == list(range(TRIALS))
    jobs = Counter(event["job"] for event in events(folder, "ask"))
    assert max(jobs.values()) == 1
    assert len(jobs) <= TRIALS + kill
    workers = {event["worker"] for event in events(folder, "ask")}
    assert len(workers) == 4
    assert results(folder)["num_trials"] == TRIALS
    assert not list(folder.glob("*.beat"))


@pytest.mark.slow
def test_any_of_several_killed_at_any_moment_costs_no_finished_trial(command, tmp_path):
    folder, chance = tmp_path / "s", random.Random(0)
    command += ["x=interval(0,1)", "seconds=0.1", f"hydra.sweeper.n_trials={TRIALS}"]
    known: list[dict] = []
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(processes(command, 1))[0] for _ in range(3)]
        for _ in range(10):
            wait_for_results(running[0], folder, min(TRIALS, len(known) + 2))
            time.sleep(chance.uniform(0, 0.5))
            running.pop(chance.randrange(3)).kill()
            now = tells(folder)
            assert now[: len(known)] == known
            known = now
            running.append(stack.enter_context(processes(command, 1))[0])
        for process in running:
            _, errors = process.communicate(timeout=150)
            assert process.returncode == 0, errors
    assert sorted(told(folder)) == list(range(TRIALS))
    assert tells(folder)[: len(known)] == known
    assert not list(folder.glob("*.beat"))


def _one_at_work(folder, started):
    """Return which of the processes runs a trial now."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, asked = {event["number"] for event in tells(folder)}, []
        for line in (folder / "journal.jsonl").read_text().split("\n")[1:-1]:
            event = json.loads(line)
            if event["event"] == "ask" and event["number"] not in done:
                asked.append(int(event["worker"].rsplit("-", 2)[1]))
        for index, process in enumerate(started):
            if process.pid in asked:
                return index
    raise AssertionError("nobody is at work")


def test_each_knows_what_the_others_run(tmp_path):
    with _study(tmp_path) as one, _study(tmp_path) as other:
        with one.locked():
            [first] = one.start(1)
        with other.locked():
            assert [trial.number for trial in other.optimizer.pending] == [0]
            assert other.left_over() == []
            [second] = other.start(1)
        assert (first.number, second.number) == (0, 1)
        assert first.job != second.job
        assert first.params != second.params
        other.finish(second, Outcome(value=1.0), folder="1")
        with one.locked():
            assert [trial.number for trial in one.ended()] == [1]


def test_the_first_result_of_a_trial_counts(tmp_path, caplog):
    with _study(tmp_path) as one, _study(tmp_path) as other:
        with one.locked():
            [slow] = one.start(1)
        # It gave no sign of life for an hour.
        before = time.time() - 3600
        [beat] = tmp_path.glob(f"*{one.worker.name}.beat")
        os.utime(beat, (before, before))
        with other.locked():
            [same] = other.start(1)
        assert (same.number, same.params) == (slow.number, slow.params)
        assert same.job != slow.job
        other.finish(same, Outcome(value=1.0), folder="1")
        assert one.finish(slow, Outcome(value=2.0), folder="0").value == 1.0
        assert "taken over and finished in 1; what came of it in 0 is left out" in caplog.text
        # Back at work, it has a name that the others believe in.
        with one.locked():
            [again] = one.start(1)
        with other.locked():
            assert other.left_over() == []
        assert again.number == 1


def test_a_failed_trial_that_one_opens_again_is_everybodys(tmp_path):
    with _study(tmp_path) as one, _study(tmp_path) as other:
        with one.locked():
            [first] = one.start(1)
        one.finish(first, Outcome(reason="no file", repairable=True), folder="0")
        with other.locked():
            [opened] = other.reopen(other.repairable())
        with one.locked():
            assert not one.ended()
            [again] = one.start(1)
        assert (again.number, again.params) == (first.number, first.params)
        assert len({first.job, opened.job, again.job}) == 3
        with other.locked():
            assert not other.repairable()
            assert not other.left_over()
            assert [trial.number for trial in other.start(1)] == [1]


def test_a_process_that_is_interrupted_leaves_its_trial_to_the_others(command, tmp_path):
    folder = tmp_path / "s"
    command += ["x=interval(0,1)", "hydra.sweeper.n_trials=4", "hydra.sweeper.heartbeat=1000"]
    with processes([*command, "seconds=1000"], 1) as [process]:
        deadline = time.monotonic() + 60
        while not (tmp_path / "calls").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with processes(command, 1) as [other]:
            wait_for_results(other, folder, 3)
            process.send_signal(signal.SIGINT)
            _, errors = other.communicate(timeout=60)
            assert other.returncode == 0, errors
    assert sorted(told(folder)) == [0, 1, 2, 3]


@pytest.mark.parametrize("value", ["0", "-1", "nan"])
def test_a_heartbeat_is_a_time(tmp_path, value):
    with pytest.raises(SweepError, match=f"hydra.sweeper.heartbeat .* got {float(value):g}"):
        sweep(tmp_path, lambda cfg: 1.0, "x=interval(0,1)", f"hydra.sweeper.heartbeat={value}")


@contextlib.contextmanager
def _study(folder):
    study = Study.load(
        folder / "journal.jsonl", Space({"x": Real(0, 1)}), direction="maximize",
        n_initial=4, said=False, seed=0, start=[], fixed=[], constraints=[], heartbeat=60,
        recipe={},
    )  # fmt: skip
    with study.worker:
        yield study
