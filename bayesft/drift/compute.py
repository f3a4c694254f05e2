"""What drift makes of weights, written to memory that is given."""

from collections.abc import Sequence

from torch import Tensor

from bayesft.drift.base import Drift
from bayesft.drift.stream import Reader

# Weights of each draw whose drift is computed at once, so that what is in between
# stays in the cache.
_BLOCK = 1 << 18


def drift_rows(drift: Drift, outs: Tensor, clean: Tensor, normals: Tensor, sigma: float) -> None:
    """Write one row of drifted weights for each row of normals.

    Args:
        drift: elementwise.
        outs: shape `(draws, count)` or `(count,)`.
        clean: shape `(count,)`, of the type of `outs`.
        normals: of the shape of `outs`.
        sigma: the strength.
    """
    blocks = [each.split(_BLOCK, -1) for each in (outs, clean, normals)]
    for out, weight, normal in zip(*blocks, strict=True):
        drift.into(out, weight.expand(normal.shape), normal, sigma)


def drift_parameters(
    drift: Drift, outs: Sequence[Tensor], clean: Sequence[Tensor], normals: Reader, sigma: float
) -> None:
    """Write the drifted weights of one draw, one parameter after the other.

    Of a drift that is not elementwise, and of parameters that are not one piece of
    memory in their own order, a whole parameter's normals are held at a time.

    Args:
        drift: any.
        outs: of the shapes of `clean`; of another type, what is written is rounded to it.
        clean: the parameters.
        normals: of all parameters, in their order.
        sigma: the strength.
    """
    for out, weight in zip(outs, clean, strict=True):
        size = weight.numel()
        flat = weight.is_contiguous() and out.is_contiguous() and weight.dtype == out.dtype
        if drift.elementwise and flat:
            start, out, weight = 0, out.view(-1), weight.view(-1)
            for piece in normals.pieces(size):
                part = slice(start, start + len(piece))
                drift_rows(drift, out[part], weight[part], piece, sigma)
                start = part.stop
        else:
            out.copy_(drift(weight, normals.read(size).view(weight.shape), sigma))
