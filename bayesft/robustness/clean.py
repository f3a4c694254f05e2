"""The score without drift, on every image."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from bayesft.errors import SettingError
from bayesft.robustness.batches import batch_length, to_device
from bayesft.robustness.score import Score, accuracy
from bayesft.undisturbed import in_eval_mode, seeded


def clean_score(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    score: Score = accuracy,
    prepare: Callable[[Any], Any] | None = None,
) -> float:
    """Return the mean score over the images of `batches`, in eval mode.

    Model, mode and random state are as before afterwards.

    Args:
        model: any network, on one device.
        batches: each image once, such as a DataLoader that drops none.
        score: a function of (model, batch); see `bayesft.robustness.score`.
        prepare: what a batch goes through first; the model's device by default.

    Raises:
        SettingError: there are no images.
    """
    total, images = 0.0, 0

    def see(batch: Any) -> None:
        nonlocal total, images
        length = batch_length(batch)
        # A score for the whole batch counts for each of its images.
        total += float(score(model, batch).cpu().double().mean()) * length
        images += length

    clean_visit(model, batches, see, prepare=prepare)
    if images == 0:
        raise SettingError("`clean_score` was given no images. Check the data set's split sizes.")
    return total / images


def clean_visit(
    model: nn.Module,
    batches: Iterable[Any],
    see: Callable[[Any], None],
    *,
    prepare: Callable[[Any], Any] | None = None,
) -> None:
    """Call `see` with each batch, on the model's device, while the model is in eval mode.

    Model, mode and random state are as before afterwards; no gradients are kept.

    Args: see `clean_score`.
    """
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    device = torch.device("cpu") if first is None else first.device
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        in_eval_mode(model),
        seeded(device, seed=0),
    ):
        for batch in batches:
            see(prepare(batch) if prepare else to_device(batch, device))
