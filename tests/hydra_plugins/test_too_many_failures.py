"""What is advised where too many trials failed."""

from pathlib import Path

import pytest

from bayesft.bo import Trial
from hydra_plugins.bayesft_sweeper._failures import repairable_line, too_many_failures
from hydra_plugins.bayesft_sweeper._vectors import Layout

REPAIR = "Once that is put right, go on with the same command and hydra.sweep.dir=s: "
ANEW = " No trial has finished: to begin anew"


def trials(letters):
    """Return finished trials (`t`), failed ones (`f`) and ones failed for a mistake (`m`)."""
    outcomes = {
        "t": {"state": "finished", "value": 1.0},
        "f": {"state": "failed", "reason": "f{}."},
        "m": {"state": "failed", "reason": "m{}.", "repairable": True},
    }
    found = []
    for number, letter in enumerate(letters):
        outcome = dict(outcomes[letter])
        if "reason" in outcome:
            outcome["reason"] = outcome["reason"].format(number)
        found.append(Trial(number, {}, **outcome))
    return found


def told(letters):
    return too_many_failures(trials(letters), 10, 0.2, Layout(()), Path("s"))


@pytest.mark.parametrize("letters", ["", "tttt", "ff", "mm", "fmttttttt"])
def test_as_many_as_may_fail_are_nothing_to_tell(letters):
    assert told(letters) is None


@pytest.mark.parametrize(
    ("letters", "last", "advice"),
    [
        ("mmm", "m2", REPAIR + "3 of them run again at the same points." + ANEW),
        ("tmmm", "m3", REPAIR + "3 of them run again at the same points."),
        ("mtff", "m0", REPAIR + "that trial runs again at the same point."),
        ("mfff", "f3", "Go on with a larger hydra.sweeper.max_failure_rate"),
        ("fffm", "m3", "Go on with a larger hydra.sweeper.max_failure_rate"),
    ],
)
def test_the_advice_is_for_what_fails(letters, last, advice):
    message = told(letters)
    assert f"failed with {last}. Its log is in s. {advice}" in message
    assert ("larger" in message) == ("larger" in advice)
    assert (ANEW in message) == (ANEW in advice)


def test_mistakes_are_told_in_the_end():
    assert repairable_line(trials("tft"), Path("s")) is None
    line = repairable_line(trials("mtmf"), Path("s"))
    repair = REPAIR + "2 of them run again at the same points."
    assert line == f"2 trials failed, trial 2 with m2. {repair}"
