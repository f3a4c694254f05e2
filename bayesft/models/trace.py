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
        tensors: its tensor arguments.
        shape: of its first output.
    """

    layer: nn.Module | None
    function: Callable | None
    inputs: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    shape: tuple[int, ...]


@dataclass
class Trace:
    """A forward pass as a graph; a step's number is its place in `ops`.

    Attributes:
        ops: the steps, in their order.
        outputs: the numbers of the steps that made what the network returned.
        calls: how often each module was called.
        returned_by: for a step, the modules that returned what it made, innermost first.
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
        tensors = _tensors((args, kwargs))
        inputs = self.sources(tensors)
        result = function(*args, **(kwargs or {}))
        changed = args[0] if function is Tensor.__setitem__ else result
        if not self._inside and _tensors(changed):
            self._add(changed, function=function, inputs=inputs, tensors=tensors)
        return result

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """See the calls of the modules of `model`."""
        entered: list[tuple[tuple[int, ...], tuple[Tensor, ...]]] = []

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.trace.calls[module] += 1
            if self._is_layer(module):
                if not self._inside:
                    tensors = _tensors((args, kwargs))
                    entered.append((self.sources(tensors), tensors))
                self._inside += 1

        def leave(module: nn.Module, args: Any, result: Any) -> None:
            if self._is_layer(module):
                self._inside -= 1
                if not self._inside:
                    inputs, tensors = entered.pop()
                    self._add(result, layer=module, inputs=inputs, tensors=tensors)
            for number in dict.fromkeys(self.sources(result)[:1]):
                if not self._inside:
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

    def _add(self, result: Any, *, inputs: tuple[int, ...], **what: Any) -> None:
        outputs = _tensors(result)
        if not outputs:
            return
        number = len(self.trace.ops)
        settings = {"layer": None, "function": None} | what
        self.trace.ops.append(Op(inputs=inputs, shape=tuple(outputs[0].shape), **settings))
        for tensor in outputs:
            self._made[id(tensor)] = number
        self._alive.append(result)


def _tensors(value: Any) -> tuple[Tensor, ...]:
    return tuple(leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
