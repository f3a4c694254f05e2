"""A GPU that is not there: numbers of a CPU that say they are on one, and are watched.

It shows on any machine that no operation meets tensors of two devices, what is waited for,
and how many operations are launched, which is what a small network takes a real one. It does
not show what a real one's own kernels do, nor memory and time.
"""

import contextlib
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from bayesft.drift import kernels, noise
from bayesft.drift.quantiles import BINS

DEVICE = torch.device("cuda", 0)
MEMORY = 1 << 36
# Operations that look at what memory holds, so that a GPU has to be done with all before.
_WAITS = {
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
}
# They launch nothing.
_VIEWS = {
    "aten::alias",
    "aten::as_strided",
    "aten::detach",
    "aten::expand",
    "aten::permute",
    "aten::select",
    "aten::slice",
    "aten::split",
    "aten::split_with_sizes",
    "aten::squeeze",
    "aten::t",
    "aten::transpose",
    "aten::unbind",
    "aten::unsqueeze",
    "aten::view",
    "aten::_unsafe_view",
    "aten::_reshape_alias",
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
}


class OnGPU(Tensor):
    """A tensor of a pretended GPU.

    Attributes:
        held: its numbers.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnGPU":
        tensor = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        tensor.held = held
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} was called on a pretended GPU that is gone.")

    @property
    def data(self) -> Tensor:
        return OnGPU(self.held)

    @data.setter
    def data(self, other: "OnGPU") -> None:
        # These are the wrapper's, for good; so are its strides, which nobody relies on.
        if (other.shape, other.dtype) != (self.shape, self.dtype):
            raise NotImplementedError("A parameter of a pretended GPU keeps its form.")
        self.held = other.held

    def data_ptr(self) -> int:
        return self.held.data_ptr()


class PretendedGPU(TorchDispatchMode):
    """Runs what is for the GPU, and counts.

    Attributes:
        launches: how often each operation that launches something was called.
        waits: what was waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: list[str] = []
        self.pinned: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        pinned = kwargs.pop("pin_memory", None)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, OnGPU)]
        target = kwargs.get("device")
        if not there and (target is None or torch.device(target).type == "cpu"):
            result = func(*args, **kwargs)
            return self.pin(result) if pinned else result
        name = func._schema.name
        back = self._crosses(name, func, args, kwargs, tensors)
        if name not in _VIEWS:
            # A convolution of groups is one of each.
            self.launches[name] += args[-1] if name == "aten::convolution" else 1
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if name == "aten::copy_":
            return args[0]
        if back:
            return found
        # What an operation writes to is the tensor that it was given.
        own = {id(tensor.held): tensor for tensor in there}

        def of_gpu(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return own[id(leaf)] if id(leaf) in own else OnGPU(leaf)

        return tree_map(of_gpu, found)

    def _crosses(self, name: str, func: Any, args: Any, kwargs: Any, tensors: list) -> bool:
        """Note what is waited for; return whether the result is the CPU's."""
        if name in _WAITS or (name.startswith("aten::index") and _has_mask(args)):
            self.waits.append(name)
            return name not in ("aten::nonzero", "aten::masked_select", "aten::_unique2")
        if name in ("aten::_to_copy", "aten::copy_"):
            source = args[1] if name == "aten::copy_" else args[0]
            if name == "aten::copy_":
                goal, free = args[0].device, len(args) > 2 and args[2]
            else:
                goal, free = torch.device(kwargs.get("device", source.device)), None
            free = free or kwargs.get("non_blocking", False)
            host = source if source.device.type == "cpu" else None
            if goal.type != source.device.type and not (free and self.is_pinned(host)):
                self.waits.append(f"{name} {source.device.type} to {goal.type}")
            return goal.type == "cpu"
        strangers = [x for x in tensors if not isinstance(x, OnGPU) and x.dim()]
        if strangers:
            shapes = [tuple(x.shape) for x in strangers]
            raise RuntimeError(
                f"Expected all tensors of {func} to be on the GPU, but those of shapes {shapes} "
                "are on the CPU."
            )
        return False

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[str]]:
        """Yield a list to which goes what is waited for."""
        before, self.waits = self.waits, []
        yield self.waits
        self.waits = before + self.waits

    def fill(self, codes: OnGPU, keys: OnGPU, start: int) -> bool:
        """Do what `kernels.fill` does, as one launch."""
        self.launches["codes"] += 1
        codes.held.copy_(_codes(keys.held, codes.shape[1], start))
        return True

    def multiply(
        self,
        out: OnGPU,
        weight: OnGPU,
        factors: Sequence[OnGPU],
        keys: OnGPU,
        runs: Sequence[int],
        start: int,
    ) -> None:
        """Do what `kernels.multiply` does, as one launch."""
        self.launches["multiply"] += 1
        codes = _codes(keys.held, out.shape[1], start)
        for rows, own, factor in zip(
            out.held.split(list(runs)), codes.split(list(runs)), factors, strict=True
        ):
            rows.copy_(weight.held * factor.held[own.long()])

    def pin(self, tensor: Tensor) -> Tensor:
        # Kept, or another one's memory would come to lie there.
        self.pinned.append(tensor)
        return tensor

    def is_pinned(self, tensor: Tensor | None) -> bool:
        if tensor is None or isinstance(tensor, OnGPU):
            return False
        address = tensor.untyped_storage().data_ptr()
        return any(each.untyped_storage().data_ptr() == address for each in self.pinned)


def _tensor(
    data: Any, *, device: torch.device | str | None = None, _made: Any = torch.tensor, **kind: Any
) -> Tensor:
    made = _made(data, device="cpu", **kind)
    return made if device is None else made.to(device)


def _held(leaf: Any) -> Any:
    if isinstance(leaf, OnGPU):
        return leaf.held
    if isinstance(leaf, torch.device) and leaf.type == "cuda":
        return torch.device("cpu")
    return leaf


def _codes(keys: Tensor, count: int, start: int) -> Tensor:
    first = start - start % noise.LANES
    codes = noise._sixteen_bits(keys[:, :2], first, start + count - first).int() & (BINS - 1)
    noise._refine(codes, keys[:, 2:], first)
    return codes[:, start - first :]


def _has_mask(args: Any) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args))


@contextlib.contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Yield a GPU that takes what is sent to `cuda`, on a machine that has none."""
    gpu = PretendedGPU()
    # Without it a tensor that says it is on a GPU asks the driver.
    torch._C._ensureCUDADeviceGuardSet()
    properties = types.SimpleNamespace(total_memory=MEMORY, name="pretended", major=9)
    stand_ins = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "device": lambda device: contextlib.nullcontext(),
        "device_of": lambda tensor: contextlib.nullcontext(),
        "synchronize": lambda device=None: gpu.waits.append("synchronize"),
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "get_device_properties": lambda device=None: properties,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "manual_seed": lambda seed: None,
    }
    of, plain = kernels._of, kernels._is_plain
    own_kernels = types.SimpleNamespace(fill=gpu.fill)
    for_kernels = {
        "_of": lambda device: own_kernels if device == "cuda" else of(device),
        "_gpu_multiplier": lambda device: gpu.multiply,
        "_is_plain": lambda tensor: plain(_held(tensor)),
    }
    converts = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, stand_in in stand_ins.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stand_in))
        for name, stand_in in for_kernels.items():
            stack.enter_context(mock.patch.object(kernels, name, stand_in))
        stack.enter_context(
            mock.patch.object(Tensor, "pin_memory", lambda self: gpu.pin(self.clone()))
        )
        stack.enter_context(
            mock.patch.object(Tensor, "is_pinned", lambda self: gpu.is_pinned(self))
        )
        # It asks the driver before anybody is asked here.
        stack.enter_context(mock.patch.object(torch, "tensor", _tensor))
        # An operation of cuDNN's own is not to be had on a CPU.
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # A module's parameters become others there, and are not pointed at other memory.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, converts)
        stack.enter_context(gpu)
        yield gpu
