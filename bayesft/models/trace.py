"""What a network computes on one batch: its layers and functions, and what flows where."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Op:
    """One step of a forward pass: the call of a layer, or of a function outside any layer.

    Attributes:
        layer: the layer that was called; None for a function.
        function: the function; None for a layer.
        inputs: the numbers of the steps that made its tensors, in their order; those that
            no step made, such as images and weights, are left out.
        first: the number of the step that made its first positional argument; None where
            none did, or that argument is no tensor.
        tensors: its tensor arguments.
        shape: of its first output.
    """

    layer: nn.Module | None
    function: Callable | None
    inputs: tuple[int, ...]
    first: int | None
    tensors: tuple[Tensor, ...]
    shape: tuple[int, ...]


@dataclass
class Trace:
    """A forward pass as a graph; a step's number is its place in `ops`.

    Attributes:
        ops: the steps, in their order.
        outputs: the numbers of the steps that made what the network returned.
        calls: how often each module was called.
        returned_by: for a step, the modules within which it was made and that returned it, as
            a tensor or first in a tuple, innermost first.
    """

    ops: list[Op] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    calls: Counter[nn.Module] = field(default_factory=Counter)
    returned_by: dict[int, list[nn.Module]] = field(default_factory=dict)

    def users(self) -> dict[int, list[int]]:
        """Return, for each step, the steps that take what it made, once per argument."""
        found: dict[int, list[int]] = {number: [] for number in range(len(self.ops))}
        for number, op in enumerate(self.ops):
            for source in op.inputs:
                found[source].append(number)
        return found


def trace(model: nn.Module, batch: Tensor, is_layer: Callable[[nn.Module], bool]) -> Trace:
    """Run `model` on `batch` and return what it did.

    Works for any network that runs, whatever its control flow: the steps are recorded
    while they happen. The network is in the mode and has the random numbers that the
    caller gave it.

    Args:
        model: any network.
        batch: its input.
        is_layer: whether a module counts as one step; what happens inside it is not seen.
    """
    recorder = _Recorder(is_layer)
    with torch.no_grad(), recorder.watching(model), recorder:
        result = model(batch)
    recorder.trace.outputs = recorder.sources(result)
    return recorder.trace


@dataclass(frozen=True)
class _Taken:
    """What a step was given; `versions` count the changes in place of each tensor."""

    inputs: tuple[int, ...]
    first: int | None
    tensors: tuple[Tensor, ...]
    versions: dict[int, int]


class _Recorder(TorchFunctionMode):
    def __init__(self, is_layer: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.trace = Trace()
        self._is_layer = is_layer
        # How many layers the forward pass is inside of.
        self._inside = 0
        # Which step made a tensor. A tensor that a function changes in place is new.
        self._made: dict[int, int] = {}
        # An identity is only good while its tensor lives.
        self._alive: list[Any] = []

    def __torch_function__(
        self, function: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # Before the call: what is changed in place was made by another step.
        taken = self._taken(args, kwargs)
        result = function(*args, **(kwargs or {}))
        changed = args[0] if function is Tensor.__setitem__ else result
        if not self._inside:
            self._add(changed, taken, function=function)
        return result

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """See the calls of the modules of `model`."""
        layers: list[_Taken] = []
        begun: list[int] = []

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.trace.calls[module] += 1
            begun.append(len(self.trace.ops))
            if self._is_layer(module):
                if not self._inside:
                    layers.append(self._taken(args, kwargs))
                self._inside += 1

        def leave(module: nn.Module, args: Any, result: Any) -> None:
            start = begun.pop()
            if self._is_layer(module):
                self._inside -= 1
                if not self._inside:
                    self._add(result, layers.pop(), layer=module)
            value = result[0] if type(result) is tuple and result else result
            number = self._made.get(id(value)) if isinstance(value, Tensor) else None
            # Not what it only handed through, as an identity on a shortcut does.
            if not self._inside and number is not None and number >= start:
                self.trace.returned_by.setdefault(number, []).append(module)

        handles = []
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def sources(self, value: Any) -> tuple[int, ...]:
        """Return the numbers of the steps that made the tensors in `value`."""
        found = (self._made.get(id(tensor)) for tensor in _tensors(value))
        return tuple(number for number in found if number is not None)

    def _taken(self, args: Any, kwargs: Any) -> "_Taken":
        tensors = _tensors((args, kwargs))
        first = self._made.get(id(args[0])) if args and isinstance(args[0], Tensor) else None
        versions = {id(tensor): tensor._version for tensor in tensors}
        return _Taken(self.sources(tensors), first, tensors, versions)

    def _add(self, result: Any, taken: "_Taken", **what: Any) -> None:
        outputs = _tensors(result)
        # What comes out as it went in was not made here.
        if all(taken.versions.get(id(tensor)) == tensor._version for tensor in outputs):
            return
        number = len(self.trace.ops)
        settings = {"layer": None, "function": None} | what
        shape = tuple(outputs[0].shape)
        self.trace.ops.append(
            Op(
                inputs=taken.inputs,
                first=taken.first,
                tensors=taken.tensors,
                shape=shape,
                **settings,
            )
        )
        for tensor in outputs:
            self._made[id(tensor)] = number
        self._alive.append(result)


def _tensors(value: Any) -> tuple[Tensor, ...]:
    return tuple(leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
