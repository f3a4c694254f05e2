"""What a network is scored by: functions of (model, batch)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.robustness.batches import form_of

Score = Callable[[nn.Module, Any], Tensor]
"""A score takes the model and a batch, and returns one value per image, shape
`(images,)`, or one value for the whole batch, a 0-d tensor. Larger is better. It should
depend on nothing else: how often it is called, and in which order, is the backend's affair."""


def name_of(score: Score) -> str:
    """Return what tells one score from another, or from a copy of itself that does the same."""
    return getattr(score, "__qualname__", type(score).__name__)


def accuracy(model: nn.Module, batch: Any) -> Tensor:
    """Score 1 for each image whose largest logit is its label's, else 0.

    An image whose largest logit is NaN or infinite counts as wrong: a network whose
    outputs overflow has given no answer.

    Args:
        model: maps images to logits of shape `(images, classes)`.
        batch: `(images, labels)`, labels of shape `(images,)`.

    Returns:
        float32, shape `(images,)`.

    Raises:
        SettingError: the batch or the model's output has another form, or a label is none of the
            classes. Labels on a GPU are not looked at: each draw would have to wait for it.
    """
    logits, labels = answers(model, batch)
    check_range(labels, logits.shape[1])
    return correct(logits, labels)


def answers(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Return logits and labels, shapes `(images, classes)` and `(images,)`; see `accuracy`."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise SettingError(
            f"`accuracy` expects a batch to be (images, labels), but got {form_of(batch)}. "
            "Pass a `score` of your own: a function of (model, batch)."
        )
    images, labels = batch
    # A fraction is no class, and would be told from all of them.
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        raise SettingError(
            f"`accuracy` expects labels of shape (images,), the class of each image as an integer, "
            f"but got {_labels(labels)}. Of a column give it labels.squeeze(1), of one-hot labels "
            "labels.argmax(1), of whole numbers as floats labels.long(), of single samples "
            "DataLoader(samples, batch_size=100), or pass a `score` of your own: a function of "
            "(model, batch)."
        )
    logits = model(images)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != len(labels):
        raise SettingError(
            f"`accuracy` expects the model to give logits of shape ({len(labels)}, classes), "
            f"but got {form_of(logits)}. "
            "Pass a `score` of your own, a function of (model, batch)."
        )
    return logits, labels


def check_range(labels: Tensor, classes: int) -> None:
    """Raise if a label on the CPU is none of the classes.

    A few calls, which beside a small network's forward pass take a percent of it: of many draws
    best together.

    Args:
        labels: of any shape.
        classes: how many there are.

    Raises:
        SettingError: one is below 0, or `classes` or more.
    """
    if labels.device.type != "cpu" or not labels.numel():
        return
    try:
        from torch._C._functorch import get_unwrapped, is_batchedtensor
    except ImportError:
        # PyTorch promises neither, and without them nobody can tell under vmap.
        return
    # Under vmap, which hands out one draw's, those of all draws.
    while is_batchedtensor(labels):
        labels = get_unwrapped(labels)
    low, high = (int(each) for each in torch.aminmax(labels))
    if low < 0 or high >= classes:
        # No image would be right, and the score 0 without a word.
        raise SettingError(
            f"`accuracy` expects labels from 0 to {classes - 1}, for the model gives {classes} "
            f"logits, but got {low} to {high}. Count classes from 0, give the model an output for "
            "each class, or pass a `score` of your own: a function of (model, batch)."
        )


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what `accuracy` does, of logits `(..., classes)` and labels `(...)`."""
    # The maximum of a row that holds a NaN is NaN, which no number is larger than.
    largest, guess = logits.max(dim=-1)
    return ((guess == labels) & (largest.abs() < math.inf)).float()


def _labels(labels: Any) -> str:
    kind = f" of {labels.dtype}" if isinstance(labels, Tensor) else ""
    return form_of(labels) + kind
