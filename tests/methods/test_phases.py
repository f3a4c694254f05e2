"""The phases of a training that searches, and their learning rate."""

import pytest
import torch

from bayesft.errors import SettingError
from bayesft.methods.phases import PhasedLR, Phases

EPOCHS = {"max_epochs": 10, "warmup": 1, "search": 6}


def test_where_the_phases_lie():
    phases = Phases.of_training(total_steps=70, **EPOCHS, every_n_epochs=2)
    assert phases == Phases(warmup=7, every=14, trials=3, total=70)
    assert phases.search_end == 49
    assert [phases.measured_at(trial) for trial in range(3)] == [21, 35, 49]
    in_steps = Phases.of_training(total_steps=70, **EPOCHS, every_n_steps=10)
    # Two steps that are no whole trial belong to the last phase.
    assert (in_steps.trials, in_steps.search_end) == (4, 47)


def test_the_learning_rate_settles_at_the_end_of_each_trial():
    phases = Phases.of_training(total_steps=100, **EPOCHS, every_n_epochs=2)
    rates = [phases.learning_rate(step) for step in range(100)]
    assert all(0 <= rate <= 1 for rate in rates)
    for trial in range(3):
        cycle = rates[phases.measured_at(trial) - 20 : phases.measured_at(trial)]
        assert (cycle[0], cycle[6]) == pytest.approx((0.04, 1.0))
        assert cycle[:7] == sorted(cycle[:7])
        assert cycle[6:] == sorted(cycle[6:], reverse=True)
        assert cycle[-1] < 0.03
    # The warm-up has 10 steps, the last phase 30.
    assert rates[3] == rates[79] == pytest.approx(1.0)
    assert phases.learning_rate(100) == 0


def test_the_schedule_is_the_phases_times_the_optimisers_own_rate():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    schedule = PhasedLR(optimizer, total_steps=100, **EPOCHS, every_n_epochs=2)
    phases = Phases.of_training(total_steps=100, **EPOCHS, every_n_epochs=2)
    for step in range(100):
        [rate] = schedule.get_last_lr()
        assert rate == pytest.approx(0.5 * phases.learning_rate(step))
        optimizer.step()
        schedule.step()


def test_lengths_as_parts_of_the_training():
    epochs = Phases.of_training(total_steps=70, **EPOCHS, trials=3)
    parts = Phases.of_training(total_steps=70, max_epochs=10, warmup=0.1, search=0.6, trials=3)
    assert epochs == parts == Phases(warmup=7, every=14, trials=3, total=70)
    # What three trials cannot share belongs to the last phase.
    assert Phases.of_training(total_steps=71, **EPOCHS, trials=3).search_end == 49


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": 10}, "longer than the training: warmup=1 and search=10 are 77 .*max_epochs=10"),
        ({"search": 0.95}, "longer than the training: .* search=0.95 are 73 steps"),
        ({"search": 0}, "`search` to be an integer of at least 1, but got 0"),
        ({"warmup": -1}, "`warmup` to be an integer of at least 0, but got -1"),
        ({"warmup": 1.5}, "`warmup` to be epochs .* or a part of the training .*1.5"),
        ({"trials": 43}, "has 42 steps, too few for trials=43"),
        ({"trials": None, "every_n_epochs": 7}, "has 42 steps, too few for every_n_epochs=7"),
        ({"trials": 0}, "`trials` to be an integer of at least 1, but got 0"),
        ({"trials": None}, "one of `trials`, `every_n_epochs` and `every_n_steps`.*got none"),
        ({"every_n_steps": 3}, "null for the others, but got {'trials': 3, 'every_n_steps': 3}"),
    ],
)
def test_phases_that_do_not_fit(settings, message):
    with pytest.raises(SettingError, match=message):
        Phases.of_training(**{"total_steps": 70, "trials": 3, **EPOCHS, **settings})
