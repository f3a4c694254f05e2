"""Which vector when, and which trials are undone."""

import math

import pytest

from bayesft.methods.alternating import Alternating
from bayesft.methods.phases import Phases


def alternating(value, **settings):
    """Return a search whose first trial was worth `value`, in its second trial."""
    search = Alternating(["fc1"], Phases(0, 5, 4, 30), **settings)
    search.begin(search.suggest())
    search.end(value, 0.01)
    search.begin(search.suggest())
    return search


@pytest.mark.parametrize(
    ("before", "kept", "undone"), [(0.8, 0.73, 0.71), (-1.0, -1.09, -1.11), (0.0, 0.0, -0.01)]
)
def test_a_trial_far_below_the_last_one_is_undone_whatever_the_sign(before, kept, undone):
    search = alternating(before, undo_below=0.9)
    assert search.too_bad(kept) is None
    assert search.too_bad(before + 0.001) is None
    assert "the weights from before it came back" in search.too_bad(undone)
    assert alternating(before, undo_below=0.0).too_bad(undone - 100) is None


def test_what_was_undone_is_no_measure_for_the_next_trial():
    search = alternating(0.8)
    search.undo("ruined")
    search.begin(search.suggest())
    assert "of trial 0" in search.too_bad(0.1)
    assert search.best().number == 0


def test_of_one_draw_the_error_is_not_known():
    search = Alternating(["fc1"], Phases(0, 5, 4, 30))
    for value in (0.5, 0.6, 0.4):
        search.begin(search.suggest())
        assert search.end(value, math.nan).stderr is None
    assert search.suggest() is not None
    assert search.best().number in range(3)


@pytest.mark.parametrize(
    ("trials", "said", "initial"), [(3, None, 2), (9, None, 4), (40, None, 8), (9, 7, 7)]
)
def test_a_short_search_asks_its_gaussian_process_too(trials, said, initial):
    search = Alternating(["fc1"], Phases(0, 5, trials, 300), n_initial=said)
    assert search.optimizer.n_initial == initial
