"""How many trials a search begins with."""

import pytest

from bayesft.bo.initial import initial_trials


@pytest.mark.parametrize(
    ("trials", "initial"), [(1, 2), (4, 2), (5, 2), (8, 4), (10, 5), (16, 5), (1000, 5)]
)
def test_half_of_all_from_2_to_5(trials, initial):
    assert initial_trials(trials) == initial


@pytest.mark.parametrize(("trials", "initial"), [(1, 2), (10, 5), (16, 8), (1000, 8)])
def test_up_to_8_where_the_value_changes(trials, initial):
    assert initial_trials(trials, changing=True) == initial
