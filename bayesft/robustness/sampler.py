"""From requests for draws to their scores, whatever backend and however many processes."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any

import torch
from torch import Tensor, nn

from bayesft.drift import Chip, DriftingWeights
from bayesft.robustness.backends import AUTO, Backend, choose
from bayesft.robustness.batches import Block, form_of_tensors, to_device
from bayesft.robustness.images import ImagePool
from bayesft.robustness.score import Score, name_of
from bayesft.robustness.sharing import gathered, share


@dataclass(frozen=True)
class Request:
    """One draw to be scored.

    Attributes:
        chip: its number.
        sigmas: the strengths to score it at.
        images: which images to score it on, their indices.
    """

    chip: int
    sigmas: tuple[float, ...]
    images: Tensor


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
    ) -> None:
        self.model = model
        self.weights = weights
        self.pool = pool
        self.score = score
        self.prepare = prepare
        self.seed = seed
        self.distributed = distributed
        self._name = backend
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

    def __call__(self, requests: Sequence[Request]) -> list[Tensor]:
        """Return each request's scores and the variances between their images.

        Of shape `(sigmas, 2)`, float64 on the CPU; see `backends.mean_and_variance`.

        The device is waited for once.
        """
        mine = share(len(requests), distributed=self.distributed)
        kept = list(self._score([requests[i] for i in mine]))
        if not kept:
            # More processes than draws.
            kept = [torch.zeros(0, 2, dtype=torch.float64)]
        lengths = [len(request.sigmas) for request in requests]
        rows = torch.cat(kept).to(self.weights.device)
        pieces = gathered(rows, lengths, distributed=self.distributed)
        table = torch.cat(pieces).cpu().double()
        return list(table.split(lengths))

    def _score(self, requests: Sequence[Request]) -> Iterator[Tensor]:
        """Yield `(draws, 2)` for each chunk of requests, in order."""
        rows = self.pool.batches([request.images for request in requests], seed=self.seed)
        batches = map(self.prepare or self._moved, rows)
        if requests and self._backend is None:
            first = next(batches)
            self._backend = self._choose(first)
            self._batch = tuple((shape[1:], *kind) for shape, *kind in form_of_tensors(first))
            batches = chain([first], batches)
        # For all of them: a backend may give way to another one meanwhile.
        at_once = bool(requests) and self._at_once
        for _, group in groupby(requests, key=self._form):
            waiting = list(group)
            while waiting:
                first = self._block(waiting[:1])[0] if at_once else next(batches)
                # Nearly as many each time, so that mostly memory fits again.
                calls = -(-len(waiting) // self._backend.chunk(first))
                size = -(-len(waiting) // calls)
                chunk, waiting = waiting[:size], waiting[size:]
                chips = [Chip(self.seed, request.chip) for request in chunk]
                # Not kept, or the next ones would come beside them.
                yield self._backend(
                    chips,
                    self._block(chunk) if at_once else [first, *islice(batches, size - 1)],
                    [request.sigmas for request in chunk],
                )

    @property
    def _at_once(self) -> bool:
        """Whether a call's batches are taken at once: where a backend takes many of them."""
        return self.prepare is None and self._backend.mixes and self.pool.at_once

    def _block(self, requests: Sequence[Request]) -> Block:
        return self.pool.block([request.images for request in requests])

    def _form(self, request: Request) -> Hashable:
        """Return what requests of one call have in common."""
        return len(request.images), None if self._backend.mixes else request.sigmas

    def _moved(self, batch: Any) -> Any:
        return to_device(batch, self.weights.device)

    def _choose(self, batch: Any) -> Backend:
        def probe(size: int) -> tuple[list[Chip], list[Any], list[tuple[float]]]:
            return [Chip(self.seed, k) for k in range(size)], [batch] * size, [(0.0,)] * size

        return choose(self._name, self.model, self.weights, self.score, probe=probe)
