"""What drift makes of weights, written to memory that is given."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.func import vmap

from bayesft.drift import kernels
from bayesft.drift.base import Drift
from bayesft.drift.chip import Draw
from bayesft.drift.noise import chip_keys
from bayesft.drift.quantiles import look_up, quantiles
from bayesft.drift.stream import Reader
from bayesft.errors import SettingError

# Weights whose drift is computed at once, so that what is in between stays in the cache; a
# GPU is kept busy by few calls.
_BLOCK = 1 << 18
_DEVICE_BLOCK = 1 << 24
# The same of a drift that is given whole layers, which may need many times their memory.
_DEVICE_BLOCK_OF_LAYERS = 1 << 22
# A curve's, and a few more.
_TABLES = 32


class CodedDrift:
    """A drift that reads codes in place of normals.

    Args:
        drift: any.
        device: where codes and weights are.
    """

    def __init__(self, drift: Drift, device: torch.device) -> None:
        self.drift = drift
        self.device = device
        # A class that only says anew what happens to a weight does not mean its parent's factor.
        self._by_factor = _depth(drift, "factor") <= _depth(drift, "__call__")
        self._checked: set[float] = set()
        self._tables: dict[tuple[float, torch.dtype], Tensor | None] = {}
        # Nor does it say that this may be vectorised.
        own = _depth(drift, "vectorised") <= _depth(drift, "__call__")
        self.vectorised = drift.vectorised and own

    def check(self, sigma: float) -> None:
        """Raise `SettingError` unless the drift does at `sigma` what drifts do.

        Once for each sigma, on four weights.
        """
        if sigma in self._checked:
            return
        try:
            # Nobody waits for a GPU there.
            self._check_on(torch.device("cpu"), sigma)
        except RuntimeError:
            # The drift may have tensors of its own where the weights are.
            self._check_on(self.device, sigma)
        self._checked.add(sigma)

    def _check_on(self, device: torch.device, sigma: float) -> None:
        with torch.inference_mode(False), torch.no_grad():
            clean = torch.tensor([[1.0, -0.5], [0.25, -2.0]], device=device)
            normal = torch.tensor([[0.0, -1.0], [0.5, 2.0]], device=device)
            weight = clean.clone()
            drifted = self.drift(weight, normal.clone(), sigma)
            name = type(self.drift).__name__
            if not torch.equal(weight, clean):
                raise SettingError(
                    f"{name} writes to the weights that it is given, which are the network's own. "
                    "Return a new tensor: `weight * x` in place of `weight.mul_(x)`."
                )
            found = tuple(drifted.shape) if isinstance(drifted, Tensor) else type(drifted).__name__
            if found != (2, 2):
                raise SettingError(
                    f"Expected {name} to return the drifted weights, a tensor of the shape that it "
                    f"is given, (2, 2) here, but got {found}."
                )
            self._check_contract(clean, normal, sigma, drifted)
            factor = self.drift.factor(normal, sigma) if self._by_factor else None
            if factor is not None and not _alike(clean * factor, drifted):
                raise SettingError(
                    f"{name}.factor and calling it disagree at sigma {sigma:g}: calling it has to "
                    "return weight * factor(normal, sigma). Leave `factor` out if it does not."
                )

    def _check_contract(self, clean: Tensor, normal: Tensor, sigma: float, drifted: Tensor) -> None:
        """Raise `SettingError` unless a drift is what `Drift` says, as far as 2x2 weights tell."""
        name = type(self.drift).__name__

        def again(weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
            return self.drift(weight.clone(), normal.clone(), sigma)

        if not drifted.is_floating_point():
            raise SettingError(
                f"Expected {name} to return the drifted weights as they came, {clean.dtype}, but "
                f"got {drifted.dtype}."
            )
        if not _alike(again(clean, normal, sigma), drifted):
            raise SettingError(
                f"{name} returns something else when it is called again, and no chip of it could "
                "be drawn again. Let its only random numbers be the `normal` that it is given."
            )
        if not _alike(again(clean, normal, 0.0), clean):
            raise SettingError(
                f"{name} changes weights at sigma 0, where there is no drift. Let `sigma` be how "
                "strong all of it is."
            )
        # A column: neither a row's nor the whole matrix's largest weight is in it.
        if self.drift.elementwise and not _alike(
            again(clean[:, 0], normal[:, 0], sigma), drifted[:, 0]
        ):
            raise SettingError(
                f"{name} says that it is elementwise, but drifts a weight otherwise where others "
                "are beside it. Set `elementwise = False`, and it is given whole tensors."
            )
        if self.vectorised:
            self._check_vectorised(clean, normal, sigma)

    def _check_vectorised(self, clean: Tensor, normal: Tensor, sigma: float) -> None:
        name, normals = type(self.drift).__name__, torch.stack([normal, -normal])
        remedy = "Set `vectorised = False`, and it is given one draw after the other."
        expected = torch.stack([self.drift(clean, each.clone(), sigma) for each in normals])
        try:
            found = vmap(lambda each: self.drift(clean, each, sigma))(normals.clone())
        except Exception as error:
            raise SettingError(
                f"{name} says that it is vectorised, but torch.func.vmap cannot call it "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}). {remedy}"
            ) from error
        if found.shape != expected.shape or not _alike(found, expected):
            raise SettingError(
                f"{name} says that it is vectorised, but of two draws at once it makes other "
                f"weights than of each alone. {remedy}"
            )

    def normals(self, codes: Tensor) -> Tensor:
        """Return float32 normals of the codes' shape; the codes are contiguous."""
        with torch.inference_mode(False):
            normals = torch.empty(codes.shape, dtype=torch.float32, device=self.device)
        look_up(quantiles(self.device), codes, normals)
        return normals

    def into(self, out: Tensor, weight: Tensor, codes: Tensor, sigma: float) -> None:
        """Write drifted weights. Of an elementwise drift alone.

        Args:
            out: contiguous, of the shape of `codes` and the type of `weight`.
            weight: of that shape, or of the shape of one row.
            codes: contiguous.
            sigma: the strength.
        """
        factors = self._factors(sigma, out.dtype)
        if factors is None:
            weight = weight.expand(codes.shape)
            size = _BLOCK if self.device.type == "cpu" else _DEVICE_BLOCK
            rows = max(1, size // max(1, codes[0].numel())) if codes.ndim > 1 else size
            for to, clean, own in zip(
                *(each.split(rows) for each in (out, weight, codes)), strict=True
            ):
                to.copy_(self.drift(clean, self.normals(own), sigma))
        else:
            look_up(factors, codes, out)
            out.mul_(weight)

    def layers_into(
        self, outs: Sequence[Tensor], clean: Sequence[Tensor], codes: Tensor, sigma: float
    ) -> None:
        """Write the drifted weights of D draws, a parameter's of many draws at once.

        Of a vectorised drift, which is given whole parameters.

        Args:
            outs: of each parameter, shape `(D, *its shape)`; of another type, what is written
                is rounded to it.
            clean: the parameters.
            codes: shape `(D, n)`, of all parameters in their order, and perhaps more.
            sigma: the strength.
        """
        size = _BLOCK if self.device.type == "cpu" else _DEVICE_BLOCK_OF_LAYERS
        start = 0
        for out, weight in zip(outs, clean, strict=True):
            own = codes[:, start : start + weight.numel()]
            start += weight.numel()
            rows = max(1, size // max(1, weight.numel()))
            for part, some in zip(out.split(rows), own.split(rows), strict=True):
                normals = self.normals(some.contiguous()).view(len(some), *weight.shape)
                part.copy_(self._of_draws(weight, normals, sigma))

    def _of_draws(self, weight: Tensor, normals: Tensor, sigma: float) -> Tensor:
        """Return what one parameter becomes in several draws, of the shape of `normals`."""

        def one(normal: Tensor) -> Tensor:
            # It may be one number for all of a layer.
            return self.drift(weight, normal, sigma).expand(weight.shape)

        # A layer is a few thousand weights, and a drift dozens of calls, which take longer.
        return vmap(one)(normals) if len(normals) > 1 else one(normals[0])[None]

    def by_kernel(
        self, out: Tensor, weight: Tensor, draws: Sequence[Draw], *, start: int = 0
    ) -> bool:
        """Write drifted weights of D draws by a kernel, without their codes, if there is one.

        Args:
            out: shape `(D, n)`.
            weight: shape `(n,)`, of that type.
            draws: D times a chip and a strength.
            start: the place of the first weight.

        Returns:
            Whether it was done.
        """
        runs = [(sigma, len(list(run))) for sigma, run in groupby(sigma for _, sigma in draws)]
        factors = [self._factors(sigma, out.dtype) for sigma, _ in runs]
        if not runs or any(each is None for each in factors):
            return False
        if not kernels.multiplies(out, weight, factors[0]):
            return False
        keys = chip_keys([(chip.seed, chip.index) for chip, _ in draws], self.device)
        kernels.multiply(out, weight, factors, keys, [length for _, length in runs], start)
        return True

    def _factors(self, sigma: float, dtype: torch.dtype) -> Tensor | None:
        """Return the factor of each code, or None if it is not by a factor that weights drift.

        Nor for the short types: their product is to be rounded once.
        """
        key = sigma, dtype
        if key not in self._tables:
            if len(self._tables) >= _TABLES:
                self._tables.clear()
            factors = None
            if self._by_factor and dtype in (torch.float32, torch.float64):
                normals = quantiles(self.device)
                factors = self.drift.factor(normals, sigma)
            if factors is not None:
                factors = factors.to(dtype).broadcast_to(normals.shape).contiguous()
            self._tables[key] = factors
        return self._tables[key]


def _depth(drift: Drift, method: str) -> int:
    """Return how many classes above the drift's own the method is written."""
    return next(k for k, kind in enumerate(type(drift).__mro__) if method in vars(kind))


def drift_parameters(
    drift: CodedDrift, outs: Sequence[Tensor], clean: Sequence[Tensor], codes: Reader, sigma: float
) -> None:
    """Write the drifted weights of one draw, one parameter after the other.

    Of a drift that is not elementwise, and of parameters that are not one piece of
    memory in their own order, a whole parameter's codes are held at a time.

    Args:
        drift: any.
        outs: of the shapes of `clean`; of another type, what is written is rounded to it.
        clean: the parameters.
        codes: of all parameters, in their order.
        sigma: the strength.
    """
    for out, weight in zip(outs, clean, strict=True):
        size = weight.numel()
        flat = weight.is_contiguous() and out.is_contiguous() and weight.dtype == out.dtype
        if drift.drift.elementwise and flat:
            start, out, weight = 0, out.view(-1), weight.view(-1)
            if drift.by_kernel(out[None], weight, [(codes.chip, sigma)], start=codes.position):
                codes.skip(size)
                continue
            for piece in codes.pieces(size):
                part = slice(start, start + len(piece))
                drift.into(out[part], weight[part], piece, sigma)
                start = part.stop
        else:
            normals = drift.normals(codes.read(size)).view(weight.shape)
            out.copy_(drift.drift(weight, normals, sigma))


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two are equal but for rounding, which depends on how many numbers are beside one."""
    return torch.allclose(ours, theirs.to(ours.dtype), rtol=1e-3, equal_nan=True)
