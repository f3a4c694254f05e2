"""Putting drift on a network, and taking it off again to the bit."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import groupby

import torch
from torch import Tensor, nn

from bayesft.drift.base import Drift, check_drift
from bayesft.drift.chip import Chip, Draw
from bayesft.drift.compute import CodedDrift, drift_parameters
from bayesft.drift.pinned import rows_at
from bayesft.drift.stream import Reader, all_codes
from bayesft.errors import SettingError

# Of more numbers than this (64 MiB) no copy is made that can be done without.
LARGE = 1 << 24
# Numbers between which a row may begin, so that all rows lie in memory alike: how a product
# is computed, and rounded, can depend on that.
_ALIGNED = 16


class DriftingWeights:
    """The weights of a network that drift; as a context, lent to it in drifted form.

    Inside the context each draw lets the network's parameters look at memory here, which
    it has filled; on leaving, whatever happened inside, they look at their
    clean memory again. That was never written, so it is the same to the bit, which
    subtracting noise again would not give: in float32 about a fifth of the weights
    come back with another last bit.

    Of a small network the draws are computed several at a time, as rows of all weights,
    and a chip's codes are made once for all sigmas; the network looks at one row after the
    other, on a GPU at one to which the others are copied. A large one, of more than `LARGE`
    numbers, is *streamed*: the codes come in windows, anew for each sigma, and what
    drifted goes straight to where the network looks. So there are the clean weights, the
    drifted ones, and little else, if the drift is elementwise; another is given whole
    layers. The numbers are the same either way, but perhaps for the last bit where a drift
    sums over a layer: of many draws at once it sums in another order.

    Example:
        >>> with DriftingWeights(model, LogNormalDrift()) as weights:
        ...     for _ in weights.draws([Chip(0, k) for k in range(10)], [0.5]):
        ...         y = model(x)

    Attributes:
        names: of the drifting parameters, in the model's order.
        count: how many numbers they hold, which is how many codes a draw takes.
        device: where they are.
        streamed: whether the network is a large one.
        kind: what the time of a draw depends on, beside the network.

    Args:
        model: any network, its drifting parameters on one device.
        drift: says which of its parameters drift, and how.

    Raises:
        SettingError: `model` is no network or `drift` no drift, nothing in `model` drifts; in a
            draw, what the drift returns is none.
    """

    def __init__(self, model: nn.Module, drift: Drift) -> None:
        check_drift(drift)
        parameters = drift.parameters(model)
        self.names = tuple(parameters)
        self.device = next(iter(parameters.values())).device
        self._coded = CodedDrift(drift, self.device)
        self._parameters = list(parameters.values())
        self._clean = [parameter.data for parameter in self._parameters]
        self._sizes = [clean.numel() for clean in self._clean]
        # As tuples, which PyTorch reads in half the time of its own kind.
        self._shapes = [tuple(clean.shape) for clean in self._clean]
        self.count = sum(self._sizes)
        self.streamed = self.count > LARGE
        types = {clean.dtype for clean in self._clean}
        self.kind = type(drift), drift.target, str(self.device), *sorted(map(str, types))
        # Of several types the widest, which holds what the others round to.
        self._type = reduce(torch.promote_types, types)
        # Many draws are then a few calls, where neither the drift nor the types tell one
        # weight's tensor from another's; or a few for each parameter, of a vectorised drift.
        self._at_once = drift.elementwise and len(types) == 1 and not self.streamed
        self._by_layers = self._coded.vectorised and not drift.elementwise and not self.streamed
        self._width = -(-self.count // _ALIGNED) * _ALIGNED
        if not self.streamed:
            space = self._clean[0].new_zeros(self._width - self.count)
            self._row = torch.cat([*(clean.flatten() for clean in self._clean), space])
        # New memory for each draw would cost as much as the drift.
        self._rows: Tensor | None = None
        self._codes: Tensor | None = None
        # Whose they are.
        self._coded_chips: list[Chip] = []
        # A row for what is shown to the network alone.
        self._shown: Tensor | None = None
        # Each row's parts, a parameter's each, by the rows' address. Made once: as many views
        # for each draw would take a network of many modules as long as its forward pass.
        self._views: dict[int, list[tuple[Tensor, ...]]] = {}
        # What parameters look at, by their place, that cannot look at their part of a row.
        self._copies: dict[int, Tensor] | None = None
        # Of a streamed network.
        self._seen: list[Tensor] = []
        # What the network looks at where it sees no row.
        self._at_rest: Sequence[Tensor] = self._clean

    def draws(self, chips: Sequence[Chip], sigmas: Sequence[float]) -> Iterator[None]:
        """Give the network the weights of one draw after the other. Within the context alone.

        Each step is a draw: every chip at the first sigma, then every chip at the next.
        """
        if self.streamed:
            for sigma in sigmas:
                self._coded.check(sigma)
                for chip in chips:
                    self._drift(self._seen, self._reader(chip), sigma)
                    # A forward pass may have let them look elsewhere.
                    self._look_at(self._seen)
                    yield
        else:
            copied = len(chips) > 1 and _copies_rows(self.device)
            shown = self._memory_to_show() if copied or len(chips) == 1 else None
            rows = shown[None] if len(chips) == 1 else self._memory_of_rows(len(chips))
            for sigma in sigmas:
                self._fill(rows, [(chip, sigma) for chip in chips])
                if copied:
                    [parts] = self._views_of(shown[None])
                    for row in rows:
                        shown.copy_(row)
                        self._show(parts)
                        yield
                else:
                    for parts in self._views_of(rows):
                        self._show(parts)
                        yield

    def rows(self, draws: Sequence[Draw]) -> Tensor:
        """Return the drifted weights of D draws, which the network need not have.

        If it looks at rows that `draws` gave it, these may be written again.

        Args:
            draws: D of them, those of one sigma best together.

        Returns:
            shape `(D, count)`, each row in the order of `names`; as it is until the
            next call.
        """
        rows = self._memory_of_rows(len(draws))
        self._fill(rows, draws)
        return rows[:, : self.count]

    def _fill(self, rows: Tensor, draws: Sequence[Draw]) -> None:
        """Write the drifted weights of D draws to as many rows."""
        for sigma in {sigma for _, sigma in draws}:
            self._coded.check(sigma)
        with torch.inference_mode(False), torch.no_grad():
            if self._at_once and self._coded.by_kernel(rows, self._row, draws):
                return
        chips = list(dict.fromkeys(chip for chip, _ in draws))
        codes = None if self.streamed else self._codes_of(chips)
        place, start = {chip: k for k, chip in enumerate(chips)}, 0
        if not (self._at_once or self._by_layers):
            for parts, (chip, sigma) in zip(self._by_row(rows), draws, strict=True):
                made = None if codes is None else codes[place[chip]]
                self._drift(parts, self._reader(chip, made), sigma)
            return
        for sigma, group in groupby(draws, key=lambda draw: draw[1]):
            some = [place[chip] for chip, _ in group]
            with torch.inference_mode(False), torch.no_grad():
                part, own = rows[start : start + len(some)], rows_at(codes, some)
                if self._at_once:
                    self._coded.into(part, self._row, own, sigma)
                else:
                    outs = list(self._by_parameter(part))
                    self._coded.layers_into(outs, self._clean, own, sigma)
            start += len(some)

    def _by_parameter(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield each parameter's part of D rows, of shape `(D, *the parameter's)`."""
        parts = rows[:, : self.count].split(self._sizes, dim=1)
        for part, shape in zip(parts, self._shapes, strict=True):
            yield part.view(len(rows), *shape)

    def _by_row(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield the parts of each row, one for each parameter."""
        return zip(*(part.unbind() for part in self._by_parameter(rows)), strict=True)

    def stacked(self, rows: Tensor) -> dict[str, Tensor]:
        """Return rows of drifted weights by name, each of shape `(draws, *the parameter's)`."""
        return {
            name: part.to(clean.dtype)
            for name, part, clean in zip(
                self.names, self._by_parameter(rows), self._clean, strict=True
            )
        }

    def __enter__(self) -> "DriftingWeights":
        if self.streamed:
            # A parameter cannot look at a tensor that was made for inference alone.
            with torch.inference_mode(False), torch.no_grad():
                self._seen = [torch.clone(clean) for clean in self._clean]
            self._look_at(self._seen)
        return self

    def __exit__(self, *error: object) -> None:
        self._look_at(self._clean)
        self._shown, self._views, self._copies, self._seen = None, {}, None, []
        self._at_rest = self._clean

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Let the network look at NaN in place of its weights, whoever asks it for them."""
        self._at_rest = [clean.new_full((), math.nan).expand(clean.shape) for clean in self._clean]
        self._look_at(self._at_rest)
        try:
            yield
        finally:
            self._at_rest = self._clean
            self._look_at(self._seen if self.streamed else self._clean)

    def _memory_to_show(self) -> Tensor:
        if self._shown is None:
            with torch.inference_mode(False):
                self._shown = torch.empty_like(self._row)
        return self._shown

    def _views_of(self, rows: Tensor) -> list[tuple[Tensor, ...]]:
        address = rows.data_ptr()
        if address not in self._views:
            with torch.inference_mode(False), torch.no_grad():
                self._views[address] = list(self._by_row(rows))
        return self._views[address]

    def _show(self, parts: Sequence[Tensor]) -> None:
        """Let the network look at the parts of a row."""
        if self._copies is None:
            with torch.inference_mode(False), torch.no_grad():
                self._copies = {
                    place: torch.clone(clean)
                    for place, (part, clean) in enumerate(zip(parts, self._clean, strict=True))
                    # The memory format decides how a convolution is computed.
                    if (part.dtype, part.stride()) != (clean.dtype, clean.stride())
                }
        seen = list(parts)
        for place, own in self._copies.items():
            seen[place] = own.copy_(parts[place])
        # A forward pass may have let them look elsewhere.
        self._look_at(seen)

    def _look_at(self, tensors: Sequence[Tensor]) -> None:
        for parameter, tensor in zip(self._parameters, tensors, strict=True):
            parameter.data = tensor
        # Autocast keeps casted copies of parameters, and would go on with the old ones.
        torch.clear_autocast_cache()

    def _drift(self, outs: Sequence[Tensor], codes: Reader, sigma: float) -> None:
        with torch.inference_mode(False), torch.no_grad():
            drift_parameters(self._coded, outs, self._clean, codes, sigma)

    def _reader(self, chip: Chip, made: Tensor | None = None) -> Reader:
        return Reader(chip, self.count, self.device, made=made)

    def _codes_of(self, chips: list[Chip]) -> Tensor:
        if self._codes is None or self._coded_chips != chips:
            # None are known while they are written.
            self._coded_chips = []
            self._codes = all_codes(chips, self._width, self.device, memory=self._codes)
            self._coded_chips = chips
        return self._codes

    def _memory_of_rows(self, draws: int) -> Tensor:
        if self._rows is None or len(self._rows) != draws:
            # The old rows and codes go before the new ones come.
            self._look_at(self._at_rest)
            self._views = {}
            self._rows = self._codes = None
            with torch.inference_mode(False):
                self._rows = torch.empty(draws, self._width, dtype=self._type, device=self.device)
        return self._rows


def _copies_rows(device: torch.device) -> bool:
    """Tell whether a row is copied to where the network looks, in place of views of each row.

    On a CPU a copy takes a small network longer; elsewhere nobody waits for it.
    """
    return device.type != "cpu"


@contextmanager
def drifted(model: nn.Module, drift: Drift, sigma: float, chip: Chip) -> Iterator[nn.Module]:
    """Yield `model` as it is on `chip`: its weights drifted with strength `sigma`.

    On leaving, by an exception too, every weight is back to the bit. Buffers are
    not touched, but a forward pass in train mode updates BatchNorm's statistics
    as it always does: call `model.eval()` first.

    Example:
        >>> from bayesft.drift import LogNormalDrift
        >>> net = nn.Linear(2, 1)
        >>> with drifted(net, LogNormalDrift(), 0.5, Chip(seed=0, index=0)):
        ...     y = net(torch.ones(1, 2))

    Raises:
        SettingError: `sigma` is no strength of `drift`, nothing in `model` drifts, or one of the
            arguments is of another kind.
    """
    check_drift(drift)
    if not isinstance(chip, Chip):
        raise SettingError(
            f"Expected `chip` to be a chip, which has a seed and a number, but got {chip!r}. Try "
            "Chip(seed=0, index=0)."
        )
    strength = drift.check(sigma)
    with DriftingWeights(model, drift) as weights:
        for _ in weights.draws([chip], [strength]):
            yield model
