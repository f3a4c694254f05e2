"""The Monte-Carlo estimate of a score under drift."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bayesft.drift import Chip, Drift, check_sigma, preserved, write_drifted
from bayesft.errors import SettingError
from bayesft.robustness.curve import Curve, CurvePoint
from bayesft.robustness.images import batch_length, draw_batches, to_device
from bayesft.robustness.score import Score, accuracy


def evaluate(
    model: nn.Module,
    batches: DataLoader | Dataset | Iterable[Any],
    drift: Drift,
    sigmas: Sequence[float],
    draws: int = 100,
    *,
    images_per_draw: int = 100,
    seed: int = 0,
    score: Score = accuracy,
    worst_score: float = 0.0,
) -> Curve:
    r"""Estimate the expected score of `model` under drift, at each sigma.

    .. math:: \hat u(\sigma) = \frac1K \sum_{k=1}^K s(\theta'_k, B_k), \qquad
              \theta'_k = \text{drift}(\theta, z_k, \sigma)

    with K draws :math:`z_k` (chips) and a fresh batch :math:`B_k` of images for
    each. Nearly all of the variance is between chips, so many draws with few
    images each cost far less for the same error than the whole set per draw.
    Chip k and batch k are functions of (seed, k) alone, and serve every sigma and
    every model: common random numbers, which make differences between models
    and between sigmas much surer than the values themselves.

    The weights come back to the bit; the train/eval mode of every module and the
    global random state are left as found. Inside, the model is in eval mode
    and the global random state is seeded, so that a model that is random in eval
    mode gives the same numbers again.

    Args:
        model: any module, on any device.
        batches: where images come from: a DataLoader, a map-style data set, or an
            iterable of batches (held in memory).
        drift: what happens to a weight.
        sigmas: strengths, each finite and not negative, in any order.
        draws: K, at least 1; 2 or more give a standard error.
        images_per_draw: images in each :math:`B_k`, at least 1.
        seed: of chips and images.
        score: a function of (model, batch), larger is better; see `Score`.
        worst_score: what a draw with a non-finite score counts as.

    Returns:
        A `Curve` in increasing order of sigma.

    Raises:
        SettingError: a setting has a value that it cannot have, or there are no images.

    Example:
        >>> images, labels = torch.rand(64, 4), torch.randint(0, 3, (64,))
        >>> curve = evaluate(nn.Linear(4, 3), [(images, labels)], LogNormalDrift(), [0.3, 0.6])
        >>> curve.sigmas
        (0.3, 0.6)

    Source: the objective of Ye et al., arXiv 2210.01795; the released code
    scores each draw on the whole set, which is the same estimand at a higher cost.
    """
    strengths = _check_sigmas(sigmas)
    draws = check_count("draws", draws)
    images_per_draw = check_count("images_per_draw", images_per_draw)
    parameters = drift.parameters(model)
    device = next(iter(parameters.values())).device
    # Apple's GPUs know no float64.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    scores: list[list[Tensor]] = [[] for _ in strengths]
    images = 0
    with undisturbed(model, device, seed), torch.no_grad(), preserved(parameters) as clean:
        stream = draw_batches(batches, draws=draws, images=images_per_draw, seed=seed)
        for k, batch in enumerate(stream):
            images += batch_length(batch)
            batch = to_device(batch, device)
            normals = Chip(seed, k).normals(clean)
            for row, sigma in zip(scores, strengths, strict=True):
                write_drifted(parameters, clean, normals, drift, sigma)
                row.append(score(model, batch).mean(dtype=dtype))
    table = torch.stack([torch.stack(row) for row in scores]).cpu().double()
    return _curve(strengths, table, images=images, worst=worst_score, seed=seed)


def check_count(name: str, value: int) -> int:
    """Return `value`; raise `SettingError` unless it is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(f"Expected `{name}` to be an integer of at least 1, but got {value!r}.")
    return value


def _check_sigmas(sigmas: Sequence[float]) -> list[float]:
    strengths = sorted({check_sigma(sigma) for sigma in sigmas})
    if not strengths:
        raise SettingError("Expected `sigmas` to name at least one strength, but got none.")
    return strengths


@contextmanager
def undisturbed(model: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Put `model` in eval mode under a seeded global state, and leave both as found."""
    modes = [(module, module.training) for module in model.modules()]
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training


def _curve(
    sigmas: Sequence[float], scores: Tensor, *, images: int, worst: float, seed: int
) -> Curve:
    finite = torch.isfinite(scores)
    rows = torch.where(finite, scores, torch.full_like(scores, worst)).tolist()
    points = tuple(
        CurvePoint.from_scores(sigma, row, images=images, nonfinite=int(bad))
        for sigma, row, bad in zip(sigmas, rows, (~finite).sum(dim=1), strict=True)
    )
    return Curve(points, tuple(tuple(row) for row in rows), seed)
