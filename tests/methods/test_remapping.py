"""Places on a chip: what it harms to be stuck, and that remapping makes it less."""

import itertools

import pytest
import torch

from bayesft.drift import StuckAtDrift
from bayesft.methods.remapping import faults, harm_of, harms, remapped

DRIFT = StuckAtDrift()


def matrix(seed: int, outputs: int = 3, inputs: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight, slope = torch.randn(2, outputs, inputs, generator=generator)
    return harms(weight, slope.abs())


def chip(seed: int, columns: int = 3, inputs: int = 4, sigma: float = 0.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)
    return faults(*DRIFT.cells(torch.randn(columns, inputs, generator=generator), sigma))


def in_order(harm: torch.Tensor, fault: torch.Tensor) -> float:
    outputs, inputs = harm.shape[1:]
    return harm_of(harm, fault, torch.arange(outputs), torch.arange(inputs))


def test_the_harm_is_the_slope_times_what_a_weight_moves_by():
    weight = torch.tensor([[1.0, -3.0]])
    slope = torch.tensor([[2.0, 0.5]])
    # At -3, at 0 (the significance), and at 3.
    assert harms(weight, slope).tolist() == [[[8, 0]], [[2, 1.5]], [[4, 3]]]


def test_the_harm_of_places_is_that_of_the_drift_itself():
    """What stands in the cells, moved by what the drift makes of it."""
    generator = torch.Generator().manual_seed(3)
    weight, slope = torch.randn(2, 5, 6, generator=generator).abs()
    normals = torch.randn(7, 6, generator=generator)
    columns, rows = torch.tensor([6, 0, 3, 1, 5]), torch.tensor([5, 0, 3, 1, 4, 2])
    found = harm_of(harms(weight, slope), faults(*DRIFT.cells(normals, 0.5)), columns, rows)
    moved = DRIFT(weight, normals[columns][:, rows], 0.5) - weight
    assert found == pytest.approx((slope * moved.abs()).sum().item(), rel=1e-6)
    assert found > 0


def test_remapping_lowers_the_harm_and_spare_columns_lower_it_further():
    kept, spared, before = [], [], []
    for seed in range(30):
        harm, fault = matrix(seed, 6, 8), chip(seed, 9, 8)
        before.append(in_order(harm, fault[:, :6]))
        kept.append(harm_of(harm, fault, *remapped(harm, fault[:, :6])))
        spared.append(harm_of(harm, fault, *remapped(harm, fault)))
    assert all(a <= b for a, b in zip(kept, before, strict=True))
    assert all(a <= b for a, b in zip(spared, kept, strict=True))
    assert sum(kept) < 0.6 * sum(before)
    assert sum(spared) < 0.6 * sum(kept)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_order_of_rows_alone_or_columns_alone_is_better(seed):
    harm, fault = matrix(seed), chip(seed, columns=4)
    columns, rows = remapped(harm, fault)
    found = harm_of(harm, fault, columns, rows)
    for each in itertools.permutations(range(4), 3):
        assert harm_of(harm, fault, torch.tensor(each), rows) >= found - 1e-9
    for each in itertools.permutations(range(4)):
        assert harm_of(harm, fault, columns, torch.tensor(each)) >= found - 1e-9


def test_each_output_and_input_has_a_place_of_its_own():
    columns, rows = remapped(matrix(0, 20, 30), chip(0, 25, 30))
    assert len(set(columns.tolist())) == 20
    assert set(columns.tolist()) <= set(range(25))
    assert sorted(rows.tolist()) == list(range(30))


def test_without_faults_nothing_moves():
    columns, rows = remapped(matrix(0), chip(0, columns=5, sigma=0.0))
    assert columns.tolist() == [0, 1, 2]
    assert rows.tolist() == [0, 1, 2, 3]


def test_weights_that_are_no_numbers_find_places():
    harm = harms(torch.tensor([[torch.nan, 1.0], [torch.inf, 2.0]]), torch.ones(2, 2))
    columns, rows = remapped(harm, chip(0, 2, 2, sigma=1.0))
    assert (sorted(columns.tolist()), sorted(rows.tolist())) == ([0, 1], [0, 1])
