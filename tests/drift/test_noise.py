"""The normals of a chip: their distribution, their independence, and what they depend on."""

import math
import threading

import pytest
import torch

from bayesft.drift import noise, standard_normals

FRESH, TABLE = 1000, noise.SMALLEST_FROM_TABLE
LARGE = noise.LARGEST_FROM_TABLE + 1
COUNTS = [FRESH, TABLE, LARGE]


@pytest.mark.parametrize("count", COUNTS)
def test_moments_and_tails(count):
    """Of 2 million normals: mean, variance, skewness, kurtosis and tails, within 5 errors.

    Numbers of one table are used several times, so the errors are those of as many
    independent numbers as the tables hold.
    """
    draws = 2_000_000 // count
    values = standard_normals(5, range(draws), count).double().flatten()
    n = len(values)
    if count == TABLE:
        n = noise.TABLE * math.ceil(draws / noise.TABLE_DRAWS)
    assert abs(values.mean()) < 5 / n**0.5
    assert abs(values.square().mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs(values.pow(3).mean()) < 5 * (15 / n) ** 0.5
    assert abs(values.pow(4).mean() - 3) < 5 * (96 / n) ** 0.5
    for beyond in (2.0, 3.0, 4.0):
        probability = math.erfc(beyond / 2**0.5)
        error = (probability / n) ** 0.5
        assert abs((values.abs() > beyond).double().mean() - probability) < 5 * error


@pytest.mark.parametrize("count", COUNTS)
def test_draws_and_weights_are_uncorrelated(count):
    rows = standard_normals(0, [*range(6), 1000, 2000], count)
    rows = torch.cat([rows, standard_normals(1, [0, 1], count)]).double()
    between = torch.corrcoef(rows) - torch.eye(len(rows))
    assert between.abs().max() < 5 / count**0.5
    for row in rows:
        for lag in (1, 2, 7, 100):
            assert abs((row[lag:] * row[:-lag]).mean()) < 5 / (count - lag) ** 0.5


@pytest.mark.parametrize("count", COUNTS)
def test_the_energy_of_a_draw_spreads_as_it_should(count):
    """The sum of squares: draws of one table must not share it, or chips would be too alike."""
    draws = noise.TABLE_DRAWS if count < LARGE else 20
    energy = standard_normals(3, range(draws), count).double().square().mean(dim=1)
    expected = math.sqrt(2 / count)
    assert energy.std() == pytest.approx(expected, rel=5 / math.sqrt(2 * draws))


@pytest.mark.parametrize("count", COUNTS)
def test_a_row_is_a_function_of_seed_index_and_count_alone(count):
    together = standard_normals(1, [3, 4, 500], count)
    assert torch.equal(standard_normals(1, [500], count)[0], together[2])
    out = torch.empty(1, count)
    assert standard_normals(1, [4], count, out=out) is out
    assert torch.equal(out[0], together[1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = standard_normals(1, [4, 3], count)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again, together[[1, 0]])
    assert not torch.equal(standard_normals(2, [4], count)[0], together[1])


def test_the_global_state_is_neither_used_nor_touched():
    for count in COUNTS:
        torch.manual_seed(0)
        first, state = standard_normals(8, [1], count), torch.get_rng_state()
        torch.manual_seed(1)
        assert torch.equal(standard_normals(8, [1], count), first)
        torch.manual_seed(0)
        assert torch.equal(torch.get_rng_state(), state)


def test_more_tables_than_are_kept_and_several_threads_at_once():
    indices = [i * noise.TABLE_DRAWS for i in range(12)]
    expected = {i: standard_normals(0, [i], TABLE)[0] for i in indices}
    wrong = []

    def draw():
        for index in indices * 3:
            if not torch.equal(standard_normals(0, [index], TABLE)[0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
