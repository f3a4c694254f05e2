"""The normals of a chip: their distribution, their independence, and what they depend on."""

import math

import pytest
import torch

from bayesft.drift import noise, standard_normals

# One block, several, and enough for threads to share.
COUNTS = [1000, noise.BLOCK + 1000, noise.SMALLEST_SHARED + 1]


@pytest.mark.parametrize("count", COUNTS)
def test_moments_and_tails(count):
    """Of 2 million normals: mean, variance, skewness, kurtosis and tails, within 5 errors."""
    values = standard_normals(5, range(max(2, 2_000_000 // count)), count).double().flatten()
    n = len(values)
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
        for lag in (1, 2, 7, 100, noise.BLOCK):
            if lag < count - 100:
                assert abs((row[lag:] * row[:-lag]).mean()) < 5 / (count - lag) ** 0.5


@pytest.mark.parametrize("count", [1000, 20_000, 100_000])
@pytest.mark.parametrize("function", [lambda z: z, torch.square, torch.exp])
def test_what_draws_have_in_common_is_nothing(count, function):
    """The mean over many draws of a sum over weights spreads as independent draws would.

    Draws that share numbers, at other weights even, would share such sums.
    """
    draws = 16
    means = torch.stack(
        [
            function(standard_normals(seed, range(draws), count).double()).mean()
            for seed in range(40)
        ]
    )
    normal = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).double()
    expected = function(normal).std().item() / math.sqrt(draws * count)
    # The spread of 40 has a relative error of 1/sqrt(80).
    assert means.std().item() == pytest.approx(expected, rel=5 / math.sqrt(80))


@pytest.mark.parametrize("count", COUNTS)
def test_a_row_is_a_function_of_seed_index_and_count_alone(count):
    together = standard_normals(1, [3, 4, 500], count)
    assert torch.equal(standard_normals(1, [500], count)[0], together[2])
    out = torch.empty(1, count)
    assert standard_normals(1, [4], count, out=out) is out
    assert torch.equal(out[0], together[1])
    threads = torch.get_num_threads()
    for number in (1, 4):
        torch.set_num_threads(number)
        try:
            again = standard_normals(1, [4, 3], count)
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(again, together[[1, 0]])
    assert not torch.equal(standard_normals(2, [4], count)[0], together[1])


@pytest.mark.parametrize("count", COUNTS)
def test_the_callers_state_is_neither_used_nor_touched(count):
    torch.manual_seed(0)
    first, state = standard_normals(8, [1], count), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(standard_normals(8, [1], count), first)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.inference_mode():
        assert torch.equal(standard_normals(8, [1], count), first)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(standard_normals(8, [1], count), first)
    finally:
        torch.set_default_dtype(torch.float32)
