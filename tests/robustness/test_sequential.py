"""Stopping without a bias: by exhaustive enumeration, and that it would not be without folds."""

import itertools
import math
from dataclasses import replace

import pytest

from bayesft.robustness.sequential import FOLDS, LEAST, Folds, Rule, Spread, make_looks
from bayesft.robustness.statistics import as_array, combined_stderr, mean


def rule_of(target: float, images: int, looks: tuple[int, ...], **settings: float) -> Rule:
    bounds = {"sigma": 0.5, "worst": 0.0, "best": 1.0}
    return Rule(target=target, images=images, looks=looks, **bounds | settings)


def run(rule: Rule, draws: list[list[float]]) -> Folds:
    """Feed a rule the draws of each fold until it stops."""
    folds = Folds(rule, len(draws))
    while missing := folds.missing:
        folds.add([[own[number] for number in missing] for own in draws])
    return folds


GROWTH = 1.15

# A score of 0, 0.6 or 1, with these probabilities.
CHANCES = {0.0: 0.25, 0.6: 0.45, 1.0: 0.3}
TRUE = sum(value * chance for value, chance in CHANCES.items())
# Without drift, where what agrees after two draws may end it.
RULE = rule_of(target=0.3, images=10, looks=(2, 3, 4), sigma=0.0)


def expectation(of) -> float:
    """The exact expectation over every outcome of two folds of four draws."""
    total = 0.0
    for outcome in itertools.product(CHANCES, repeat=8):
        chance = math.prod(CHANCES[value] for value in outcome)
        total += chance * of([list(outcome[:4]), list(outcome[4:])])
    return total


@pytest.mark.parametrize(("sigma", "soonest"), [(0.0, 2), (0.5, 3)])
def test_the_mean_is_exactly_unbiased_whenever_it_stops(sigma, soonest):
    stops = []

    def estimate(draws):
        used = run(replace(RULE, sigma=sigma), draws).used
        stops.append(tuple(map(len, used)))
        return sum(sum(own) / len(own) for own in used) / 2

    assert expectation(estimate) == pytest.approx(TRUE, abs=1e-12)
    # It does stop early, and late, and not in both folds at once.
    assert set(stops) == set(itertools.product(range(soonest, 5), repeat=2))


def test_stopping_by_ones_own_scores_would_be_biased():
    """The same rule and the same outcomes, each fold stopped by itself."""

    def naive(draws):
        means = []
        for own in draws:
            stops = (n for n in RULE.looks[:-1] if RULE.enough([Spread.of(own[:n])]))
            n = next(stops, RULE.looks[-1])
            means.append(sum(own[:n]) / n)
        return sum(means) / 2

    assert abs(expectation(naive) - TRUE) > 1e-3


def test_a_folds_scores_do_not_decide_how_many_of_them_count():
    draws = [[0.9, 0.5, 0.7, 0.6] * 4 for _ in range(FOLDS)]
    rule = rule_of(target=0.02, images=100, looks=make_looks(4, 16, growth=GROWTH))
    before = run(rule, draws)
    draws[2] = [0.0, 1.0] * 8
    after = run(rule, draws)
    assert len(after.used[2]) == len(before.used[2])
    assert len(after.used[3]) > len(before.used[3])


def test_the_stated_error_is_the_target_or_less():
    """Scores whose variance is known: draws are as many as the formula says, and not many more."""
    pattern = [0.3, 0.7]  # variance 0.04 n / (n - 1)
    draws = [pattern * 200 for _ in range(FOLDS)]
    folds = run(rule_of(target=0.02, images=100, looks=make_looks(4, 400, growth=GROWTH)), draws)
    used = sum(map(len, folds.used))
    assert 0.04 / 0.02**2 <= used <= 1.5 * 0.04 / 0.02**2
    row = [score for scores in zip(*folds.used, strict=True) for score in scores]
    assert combined_stderr(as_array([row]), [1.0], FOLDS) <= 0.02
    assert mean(as_array([row])[0], FOLDS) == pytest.approx(0.5)


def test_scores_that_agree_are_not_taken_for_certain():
    """300 chips without an error bound a rare one by 1 %; 30 do not. At sigma 0 images do."""
    draws = [[1.0] * 100 for _ in range(FOLDS)]

    def used(**settings):
        rule = rule_of(target=0.01, images=5, looks=make_looks(4, 100, growth=GROWTH), **settings)
        return list(map(len, run(rule, draws).used))

    assert sum(used()) >= 300
    assert 300 <= 5 * sum(used(sigma=0.0)) < 500
    assert used(worst=1.0) == [LEAST] * FOLDS


def test_nor_are_scores_that_are_all_the_worst():
    draws = [[0.0] * 100 for _ in range(FOLDS)]
    rule = rule_of(target=0.01, images=5, looks=make_looks(4, 100, growth=GROWTH))
    assert sum(map(len, run(rule, draws).used)) >= 300


def test_the_limit_ends_it():
    draws = [[0.0, 1.0] * 10 for _ in range(FOLDS)]
    rule = rule_of(target=1e-6, images=1, looks=make_looks(4, 20, growth=GROWTH))
    assert list(map(len, run(rule, draws).used)) == [20] * FOLDS


@pytest.mark.parametrize(
    ("first", "most", "looks"),
    [(1, 100, (4, 5, 6, 7, 9)), (50, 60, (50, 58, 60)), (50, 10, (10,)), (9, 1, (2,))],
)
def test_looks_grow_and_end_at_the_limit(first, most, looks):
    assert make_looks(first, most, growth=GROWTH)[: len(looks)] == looks
    assert make_looks(first, most, growth=GROWTH)[-1] == max(most, 2)
