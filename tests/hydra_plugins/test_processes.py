"""The sweeper as a person runs it: another application, another process, kill -9."""

import random
import signal
import time

import pytest

from tests.helpers.processes import (
    ended,
    environment,
    interruptible,
    killed_when_left,
    tells,
    told,
    wait_for_results,
)
from tests.helpers.sweeps import results


def test_kill_9_and_again(command, tmp_path):
    command += ["x=interval(0,1)", "seconds=0.2", "hydra.sweeper.n_trials=8"]
    with killed_when_left(command) as process:
        wait_for_results(process, tmp_path / "s", 3)
        time.sleep(0.1)
    before = tells(tmp_path / "s")
    assert 3 <= len(before) < 8
    run = ended(command)
    assert run.returncode == 0, run.stderr
    after = tells(tmp_path / "s")
    assert after[: len(before)] == before
    assert told(tmp_path / "s") == list(range(8))
    assert results(tmp_path / "s")["num_trials"] == 8
    # What was running when it was killed ran again, and nothing else.
    assert len((tmp_path / "calls").read_text().splitlines()) <= 8 + 1


@pytest.mark.slow
def test_kill_9_at_any_moment(command, tmp_path):
    command += ["x=interval(0,1)", "seconds=0.02", "hydra.sweeper.n_trials=30"]
    chance, folder = random.Random(0), tmp_path / "s"
    known: list[dict] = []
    for _ in range(6):
        with killed_when_left(command) as process:
            wait_for_results(process, folder, min(30, len(known) + 1))
            time.sleep(chance.uniform(0, 0.8))
        now = tells(folder)
        assert now[: len(known)] == known
        known = now
    run = ended(command)
    assert run.returncode == 0, run.stderr
    assert told(folder) == list(range(30))
    assert len((tmp_path / "calls").read_text().splitlines()) <= 30 + 6


def test_ctrl_c_keeps_what_is_done_and_ends_with_its_status(command, tmp_path):
    command += ["x=interval(0,1)", "seconds=0.5", "hydra.sweeper.n_trials=20"]
    with interruptible(command, env=environment()) as process:
        try:
            wait_for_results(process, tmp_path / "s", 2)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert f"go on with hydra.sweep.dir={tmp_path / 's'}" in out + errors
    assert "Traceback" not in errors
    done = len(told(tmp_path / "s"))
    run = ended([*command[:-1], f"hydra.sweeper.n_trials={done + 1}"])
    assert run.returncode == 0, run.stderr
    assert told(tmp_path / "s") == list(range(done + 1))


def test_a_refusal_has_one_message_no_traceback_and_a_status(command):
    run = ended([*command, "x=interval(0,1)", "hydra.sweeper.n_trials=0"])
    assert run.returncode != 0
    assert "Expected hydra.sweeper.n_trials to be an integer of at least 1" in run.stderr
    assert "Traceback" not in run.stderr


def test_hydra_lists_the_plugin(command):
    run = ended([*command[:2], "--info", "plugins"])
    assert run.returncode == 0, run.stderr
    assert "BayesFTSweeper" in run.stdout
