"""Trials that took up another one may all be worth more, or less, than those from scratch."""

import random
import statistics
from dataclasses import replace

import pytest
import torch

from bayesft.bo import surrogate as module
from bayesft.bo.constraint import Constraint
from bayesft.bo.likelihood import loss_and_gradient
from bayesft.bo.optimizer import Optimizer
from bayesft.bo.space import Real, Space
from bayesft.bo.surrogate import fit, posterior
from bayesft.bo.trial import Trial

PLANE = Space({"x": Real(0, 1), "y": Real(0, 1)})
NOISE = 0.02
SCRATCH, COUNT = 5, 16


def hill(x, y):
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2


def searched(seed, *, step, told=True, space=PLANE, count=COUNT, **settings):
    """Return a search whose first trials begin from scratch and are worth `step` more."""
    luck = random.Random(seed)
    optimizer = Optimizer(space, seed=seed, n_initial=SCRATCH, **settings)
    for number in range(count):
        [params] = optimizer.ask()
        warm = number >= SCRATCH
        value = hill(**params) + luck.gauss(0, NOISE) + step * (not warm)
        optimizer.tell(
            Trial(number, params, state="finished", value=value, stderr=NOISE,
                  source=0 if warm and told else None)
        )  # fmt: skip
    return optimizer


def surrogate_of(optimizer):
    return optimizer._belief.fitted(optimizer._ended())[0]


@pytest.mark.parametrize("step", [-2.0, 0.0, 0.2, 2.0])
def test_the_step_is_learnt(step):
    optimizer = searched(1, step=step)
    assert surrogate_of(optimizer).step == pytest.approx(step, abs=0.06)
    if abs(step) > 1:
        assert optimizer.best().is_from_scratch == (step > 0)


def test_a_step_between_them_does_not_hide_the_optimum():
    """Without being told, the process takes what the later trials lost for the place's fault."""
    aware, ignorant = (
        statistics.median(
            max(hill(**trial.params) for trial in searched(seed, step=2.0, told=told).trials)
            for seed in range(3)
        )
        for told in (True, False)
    )
    assert aware > -0.005
    assert aware > ignorant


# Of a search with warm starts on digits, 5 epochs a trial: dropout rates and accuracy under drift.
DIGITS = [
    ((0.0, 0.0, 0.0), 0.60703, 0.0056, None),
    ((0.2, 0.2, 0.2), 0.68931, 0.00429, None),
    ((0.106965, 0.114838, 0.373443), 0.6739, 0.00431, None),
    ((0.270002, 0.274332, 0.416572), 0.63037, 0.00467, 2),
    ((0.124794, 0.136984, 0.250111), 0.62998, 0.00477, 1),
    ((0.229896, 0.224642, 0.18112), 0.64045, 0.00463, 1),
    ((0.8, 0.8, 0.8), 0.27316, 0.00375, 3),
]


def test_a_short_search_does_not_recommend_what_is_many_errors_below_another():
    """Taken together, trials 1, 4 and 5 have about the same rates and .04 of noise."""
    rates = Space({f"rate{site}": Real(0, 0.8) for site in range(3)})
    chosen = []
    for told in (True, False):
        optimizer = Optimizer(rates, n_initial=3)
        for number, (row, value, stderr, source) in enumerate(DIGITS):
            params = dict(zip(rates.dimensions, row, strict=True))
            optimizer.tell(
                Trial(number, params, state="finished", value=value, stderr=stderr,
                      source=source if told else None)
            )  # fmt: skip
        chosen.append(optimizer.best().value)
    assert chosen[0] == max(value for _, value, _, _ in DIGITS)
    assert chosen[0] > chosen[1] + 0.05


@pytest.mark.parametrize("warm", [(), range(12)])
def test_trials_of_one_kind_have_no_step(warm):
    optimizer = Optimizer(PLANE)
    for number, row in enumerate(torch.rand(12, 2, dtype=torch.float64).tolist()):
        source = 0 if number in warm else None
        params = PLANE.decode(row)
        value = hill(**params)
        optimizer.tell(Trial(number, params, state="finished", value=value, source=source))
    assert surrogate_of(optimizer).step == 0


def test_a_failed_trial_is_of_neither_kind():
    whole = searched(0, step=2.0)
    for failed in (1, COUNT - 1):
        trials = [
            replace(trial, state="failed", value=None, stderr=None, reason="diverged")
            if trial.number == failed else trial
            for trial in whole.trials
        ]  # fmt: skip
        optimizer = Optimizer(PLANE, n_initial=SCRATCH, trials=trials)
        assert surrogate_of(optimizer).step == pytest.approx(2.0, abs=0.2)
        assert optimizer.best().number < SCRATCH


def test_predictions_and_slices_are_of_trials_as_they_were_measured():
    optimizer = searched(1, step=2.0, count=24)
    insight = optimizer.insight()
    best = optimizer.best()
    assert best.is_from_scratch
    assert insight.step == pytest.approx(2.0, abs=0.06)
    for observed, predicted in zip(
        insight.calibration.observed, insight.calibration.predicted, strict=True
    ):
        assert predicted == pytest.approx(observed, abs=0.3)
    for influence in insight.influences:
        assert max(influence.slice.means) == pytest.approx(2.0, abs=0.15)


def test_of_a_loss_the_step_is_in_its_units():
    optimizer = searched(1, step=0.0, direction="minimize")
    trials = [
        replace(trial, value=-trial.value + 0.5 * trial.is_from_scratch)
        for trial in optimizer.trials
    ]
    losses = Optimizer(PLANE, n_initial=SCRATCH, direction="minimize", trials=trials)
    assert losses.insight().step == pytest.approx(0.5, abs=0.06)
    assert not losses.best().is_from_scratch


def test_a_constraint_is_kept_to_by_trials_of_the_kind_that_is_asked():
    """What began from scratch kept to the limit nearly everywhere, what is asked does so
    on the left alone."""
    optimizer = Optimizer(
        Space({"x": Real(0, 1)}), n_initial=4, constraints=[Constraint.parse("clean >= 0.9")]
    )
    for number, x in enumerate([0.1, 0.35, 0.65, 0.9, 0.2, 0.5, 0.8]):
        warm = number >= 4
        clean = 1.0 - 0.5 * x + 0.4 * (not warm)
        optimizer.tell(
            Trial(number, {"x": x}, state="finished", value=x, extra={"clean": clean},
                  source=0 if warm else None)
        )  # fmt: skip
    [params] = optimizer.ask()
    assert params["x"] < 0.3


def test_the_likelihood_is_that_of_the_values_without_the_step():
    torch.manual_seed(0)
    rows = torch.rand(12, 2, dtype=torch.float64)
    values = -((rows - 0.4) ** 2).sum(1) + 0.1 * torch.randn(12)
    apart = torch.arange(12) < 5
    stderrs = torch.full((12,), 0.05, dtype=torch.float64)
    gp = module._model(
        rows, values, stderrs.square(), module.matern, module.STARTS[0],
        changing=False, warpable=False, apart=apart,
    )  # fmt: skip
    gp.step.height.data.fill_(0.7)
    mll = module.ExactMarginalLogLikelihood(gp.likelihood, gp)
    loss, gradient = loss_and_gradient(mll)()
    level = values - gp.step.height * apart
    expected = -mll(gp(rows), level)
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for ours, parameter in zip(gradient, mll.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=1e-7)


def test_with_a_warp_beliefs_are_of_the_values_without_the_step():
    torch.manual_seed(0)
    rows = torch.rand(30, 2, dtype=torch.float64)
    plain = torch.exp(4 * -((rows - 0.4) ** 2).sum(1) + 2)
    apart = torch.arange(30) < 10
    stderrs = torch.full((30,), 1e-3, dtype=torch.float64)
    found = fit(rows, plain + 3.0 * apart, stderrs, warpable=True, apart=apart)
    assert found.step == pytest.approx(3.0, abs=0.1)
    torch.testing.assert_close(posterior(found, rows)[0], plain, rtol=0.05, atol=0.05)
