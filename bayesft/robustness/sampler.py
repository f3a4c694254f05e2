"""From requests for draws to their scores, whatever backend and however many processes."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.robustness.backends import AUTO, Backend, choose
from bayesft.robustness.batches import form_of_tensors, to_device
from bayesft.robustness.images import ImagePool
from bayesft.robustness.score import Score, name_of
from bayesft.robustness.sharing import gathered, processes, share


@dataclass(frozen=True)
class Requests:
    """D draws to be scored, at the same strengths and on as many images each.

    Attributes:
        chips: their numbers.
        sigmas: the strengths to score each at.
        images: which images to score each on, their indices, shape `(D, images)`.
    """

    chips: Sequence[int]
    sigmas: tuple[float, ...]
    images: Tensor

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, part: slice) -> "Requests":
        return Requests(self.chips[part], self.sigmas, self.images[part])


class Sampler:
    """Scores draws of one network. Use inside the weights' context, in eval mode.

    Args:
        model: what is scored.
        weights: of `model`.
        pool: the images.
        score: a function of (model, batch).
        prepare: what a batch goes through before it is scored; None for the way to the device.
        seed: of the chips.
        backend: `auto`, or a backend's name.
        distributed: divide the requests over the processes of `torch.distributed`.
        draws: how many there will be, at all sigmas; None where that is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: DriftingWeights,
        pool: ImagePool,
        score: Score,
        *,
        prepare: Callable[[Any], Any] | None,
        seed: int,
        backend: str = AUTO,
        distributed: bool = False,
        draws: int | None = None,
    ) -> None:
        self.model = model
        self.weights = weights
        self.pool = pool
        self.score = score
        self.prepare = prepare
        self.seed = seed
        self.distributed = distributed
        self._name = backend
        self._draws = draws
        self._backend: Backend | None = None
        self._batch: Hashable = None

    @property
    def kind(self) -> Hashable:
        """What a draw's time depends on, beside the network and how many images a draw has.

        Known from the first call on.
        """
        way = self._name, self.prepare is None, self.pool.total
        return name_of(self.score), self.weights.kind, self._batch, way

    @property
    def mixes(self) -> bool:
        """Whether draws of all sigmas are scored together; known from the first call on.

        Of several processes each may have found another backend the fastest, and all
        have to go on alike.
        """
        return self._backend is not None and self._backend.mixes and not self.distributed

    def __call__(self, requests: Sequence[Requests]) -> list[Tensor]:
        """Return the draws' scores and the variances between their images, for each of `requests`.

        Of shape `(D, sigmas, 2)`, float64 on the CPU; see `backends.mean_and_variance`.

        The device is waited for once.
        """
        mine, number = [], 0
        for each in requests:
            mine.append(each[share(number, distributed=self.distributed)])
            number += len(each)
        kept = list(self._score([each for each in mine if len(each)]))
        if not kept:
            # More processes than draws.
            kept = [torch.zeros(0, 2, dtype=torch.float64)]
        lengths = [len(each.sigmas) for each in requests for _ in each.chips]
        rows = torch.cat(kept).to(self.weights.device)
        table = gathered(rows, lengths, distributed=self.distributed).cpu().double()
        parts = table.split([len(each) * len(each.sigmas) for each in requests])
        return [
            part.view(len(each), len(each.sigmas), 2)
            for part, each in zip(parts, requests, strict=True)
        ]

    def _score(self, requests: Sequence[Requests]) -> Iterator[Tensor]:
        """Yield `(draws, 2)` for each call of the backend, in order."""
        rows = chain.from_iterable(each.images.unbind() for each in requests)
        batches = map(self.prepare or self._moved, self.pool.batches(rows, seed=self.seed))
        if requests and self._backend is None:
            first = next(batches)
            self._backend = self._choose(first)
            self._batch = tuple((shape[1:], *kind) for shape, *kind in form_of_tensors(first))
            batches = chain([first], batches)
        # For all of them: a backend may give way to another one meanwhile.
        at_once = bool(requests) and self._at_once
        for _, group in groupby(requests, key=self._form):
            alike = list(group)
            chips = [Chip(self.seed, chip) for each in alike for chip in each.chips]
            sigmas = [each.sigmas for each in alike for _ in each.chips]
            images = torch.cat([each.images for each in alike]) if at_once else None
            start = 0
            while start < len(chips):
                first = next(batches) if images is None else self.pool.block(images[:1])[0]
                # Nearly as many each time, so that mostly memory fits again.
                left = len(chips) - start
                size = -(-left // -(-left // self._backend.chunk(first)))
                part = slice(start, start + size)
                # Not kept, or the next ones would come beside them.
                yield self._backend(
                    chips[part],
                    [first, *islice(batches, size - 1)]
                    if images is None
                    else self.pool.block(images[part]),
                    sigmas[part],
                )
                start = part.stop

    @property
    def _at_once(self) -> bool:
        """Whether a call's batches are taken at once: where a backend takes many of them."""
        return self.prepare is None and self._backend.mixes and self.pool.at_once

    def _form(self, requests: Requests) -> Hashable:
        """Return what the requests of one call have in common."""
        return requests.images.shape[1], None if self._backend.mixes else requests.sigmas

    def _moved(self, batch: Any) -> Any:
        return to_device(batch, self.weights.device)

    def _choose(self, batch: Any) -> Backend:
        def probe(size: int) -> tuple[list[Chip], list[Any], list[tuple[float]]]:
            return [Chip(self.seed, k) for k in range(size)], [batch] * size, [(0.0,)] * size

        given = self.model, self.weights, self.score
        draws = self._draws and -(-self._draws // processes(distributed=self.distributed))
        return choose(self._name, *given, probe=probe, draws=draws)
