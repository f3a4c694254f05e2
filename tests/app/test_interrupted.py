"""Ctrl-C: the status that a shell expects, nothing lost, and how to go on."""

import signal
import sys
import time

import pytest

from bayesft.methods.checkpoint import read_state
from tests.helpers.app import ROOT, SMALL
from tests.helpers.processes import interruptible


@pytest.mark.parametrize(
    ("start", "advice"),
    [
        (
            ["train.py", "hydra.run.dir="],
            "kept; go on with the same command and hydra.run.dir={} resume=true",
        ),
        pytest.param(
            ["train.py", "-m", "seed=0,1", "hydra.sweep.dir="],
            "kept; go on with the same command and hydra.sweep.dir={} resume=true",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["train.py", "-m", "seed=0,1", "resume=true", "hydra.sweep.dir="],
            "kept; go on with the same command and hydra.sweep.dir={}\n",
            marks=pytest.mark.slow,
        ),
        (
            ["search.py", "-m", "hydra/sweeper=bayesft", "hydra.sweep.dir="],
            "The same command and hydra.sweep.dir={} trains this one anew",
        ),
    ],
)
def test_ctrl_c_ends_with_the_status_of_an_interrupt_and_says_how_to_go_on(tmp_path, start, advice):
    folder = tmp_path / "run"
    command = [sys.executable, *start, *SMALL, "trainer.max_epochs=10000"]
    command[len(start)] += str(folder)
    said = stopped_by_ctrl_c(command, folder, "last.ckpt")
    assert advice.format(folder) in said
    [last] = folder.rglob("last.ckpt")
    assert read_state(last)


def stopped_by_ctrl_c(command, folder, file):
    """Return what is said until Ctrl-C, once there is such a file, has ended the command."""
    shown = folder.with_suffix(".txt")
    with (
        shown.open("w") as stdout,
        interruptible(command, cwd=ROOT, stdout=stdout) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while not list(folder.rglob(file)):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            # Behind what is done with the file.
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Traceback" not in shown.read_text()
    return "\n".join(path.read_text() for path in (shown, *folder.rglob("*.log")))


LONG_TEST = [*SMALL, "trainer.max_epochs=1", "evaluation.test.draws=1000000"]


def test_ctrl_c_in_a_test_says_that_what_was_trained_is_kept(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "train.py", *LONG_TEST, f"hydra.run.dir={folder}"]
    said = stopped_by_ctrl_c(command, folder, "last.ckpt")
    assert f"kept; go on with the same command and hydra.run.dir={folder} resume=true" in said


def test_ctrl_c_in_a_searchs_test_says_how_to_get_the_report(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "search.py", *LONG_TEST, "hydra.sweeper.n_trials=1",
               f"hydra.sweep.dir={folder}"]  # fmt: skip
    said = stopped_by_ctrl_c(command, folder, "optimization_results.yaml")
    assert f"its report is made by the same command with hydra.sweep.dir={folder}" in said
