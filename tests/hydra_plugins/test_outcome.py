"""What counts as a result, and what a job leaves behind."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException

from bayesft.errors import DataError, reason_of
from hydra_plugins.bayesft_sweeper._outcome import Outcome, outcome_of, read_result


@pytest.mark.parametrize(
    ("result", "value", "stderr"),
    [
        (0.5, 0.5, None),
        (1, 1.0, None),
        (np.float32(0.5), 0.5, None),
        (torch.tensor(0.5), 0.5, None),
        (torch.tensor([0.5]), 0.5, None),
        ((0.5, 0.1), 0.5, 0.1),
        ([0.5, 0.1], 0.5, 0.1),
        ((torch.tensor(0.5), np.float64(0.1)), 0.5, 0.1),
        ((0.5, 0), 0.5, 0.0),
        ((0.5, None), 0.5, None),
        ((0.5, math.nan), 0.5, None),  # unknown error, as Ax has it
        ((0.5, -1.0), 0.5, None),
    ],
)
def test_numbers_with_and_without_an_error(result, value, stderr):
    outcome = read_result(result)
    assert outcome.reason is None
    assert (outcome.value, outcome.stderr) == (value, stderr)


@pytest.mark.parametrize(
    "result",
    [
        None,
        math.nan,
        math.inf,
        "0.5",
        True,
        {"acc": 0.5},
        (0.5,),
        (0.5, 0.1, 0.1),
        (math.nan, 0.1),
        torch.ones(2),
        1j,
        [],
    ],
)
def test_everything_else_is_a_failure_that_shows_what_came(result):
    outcome = read_result(result)
    assert outcome.value is None
    assert "expected a finite number, (mean, standard error), or a mapping" in outcome.reason
    assert repr(result) in outcome.reason


def job(value, status=JobStatus.COMPLETED) -> JobReturn:
    returned = JobReturn(status=status)
    returned.return_value = value
    return returned


def test_the_folder_comes_before_the_launcher(tmp_path):
    left = Outcome(value=0.25, stderr=0.1, overrides=["x=1"])
    (tmp_path / "outcome.json").write_text(json.dumps(asdict(left)))
    assert outcome_of(job(0.75), tmp_path, ["x=1"]) == left
    assert outcome_of(None, tmp_path, ("x=1",)) == left


@pytest.mark.parametrize(
    "content",
    [None, "", '{"value": 0.', "[]", '{"other": 1}', '{"value": 1, "overrides": ["x=2"]}'],
)
def test_without_an_outcome_the_launchers_word_counts(tmp_path, content):
    if content is not None:
        (tmp_path / "outcome.json").write_text(content)
    assert outcome_of(job(0.75), tmp_path, ["x=1"]) == Outcome(value=0.75)
    failed = outcome_of(job(ValueError("too\n big"), JobStatus.FAILED), tmp_path, ["x=1"])
    assert failed == Outcome(reason="ValueError: too big")
    assert outcome_of(None, tmp_path, ["x=1"]) is None


@pytest.mark.parametrize(
    ("error", "repairable"),
    [
        (DataError("a.png"), True),
        (CompactHydraException("lr"), True),
        (RuntimeError("out of memory"), False),
    ],
)
def test_what_a_person_did_can_be_put_right(tmp_path, error, repairable):
    failed = outcome_of(job(error, JobStatus.FAILED), tmp_path, [])
    assert failed.repairable is repairable


def test_an_exception_without_words():
    assert reason_of(KeyError()) == "KeyError"
