"""One draw after the other, written into the network itself: works for any network."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.robustness.backends.base import mean_and_variance, of_each_image
from bayesft.robustness.batches import bytes_of
from bayesft.robustness.score import Score, accuracy, answers, check_range, correct

# Weights whose drift is computed at once: few calls for a small network, and they stay
# near a CPU; elsewhere a device is to be busy for longer than the calls take.
_WEIGHTS = 1 << 22
_DEVICE_WEIGHTS = 1 << 24
# Of the memory of a GPU, what a chunk of draws may take, and what it takes for each weight: a
# code and what drifted.
_GPU_SHARE = 1 / 64
_BYTES = 8
_DRAWS = 32
# What the batches of these draws may take.
_BATCH_BYTES = 1 << 26
# Logits that wait to be compared with labels.
_LOGITS = 1 << 18


class InPlace:
    """Writes each draw's weights into the network. Use inside the weights' context.

    Draws of one sigma are best together, and so are chips that have the same sigmas.

    Args:
        model: in the mode that it is to be scored in.
        weights: of `model`.
        score: a function of (model, batch).
    """

    mixes = False

    def __init__(self, model: nn.Module, weights: DriftingWeights, score: Score) -> None:
        self.model = model
        self.weights = weights
        self.score = score

    def __call__(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[Sequence[float]]
    ) -> Tensor:
        kept, start = [], 0
        for own, group in groupby(sigmas):
            run = slice(start, start + len(list(group)))
            kept.append(self._score(chips[run], batches[run], own))
            start = run.stop
        return torch.cat(kept)

    def _score(
        self, chips: Sequence[Chip], batches: Sequence[Any], sigmas: Sequence[float]
    ) -> Tensor:
        """Score chips that have the same sigmas."""
        # A batch for each draw, once the network has its weights.
        each = [batch for _ in sigmas for batch in batches]
        drawn = (b for _, b in zip(self.weights.draws(chips, sigmas), each, strict=True))
        if self.score is accuracy:
            kept = torch.cat([_of_answers(*several) for several in self._answers(drawn)])
        else:
            scores = (of_each_image(self.score(self.model, batch), batch) for batch in drawn)
            kept = torch.stack([mean_and_variance(each) for each in scores])
        return kept.unflatten(0, (len(sigmas), len(batches))).transpose(0, 1).flatten(0, 1)

    def _answers(self, batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield logits and labels of several draws at once, with a first dimension for them.

        Comparing them is a few calls: for each draw these take a small network a few percent
        of its forward pass, and leave a GPU waiting.
        """
        logits, labels, count = [], [], 0
        for batch in batches:
            outputs, of_batch = answers(self.model, batch)
            count += outputs.numel()
            # A compiled network may give the same memory again.
            logits.append(outputs if count >= _LOGITS else outputs.clone())
            labels.append(of_batch)
            if count >= _LOGITS:
                yield torch.stack(logits), torch.stack(labels)
                logits, labels, count = [], [], 0
        if logits:
            yield torch.stack(logits), torch.stack(labels)

    def chunk(self, batch: Any) -> int:
        batches = _BATCH_BYTES // max(1, bytes_of(batch))
        most = _weights_at_once(self.weights.device)
        return max(1, min(_DRAWS, batches, most // self.weights.count))


def _of_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """Return mean and variance of the accuracy of each of several draws."""
    check_range(labels, logits.shape[-1])
    return mean_and_variance(correct(logits, labels))


def _weights_at_once(device: torch.device) -> int:
    if device.type == "cpu":
        return _WEIGHTS
    if device.type != "cuda":
        return _DEVICE_WEIGHTS
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(_WEIGHTS, int(_GPU_SHARE * memory / _BYTES))
