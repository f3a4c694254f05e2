"""Ctrl-C while a command starts: its status, and no traceback."""

import signal
import sys

import pytest

from bayesft.interrupts import leave_quietly_until_at_work, run
from tests.helpers.app import ROOT
from tests.helpers.processes import interruptible


@pytest.fixture
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("start", [["train.py"], ["search.py", "-m", "hydra/sweeper=bayesft"]])
@pytest.mark.parametrize("moment", ["omegaconf.base", "hydra.core.plugins", "torch.types"])
def test_ctrl_c_in_the_middle_of_an_import(tmp_path, start, moment):
    folder = f"hydra.{'sweep' if '-m' in start else 'run'}.dir={tmp_path / 'run'}"
    # Python tells there what it has imported.
    command = [sys.executable, "-X", "importtime", *start, folder]
    with interruptible(command, cwd=ROOT) as process:
        try:
            for line in process.stderr:
                if line.split("|")[-1].strip() == moment:
                    break
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert not out
    assert [line for line in errors.splitlines() if not line.startswith("import time:")] == []


def test_an_interrupt_that_nothing_answers_has_its_status():
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 130


def test_a_program_at_work_is_interrupted_as_any_other(handler):
    import bayesft.app  # noqa: F401

    signal.signal(signal.SIGINT, signal.default_int_handler)
    leave_quietly_until_at_work()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_program_that_ignores_ctrl_c_goes_on_to(handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_quietly_until_at_work()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
