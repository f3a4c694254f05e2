"""The Monte-Carlo estimate of a score under drift."""

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bayesft.drift import Chip, Drift, DriftingWeights, check_network
from bayesft.errors import SettingError
from bayesft.robustness.adaptive import draw_until, mean_of_finite
from bayesft.robustness.amount import check_amounts, check_score, check_sigmas
from bayesft.robustness.backends import AUTO, check_backend
from bayesft.robustness.curve import Curve
from bayesft.robustness.errors import PrecisionWarning, ScoreWarning
from bayesft.robustness.images import ImagePool, draw_indices
from bayesft.robustness.memory import keep_freed_memory
from bayesft.robustness.point import CurvePoint
from bayesft.robustness.sampler import Requests, Sampler
from bayesft.robustness.score import Score, accuracy
from bayesft.robustness.sequential import FOLDS
from bayesft.robustness.sharing import check_shared
from bayesft.undisturbed import in_eval_mode, seeded

DRAWS = 100
IMAGES_PER_DRAW = 100
MAX_DRAWS = 10_000


def evaluate(
    model: nn.Module,
    batches: DataLoader | Dataset | Iterable[Any],
    drift: Drift,
    sigmas: Sequence[float],
    draws: int | None = None,
    *,
    images_per_draw: int | None = None,
    target_stderr: float | None = None,
    max_draws: int | None = None,
    max_images: int | None = None,
    seed: int = 0,
    score: Score = accuracy,
    worst_score: float = 0.0,
    best_score: float = 1.0,
    prepare: Callable[[Any], Any] | None = None,
    backend: str = AUTO,
    distributed: bool = False,
) -> Curve:
    r"""Estimate the expected score of `model` under drift, at each sigma.

    .. math:: \hat u(\sigma) = \frac1K \sum_{k=1}^K s(\theta'_k, B_k), \qquad
              \theta'_k = \text{drift}(\theta, z_k, \sigma)

    with K draws :math:`z_k` (chips) and a fresh batch :math:`B_k` of images for
    each. Nearly all of the variance is between chips, so many draws with few
    images each cost far less for the same error than the whole set per draw.
    Chip k and batch k are functions of (seed, k) alone, and serve every sigma and
    every model: common random numbers, which make differences between models
    and between sigmas much surer than the values themselves. Chip k is
    `bayesft.drift.Chip(seed, k)`, whatever the backend, the number of processes or
    the device.

    The estimand is the mean over all chips and the images of this set: the standard error
    does not hold how the network would do on other images.

    There are two ways to say how much to do:

    - `draws`, and `images_per_draw` in each: the same work each time, and on a CPU
      the same numbers to the bit.
    - `target_stderr`: draw until the standard error is that small at each sigma. A
      pilot, which does not enter the estimate, measures the variance between draws
      and within them and the time of a draw and of an image, and chooses how many
      images a draw has: for each sigma, or one number for all that are scored
      together. Then independent folds are drawn, and the *others* say when a fold
      has enough (see `sequential`): so the mean is unbiased whatever the pilot says
      and whenever it stops. Because of the times, which are those of a process's first
      evaluation of a network, the number of images can differ from run to run; give
      `images_per_draw` as well to have the same numbers each time.

    Of a network with more than 16 million drifting numbers there are two copies
    meanwhile, the clean weights and the drifted ones: its chips' numbers are made in
    windows, again for each sigma, which takes 3 ns a number on one core, drift included (with
    the extra `fast` and log-normal drift of float32 under 1).

    The weights come back to the bit; the train/eval mode of every module, its buffers and the
    global random states are left as found (but glibc, if it is the C library, keeps up to
    62 MiB of freed memory from then on; see `memory`). Inside, the model is in eval mode
    and the random states are seeded, so that a model that is random in eval
    mode gives the same numbers again. `torch.autocast` around the call is honoured.

    Args:
        model: any module, on any device.
        batches: where images come from: a DataLoader (its order is not used), a
            map-style data set, or an iterable of batches (held in memory).
        drift: what happens to a weight.
        sigmas: strengths, each finite and not negative, in any order.
        draws: K, at least 1; 2 or more give a standard error. 100 by default.
        images_per_draw: images in each :math:`B_k`, at least 1. 100 by default, or
            what a pilot finds best for `target_stderr`.
        target_stderr: the standard error to reach at each sigma, in place of `draws`.
        max_draws: with `target_stderr`, at most so many draws at a sigma; at least 16.
            10,000 by default.
        max_images: with `target_stderr`, at most so many images at a sigma, over all
            of its draws, the pilot's apart; at least 16. No limit by default.
        seed: of chips and images; an integer, 0 or larger.
        score: a function of (model, batch), larger is better; see `Score`.
        worst_score: the lowest score that there is, finite: what a draw with a non-finite
            score counts as. With a value for each image, one that is not finite makes it so:
            give `images_per_draw` then, since more images find more of them.
        best_score: the highest score that there is, or a lower one if there is none. How far
            scores that all agree may be off is told by the two.
        prepare: what each batch goes through before it is scored; by default it is
            moved to the model's device, and a `TensorDataset` that a GPU has ample room
            for is copied there as a whole, once as many images were asked for.
        backend: `in_place` (one draw after the other, any network), `vmap` (many at
            once, on a GPU of all sigmas), or `auto`: the first on a CPU (but the second for
            the accuracy of a small network of linear layers and others that remember
            nothing, if draws have at most 256 images), for so large a network and under
            autocast, else the faster one for so many draws.
        distributed: divide the draws over the processes of `torch.distributed`; each
            gets the whole curve, the same as one process's (but, where draws are scored
            together, for how logits are rounded).

    Returns:
        A `Curve` in increasing order of sigma.

    Raises:
        SettingError: a setting has a value that it cannot have, or there are no images.

    Warns:
        PrecisionWarning: the limits left a standard error above the target, or, about
            once in 500 times, the folds disagreed by so much; the curve says so too
            (`curve.reached`, which also asks that no more than the target could be unseen).
        ScoreWarning: scores are below `worst_score`, and others, not finite, counted as the
            lowest of them; or all are the worst, and weights are not finite.

    Example:
        >>> images, labels = torch.rand(64, 4), torch.randint(0, 3, (64,))
        >>> curve = evaluate(nn.Linear(4, 3), [(images, labels)], LogNormalDrift(), [0.3, 0.6])
        >>> curve.sigmas
        (0.3, 0.6)

    Source: the objective of Ye et al., arXiv 2210.01795; the released code
    scores each draw on the whole set, which is the same estimand at a higher cost.
    """
    strengths = check_sigmas(drift, sigmas)
    draws, images_per_draw, target_stderr, max_draws, max_images = check_amounts(
        draws, images_per_draw, target_stderr, max_draws, max_images
    )
    check_network(model)
    check_backend(backend)
    check_shared(distributed)
    if not callable(score):
        raise SettingError(
            "Expected `score` to be a function of (model, batch) such as accuracy, but got "
            f"{score!r}."
        )
    for name, value in (("worst_score", worst_score), ("best_score", best_score)):
        check_score(name, value)
    if worst_score > best_score:
        raise SettingError(
            f"Expected `worst_score` to be at most `best_score`, but got {worst_score} and "
            f"{best_score}. A larger score is better: negate one that is to be small."
        )
    count = (draws or DRAWS) if target_stderr is None else None
    # What a seed may be, a chip says.
    seed = Chip(seed, 0).seed
    keep_freed_memory()
    # Not in inference mode, whose tensors no parameter can look at, and no other thread fill.
    # A network may be another one in eval mode: its weights are looked at there.
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        in_eval_mode(model),
        DriftingWeights(model, drift) as weights,
        seeded(weights.device, seed),
    ):
        device = weights.device
        sampler = Sampler(
            model,
            weights,
            # Hooks are handed what a loop hands them.
            ImagePool(batches, device=device, resident=prepare is None),
            score,
            prepare=prepare,
            seed=seed,
            backend=backend,
            distributed=distributed,
            draws=None if count is None else count * len(strengths),
        )
        if count is not None:
            images = min(images_per_draw or IMAGES_PER_DRAW, sampler.pool.total)
            rows, variances = _draw(sampler, strengths, count, images)
            sizes = [images] * len(strengths)
        else:
            rows, variances, sizes = draw_until(
                sampler,
                strengths,
                target=target_stderr,
                images_per_draw=images_per_draw,
                max_draws=max_draws or MAX_DRAWS,
                max_images=max_images,
                worst=worst_score,
                best=best_score,
            )
    total = sampler.pool.total
    # Of images that are drawn without replacement.
    noise = [v / m * (1 - m / total) for v, m in zip(variances, sizes, strict=True)]
    curve = _curve(
        strengths,
        rows,
        sizes,
        noise,
        worst=_worst_of(rows, worst_score),
        best=best_score,
        seed=seed,
        target_stderr=target_stderr,
        drift=repr(drift),
    )
    if not curve.reached:
        _warn_of_precision(curve, max_draws=max_draws or MAX_DRAWS, max_images=max_images)
    if any(point.mean == point.worst == worst_score for point in curve.points):
        _warn_of_weights(model)
    return curve


def _draw(
    sampler: Sampler, sigmas: tuple[float, ...], draws: int, images: int
) -> tuple[list[list[float | None]], list[float]]:
    """Return the draws' scores, and the mean variance between their images, at each sigma."""
    total, seed = sampler.pool.total, sampler.seed
    places = draw_indices(range(draws), images=images, total=total, seed=seed)
    [rows] = sampler([Requests(range(draws), sigmas, places)])
    scores, variances = rows.permute(2, 1, 0)
    return scores.tolist(), [mean_of_finite(row) for row in variances.tolist()]


def _worst_of(rows: Sequence[Sequence[float | None]], worst: float) -> float:
    """Return `worst`, or, with a warning if it matters, the lowest score if that is lower."""
    scores = [score for row in rows for score in row if score is not None]
    finite = [score for score in scores if math.isfinite(score)]
    lowest = min(finite, default=worst)
    if lowest < worst and len(finite) < len(scores):
        warnings.warn(
            f"{len(scores) - len(finite)} scores were not finite and count as {lowest:.4g}, the "
            f"lowest of the others, which is below `worst_score={worst:g}`. Give as "
            "`worst_score` the lowest score that still means something.",
            ScoreWarning,
            stacklevel=3,
        )
    return min(lowest, worst)


def _curve(
    sigmas: Sequence[float],
    rows: Sequence[Sequence[float | None]],
    images: Sequence[int],
    noise: Sequence[float],
    *,
    worst: float,
    best: float,
    seed: int,
    target_stderr: float | None,
    drift: str,
) -> Curve:
    strata = 1 if target_stderr is None else FOLDS
    points, scores = [], []
    for sigma, row, size, own in zip(sigmas, rows, images, noise, strict=True):
        there = [score for score in row if score is not None]
        finite = [score if score is None or math.isfinite(score) else float(worst) for score in row]
        points.append(
            CurvePoint.from_scores(
                sigma,
                finite,
                images=size * len(there),
                nonfinite=sum(not math.isfinite(score) for score in there),
                strata=strata,
                worst_score=worst,
                best_score=best,
                image_variance=own,
            )
        )
        scores.append(tuple(finite))
    return Curve(tuple(points), tuple(scores), seed, strata, target_stderr, drift)


def not_finite(model: nn.Module) -> list[str]:
    """Return the names of the parameters that hold numbers that are none, or infinite ones."""
    named = dict(model.named_parameters())
    # Of each device at once: a GPU would be waited for as often as there are parameters.
    finite: dict[torch.device, list[Tensor]] = defaultdict(list)
    for weight in named.values():
        finite[weight.device].append(weight.isfinite().all())
    answers = {device: iter(torch.stack(own).cpu().tolist()) for device, own in finite.items()}
    return [name for name, weight in named.items() if not next(answers[weight.device])]


def _warn_of_weights(model: nn.Module) -> None:
    """Warn if there are weights that are no numbers: of such a network no answer is right."""
    if broken := not_finite(model):
        warnings.warn(
            f"The weights of {type(model).__name__} are not finite without drift "
            f"({', '.join(broken[:3])}): its training diverged, and the scores say nothing.",
            ScoreWarning,
            stacklevel=3,
        )


def _warn_of_precision(curve: Curve, *, max_draws: int, max_images: int | None) -> None:
    missed = curve.missed
    worst = max(missed, key=lambda point: max(point.stderr, point.unseen))
    # The limits are met in whole rounds of all folds.
    each = worst.images // worst.draws
    limit = min(max_draws, (max_images or math.inf) // each)
    if worst.draws > limit - FOLDS:
        remedy = (
            "Take what was reached, or call `evaluate` with larger `max_draws` and `max_images`; "
            f"commands stop at {MAX_DRAWS:,} draws."
        )
    else:
        remedy = "The folds disagreed by more than is usual: take it, or ask for a little less."
    unseen = ""
    if not worst.unseen <= curve.target_stderr:
        unseen = f", and {worst.unseen:.3g} could be unseen,"
    warnings.warn(
        f"`target_stderr={curve.target_stderr:g}` was not reached at {len(missed)} of "
        f"{len(curve.points)} sigmas: at sigma {worst.sigma:g} the standard error is "
        f"{worst.stderr:.3g}{unseen} after {worst.draws} draws and {worst.images} images. {remedy}",
        PrecisionWarning,
        stacklevel=3,
    )
