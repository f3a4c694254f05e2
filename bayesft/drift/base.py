"""The shape of a drift model, and which parameters one touches."""

import hashlib
import math
import reprlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from bayesft.errors import SettingError

TARGETS = ("all", "crossbar")

# The matrices that an analog accelerator holds in crossbars. Biases, norms and
# embeddings stay in digital memory there.
_CROSSBAR_WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.modules.conv._ConvNd, ("weight",)),
    (nn.Linear, ("weight",)),
    (nn.Bilinear, ("weight",)),
    (
        nn.MultiheadAttention,
        ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
    ),
)


_LOGARITHM = "It is the standard deviation of the logarithm of a weight's factor; try 0.3."


def check_sigma(sigma: float, meaning: str = _LOGARITHM) -> float:
    """Return `sigma` as a float; raise `SettingError` unless it is finite and not negative.

    Args:
        sigma: a strength.
        meaning: what it is, and what to try: the end of the error.
    """
    try:
        value = float(sigma)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(sigma, bool) or not math.isfinite(value) or value < 0:
        raise SettingError(
            f"Expected `sigma` to be a finite number, 0 or larger, but got {sigma!r}. " + meaning
        )
    return value


def check_network(model: object) -> None:
    """Raise `SettingError` unless `model` is a network."""
    if not isinstance(model, nn.Module):
        what = "the class" if isinstance(model, type) else "an object of the class"
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        raise SettingError(
            f"Expected the network to be a torch.nn.Module, but got {what} {name}. Weights drift "
            "where a module holds them: give the module that does, made with what it needs."
        )


def check_drift(drift: object) -> None:
    """Raise `SettingError` unless `drift` is a drift model that can be used."""
    if isinstance(drift, type) and issubclass(drift, Drift):
        raise SettingError(
            f"Expected `drift` to be a drift model, but got the class {drift.__name__}: make one, "
            f"{drift.__name__}()."
        )
    if not isinstance(drift, Drift):
        raise SettingError(
            "Expected `drift` to be a drift model such as LogNormalDrift(), but got "
            f"{reprlib.repr(drift)}."
        )
    if not hasattr(drift, "target"):
        raise SettingError(
            f"{type(drift).__name__} does not know what drifts: let its __init__ call "
            "super().__init__(target=...), all or crossbar."
        )


class Drift(ABC):
    """A model of what happens to a weight.

    A drift is a deterministic function of the weight, a standard normal variate
    of the same shape, and the strength sigma. Keeping the randomness outside lets
    one chip be read again at another sigma, under another model, or in another
    process. To add a model, derive from this class, write `__call__` without
    in-place operations, and put one config beside `conf/drift/lognormal.yaml`.

    Attributes:
        elementwise: of a class: each drifted weight depends on that weight and its
            normal alone, so that all of a network may be computed as one long row.
        vectorised: of a class: what its call does with normals may be done for many draws at
            once, by `torch.func.vmap`. It looks at none of their numbers in Python (`if`,
            `.item()`), writes to none of their tensors, and keeps none that is made of them. A
            class that says anew what happens to a weight says this anew too. Without it a
            drift that is not elementwise is given one draw after the other, which takes longer:
            a GPU has to launch each of its operations for each layer of each draw.

    Args:
        target: `"all"`, every floating-point parameter (the paper's choice), or
            `"crossbar"`, the weight matrices of convolution, linear and
            attention layers alone. A weight that is computed of other parameters (pruning,
            weight norm) is none: with `"all"` those drift, with `"crossbar"` it is an error.

    Raises:
        SettingError: `target` is neither.
    """

    elementwise: ClassVar[bool] = False
    vectorised: ClassVar[bool] = False

    def __init__(self, *, target: str = "all") -> None:
        if target not in TARGETS:
            raise SettingError(
                f"Expected `drift.target` to be one of {', '.join(TARGETS)}, but got {target!r}."
            )
        self.target = target

    @abstractmethod
    def __call__(self, weight: Tensor, normal: Tensor, sigma: float) -> Tensor:
        """Return the drifted weight, a new tensor.

        Args:
            weight: any shape, any floating-point type.
            normal: float32 standard normals of the same shape.
            sigma: the strength, 0 or larger; at 0 the weight comes back unchanged.
        """

    def check(self, sigma: float) -> float:
        """Return `sigma` as a float; raise `SettingError` unless it is a strength of this drift."""
        return check_sigma(sigma)

    def gain(self, sigma: float) -> float:
        """Return the mean of a drifted weight over the weight; 1 where the drift keeps the mean."""
        return 1.0

    def factor(self, normal: Tensor, sigma: float) -> Tensor | None:
        """Return what a weight is multiplied by, or None if more than that happens to it.

        Of an elementwise drift whose call returns `weight * factor`. Override it: the factor
        is then computed for the 131,072 normals that there are, nan among them, and looked up
        for each weight, which costs a small network less than the arithmetic.

        Args:
            normal: float32 standard normals of any shape.
            sigma: the strength.

        Returns:
            float32, of that shape.
        """
        return None

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the parameters of `model` that drift, by name, in the model's order.

        A parameter that two modules share is one place in memory: it is listed
        once. Buffers (BatchNorm's running statistics, counters) are never listed.

        Raises:
            SettingError: nothing in `model` drifts under this target, or what would is no
                parameter of one piece; `model` is no network.
        """
        check_network(model)
        crossbars = None if self.target == "all" else _in_crossbars(model)
        found = {
            name: parameter
            for name, parameter in model.named_parameters()
            if (parameter.is_floating_point() or parameter.is_complex())
            and (crossbars is None or id(parameter) in crossbars)
        }
        for name, parameter in found.items():
            _check_can_drift(name, parameter)
        if not found:
            other = "" if self.target == "all" else "drift.target=all, or "
            raise SettingError(
                f"`drift.target={self.target}` finds nothing to drift in "
                f"{type(model).__name__}. Use {other}a network with weights."
            )
        devices = sorted({str(parameter.device) for parameter in found.values()})
        if len(devices) > 1:
            raise SettingError(
                f"The weights of {type(model).__name__} that drift are on {' and '.join(devices)}. "
                "Put them on one device."
            )
        return found

    def __repr__(self) -> str:
        """Return the class with all that an instance has: curves of one `repr` are paired."""
        settings = (f"{name}={_shown(value)}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({', '.join(settings)})"


def _shown(value: Any) -> str:
    """Return what tells a value from others, in one line."""
    if not isinstance(value, Tensor):
        shown = repr(value)
        # Where an object lies is another place in each process.
        if " at 0x" in shown:
            return getattr(value, "__qualname__", type(value).__name__)
        return shown
    data = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return f"tensor({tuple(value.shape)}, {hashlib.sha256(data).hexdigest()[:8]})"


def _check_can_drift(name: str, parameter: nn.Parameter) -> None:
    """Raise `SettingError` unless a parameter is real numbers that lie somewhere."""
    if isinstance(parameter, UninitializedParameter):
        problem = "is not there yet. Run a batch through the network first"
    elif parameter.is_meta:
        problem = "is on the meta device, without numbers. Load the weights first"
    elif parameter.is_inference():
        problem = "was made in torch.inference_mode(). Make or load the network outside of it"
    elif parameter.is_complex() or parameter.layout is not torch.strided or parameter.itemsize < 2:
        problem = (
            f"is {parameter.dtype} in a {parameter.layout} layout. Drift knows real numbers of 16, "
            "32 or 64 bits in strided memory: convert it"
        )
    else:
        return
    raise SettingError(f"{name} cannot drift: it {problem}.")


def _in_crossbars(model: nn.Module) -> set[int]:
    """Return the identities of the matrices, which may have their names from elsewhere too."""
    found = set()
    for path, module in model.named_modules():
        for kind, attributes in _CROSSBAR_WEIGHTS:
            if isinstance(module, kind):
                for attribute in attributes:
                    _check_is_stored(
                        module, attribute, f"{path}.{attribute}" if path else attribute
                    )
                    found.add(id(getattr(module, attribute, None)))
    return found


def _check_is_stored(module: nn.Module, attribute: str, name: str) -> None:
    """Raise `SettingError` if a weight is computed of others, and would be left without drift."""
    computed = isinstance(vars(module).get(attribute), Tensor)
    if computed or parametrize.is_parametrized(module, attribute):
        raise SettingError(
            f"`drift.target=crossbar` meets {name}, which is no parameter: pruning or a "
            "parametrization computes it. Make it one by torch.nn.utils.prune.remove, "
            "remove_weight_norm or parametrize.remove_parametrizations, or use drift.target=all, "
            "by which what it is computed of drifts."
        )
