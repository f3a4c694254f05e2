"""Several normals from one: their distribution, and that they are independent."""

import pytest
import torch

from bayesft.drift import standard_normals
from bayesft.drift.quantiles import BINS, piece_means
from bayesft.drift.several import MOST, several

COUNT = 1_000_000


def test_each_piece_of_the_first_is_a_point():
    """Rounding must not take a normal to the piece beside its own."""
    means = piece_means(BINS).float()
    points = several(means, MOST)
    for coordinate in points:
        assert torch.equal(coordinate.sort().values, means)


def test_over_all_points_they_are_standard_and_independent():
    points = several(piece_means(BINS).float(), MOST).double()
    assert points.mean(1).abs().max() < 1e-4
    assert (points.var(1) - 1).abs().max() < 1e-4
    for of_each in (points, points.square(), points.abs()):
        # As far as random points, whose correlations have standard errors of 1/256, would not be.
        assert (torch.corrcoef(of_each) - torch.eye(MOST)).abs().max() < 0.01
    # No normal is a function of two others, as the sum of their pieces would be.
    products = [points[i] * points[j] for i in range(MOST) for j in range(i)]
    correlations = torch.corrcoef(torch.stack([*points, *products]))
    assert (correlations - torch.eye(len(correlations))).abs().max() < 0.02


@pytest.mark.parametrize(("count", "kurtosis"), [(2, 3.018), (6, 3.163), (8, 3.312)])
def test_of_higher_moments_they_are_not_better_than_random_points(count, kurtosis):
    """Which the docstring says: sums of many of them are a little long-tailed."""
    total = several(piece_means(BINS).float(), count).double().sum(0)
    assert (total**4).mean() / (total**2).mean() ** 2 == pytest.approx(kurtosis, abs=0.002)


def test_of_a_chip_they_are_too():
    normals = several(standard_normals(3, [7], COUNT)[0], 6).double()
    bound = 5 / COUNT**0.5
    assert normals.mean(1).abs().max() < bound
    assert (normals.square().mean(1) - 1).abs().max() < 2**0.5 * bound
    assert (torch.corrcoef(normals) - torch.eye(6)).abs().max() < bound
    # Of one weight and of the next.
    shifted = torch.corrcoef(torch.cat([normals[:, 1:], normals[:, :-1]]))
    assert shifted[:6, 6:].abs().max() < bound
    for quantile in (-3.0, -1.0, 0.5, 2.0):
        below = torch.special.ndtr(torch.tensor(quantile)).item()
        found = (normals < quantile).double().mean(1)
        assert (found - below).abs().max() < 5 * (below * (1 - below) / COUNT) ** 0.5 + 1e-5


@pytest.mark.parametrize("count", [1, 2, MOST])
def test_the_first_is_the_normal_itself_whatever_it_is(count):
    normal = torch.tensor([[-40.0, -5.9, 0.0], [1e-8, 5.9, 40.0]])
    normals = several(normal, count)
    assert normals.shape == (count, 2, 3)
    assert torch.equal(normals[0], normal)
    assert torch.isfinite(normals).all()
    assert torch.equal(several(normal.T, count), normals.transpose(1, 2))
