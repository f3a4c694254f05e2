"""The numbers of a chip: their distribution, their independence, and what they depend on."""

import hashlib
import math

import pytest
import torch

from bayesft.drift import noise, standard_normals
from bayesft.drift.noise import fill_codes
from bayesft.drift.quantiles import BINS, OUTER, SMALLEST_SHARED, look_up, quantiles

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("either_way")
# One block, several, and enough for threads to share.
COUNTS = [1000, noise.BLOCK + 1001, SMALLEST_SHARED + 1]


def codes(chips, count, *, start=0):
    found = torch.empty(len(chips), count, dtype=torch.int32)
    fill_codes(found, chips, start=start)
    return found


@pytest.mark.parametrize("count", COUNTS)
def test_moments_and_tails(count):
    """Of 2 million normals: mean, variance, skewness, kurtosis and tails, within 5 errors."""
    values = standard_normals(5, range(max(2, 2_000_000 // count)), count).double().flatten()
    n = len(values)
    assert abs(values.mean()) < 5 / n**0.5
    assert abs(values.square().mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs(values.pow(3).mean()) < 5 * (15 / n) ** 0.5
    assert abs(values.pow(4).mean() - 3) < 5 * (96 / n) ** 0.5
    for beyond in (2.0, 3.0, 4.0, 4.5):
        probability = math.erfc(beyond / 2**0.5)
        error = (probability / n) ** 0.5
        assert abs((values.abs() > beyond).double().mean() - probability) < 5 * error


def test_all_pieces_are_equally_likely():
    """Of 16 million codes, and of the finer pieces among them: chi-squared within 5 errors."""
    found = codes([(1, k) for k in range(64)], 1 << 18).flatten()
    assert found.min() >= OUTER
    assert found.max() < 2 * BINS
    inner = torch.bincount(found[found < BINS], minlength=BINS)[OUTER:].double()
    # About 4100 of them, and so in 64 groups.
    finer = torch.bincount((found[found >= BINS] - BINS) // (BINS // 64), minlength=64).double()
    for counts, expected in (
        (inner, len(found) / BINS),
        (finer, len(found) * OUTER / BINS / 64),
    ):
        chi = ((counts - expected) ** 2 / expected).sum().item()
        assert abs(chi - len(counts)) < 5 * (2 * len(counts)) ** 0.5


@pytest.mark.parametrize("count", COUNTS)
def test_draws_and_weights_are_uncorrelated(count):
    rows = standard_normals(0, [*range(6), 1000, 2000], count)
    rows = torch.cat([rows, standard_normals(1, [0, 1], count)]).double()
    between = torch.corrcoef(rows) - torch.eye(len(rows))
    assert between.abs().max() < 5 / count**0.5
    for row in rows:
        for lag in (1, 2, 3, 4, 7, 100, noise.BLOCK):
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


def test_a_chip_is_what_it_was():
    """On another machine and in years: chips of earlier runs are met again."""
    found = codes([(3, 17), (0, 0)], 100_003)
    assert found[0, :4].tolist() == [43675, 61402, 64756, 21798]
    assert hashlib.sha256(found.numpy().astype("<i4").tobytes()).hexdigest() == (
        "522e3386f6da14277d37945e4b747cb5f7bbd6b4df49140ac3ec46373a6b161f"
    )


@pytest.mark.parametrize("count", COUNTS)
def test_a_number_is_a_function_of_seed_index_and_place_alone(count):
    together = standard_normals(1, [3, 4, 500], count)
    assert torch.equal(standard_normals(1, [500], count)[0], together[2])
    assert torch.equal(standard_normals(1, [500], count - 3)[0], together[2, :-3])
    threads = torch.get_num_threads()
    for number in (1, 4):
        torch.set_num_threads(number)
        try:
            again = standard_normals(1, [4, 3], count)
        finally:
            torch.set_num_threads(threads)
        assert torch.equal(again, together[[1, 0]])
    assert not torch.equal(standard_normals(2, [4], count)[0], together[1])


@pytest.mark.parametrize("start", [0, 4, 100_000, noise.BLOCK])
def test_any_part_of_a_chip_is_made_without_the_rest(start):
    whole = codes([(2, 5), (2, 6)], start + 70_001)
    assert torch.equal(codes([(2, 5), (2, 6)], 70_001, start=start), whole[:, start:])


@pytest.mark.parametrize("count", [3, 70_001, noise.BLOCK + 5])
def test_a_gpus_way_gives_the_same_codes(monkeypatch, by_pytorch, count):
    """Without looking which codes are to be made finer, in larger blocks."""
    chips = [(0, 8), (0, 9)]
    expected = codes(chips, count, start=8)
    monkeypatch.setattr(noise, "_refine_few", noise._refine)
    monkeypatch.setattr(noise, "BLOCK", noise._GPU_BLOCK)
    assert torch.equal(codes(chips, count, start=8), expected)
    assert count < 70_000 or (expected >= BINS).any()


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


def test_no_chips_have_no_numbers():
    assert standard_normals(0, [], 5).shape == (0, 5)


def test_the_pieces_make_a_normal_distribution():
    table = quantiles(CPU)
    assert table[:OUTER].isnan().all()
    normals = table[OUTER:].double()
    likely = torch.full_like(normals, 1 / BINS)
    likely[BINS - OUTER :] = OUTER / BINS / BINS
    assert likely.sum() == 1
    assert (likely * normals).sum().abs() < 1e-12
    assert (likely * normals.square()).sum() == pytest.approx(1, abs=1e-6)
    assert (likely * normals.pow(4)).sum() == pytest.approx(3, abs=1e-5)
    # What drift makes of weights, and of their squares.
    for sigma in (0.3, 0.9, 1.5):
        assert (likely * (sigma * normals).exp()).sum() == pytest.approx(
            math.exp(sigma**2 / 2), rel=1e-5
        )
    order = normals.argsort()
    below = likely[order].cumsum(0) - likely[order] / 2
    assert (torch.special.ndtr(normals[order]) - below).abs().max() < 1e-5
    assert normals.max() == -normals.min()
    assert 5.8 < normals.max() < 6


@pytest.mark.parametrize("count", [1, 1000, SMALLEST_SHARED + 3])
def test_looking_up(count):
    table = torch.randn(2 * BINS, dtype=torch.float64)
    found, out = codes([(0, 0), (0, 1)], count), torch.empty(2, count, dtype=torch.float64)
    look_up(table, found, out)
    assert torch.equal(out, table[found.long()])
