"""Which of a chip's cells hold a matrix, so that what its stuck cells harm is little.

Glossary: a matrix has o outputs × i inputs. The chip holds inputs in rows and outputs in
columns; it has c ≥ o columns, of which c - o are spare, and i rows. What a cell is stuck at
is one of L = 3 levels: -1, 0 or 1 times the largest magnitude of the matrix.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

LEVELS = (-1.0, 0.0, 1.0)

# Of the harm. Below it, an improvement may be the rounding of sums.
_LEAST = 1e-9


def harms(weight: Tensor, slope: Tensor) -> Tensor:
    r"""Return what it harms each weight to be stuck at each level, float64, L × o × i.

    .. math:: h_{l,oi} = |\partial L / \partial W_{oi}| \, |l \max |W| - W_{oi}|

    is to first order how far the loss moves; at level 0 it is the weight's significance,
    :math:`|W \, \partial L / \partial W|`.

    Args:
        weight: W, o × i.
        slope: the magnitudes of the loss's derivatives, o × i.
    """
    weight, slope = weight.double().cpu(), slope.double().cpu()
    largest = weight.abs().amax()
    harm = torch.stack([slope * (level * largest - weight).abs() for level in LEVELS])
    # Of a training that has diverged, any places are as good as any others.
    return torch.nan_to_num(harm, nan=0.0, posinf=0.0)


def faults(stuck: Tensor, level: Tensor) -> Tensor:
    """Return at which cells a chip is stuck at each level, float64 of 0 and 1, L × c × i.

    Args:
        stuck: a mask, c × i.
        level: of the stuck cells, c × i.
    """
    return torch.stack([stuck & (level == each) for each in LEVELS]).double().cpu()


def harm_of(harm: Tensor, fault: Tensor, columns: Tensor, rows: Tensor) -> float:
    """Return the harm of all weights, where output k is in `columns[k]`, input k in `rows[k]`."""
    return (harm * fault[:, columns][:, :, rows]).sum().item()


def remapped(harm: Tensor, fault: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column of each output and the row of each input.

    Outputs are assigned to columns such that the harm is as small as the rows allow,
    then inputs to rows, in turn, until neither helps any more; first to the columns that
    the matrix came with, then to the spare ones as well. So the harm is never larger than
    in the order that the matrix came in, nor with spare columns than without.

    Args:
        harm: of `harms`.
        fault: of `faults`.

    Returns:
        int64, of shapes `(o,)` and `(i,)`, on the CPU.
    """
    outputs, inputs = harm.shape[1:]
    columns, rows = torch.arange(outputs), torch.arange(inputs)
    for available in sorted({outputs, fault.shape[1]}):
        helped = True
        while helped:
            cells = fault[:, :available][:, :, rows]
            columns, helped = _assigned(harm @ cells.transpose(1, 2), columns)
            cells = fault[:, columns]
            rows, also = _assigned(harm.transpose(1, 2) @ cells, rows)
            helped = helped or also
    return columns, rows


def _assigned(costs: Tensor, places: Tensor) -> tuple[Tensor, bool]:
    """Return the cheapest places and whether they are cheaper than `places`; else `places`.

    Args:
        costs: of each item at each place, L × items × places.
        places: of the items, as they are.
    """
    cost = costs.sum(0)
    items, found = map(torch.from_numpy, linear_sum_assignment(cost.numpy()))
    before, after = cost[items, places].sum(), cost[items, found].sum()
    return (found, True) if after < before * (1 - _LEAST) else (places, False)
