"""The standard normals that a chip's codes stand for, and looking them up."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

BINS = 1 << 16
OUTER = 16
# Below, threads cost more than they save.
SMALLEST_SHARED = 1 << 22


def quantiles(device: torch.device) -> Tensor:
    """Return the normal of each code: float32, shape `(2 * BINS,)`. It is shared: do not write.

    The normal distribution is cut into `BINS` pieces that are equally likely, and the
    `OUTER` of them that lie furthest out, half at either end, into `BINS` finer ones. A code
    from `OUTER` to `BINS - 1` is one of the inner pieces, from below to above, one from
    `BINS` on a finer one. No chip has a code below `OUTER`, which says that a finer one is
    to be drawn; its normal is nan.

    A piece is told by its mean. So the mean over the codes is 0 and the variance 1 within
    1e-6, a distribution function is off by at most half a piece, 8e-6, and the
    furthest normals are at -5.9 and 5.9.
    """
    return _quantiles(str(device))


# For each device that chips are read on.
@lru_cache(maxsize=16)
def _quantiles(device: str) -> Tensor:
    # Others may want to compute with it.
    with torch.inference_mode(False), torch.no_grad():
        ends = OUTER // 2 / BINS
        none = torch.full((OUTER,), math.nan, dtype=torch.float64, device="cpu")
        inner = _means_below_0(ends, 1 / BINS)
        outer = _means_below_0(0.0, OUTER / BINS / BINS, upto=ends)
        pieces = [none, inner, -inner.flip(0), outer, -outer.flip(0)]
        return torch.cat(pieces).float().to(device)


def piece_means(count: int) -> Tensor:
    """Return the means of `count` equally likely pieces of the normal distribution, in order.

    Args:
        count: even.

    Returns:
        float64, on the CPU.
    """
    below = _means_below_0(0.0, 1 / count)
    return torch.cat([below, -below.flip(0)])


def _means_below_0(first: float, each: float, *, upto: float = 0.5) -> Tensor:
    """Return the means of the pieces of probability `each` between two probabilities.

    That of a normal between a and b is (phi(a) - phi(b)) / P(a < z < b), with phi its density.
    """
    count = round((upto - first) / each)
    below = first + each * torch.arange(count + 1, dtype=torch.float64, device="cpu")
    edges = torch.special.ndtri(below)
    density = torch.exp(-edges.square() / 2) / math.sqrt(2 * math.pi)
    return (density[:-1] - density[1:]) / each


def look_up(table: Tensor, codes: Tensor, out: Tensor) -> None:
    """Write what `table` has for each code.

    Args:
        table: 1-d.
        codes: int32, below the table's length; contiguous.
        out: of the table's type and the codes' shape; contiguous.
    """
    codes, out = codes.view(-1), out.view(-1)
    threads = torch.get_num_threads()
    if out.device.type != "cpu" or threads < 2 or len(out) < SMALLEST_SHARED:
        torch.index_select(table, 0, codes, out=out)
        return

    # PyTorch looks one row up on one core, and lets go of the interpreter meanwhile.
    def some(part: tuple[Tensor, Tensor]) -> None:
        torch.index_select(table, 0, part[0], out=part[1])

    share = -(-len(out) // threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, zip(codes.split(share), out.split(share), strict=True)))
