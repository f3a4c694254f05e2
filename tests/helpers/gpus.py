"""A GPU, and one that is not there: numbers of a CPU that say they are on one, and are watched.

The latter shows on any machine that no operation meets tensors of two devices, what is waited for,
and how many operations are launched, which is what a small network takes a real one. It does
not show what a real one's own kernels do, nor memory and time.
"""

import contextlib
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from bayesft.drift import kernels, noise
from bayesft.drift.quantiles import BINS
from bayesft.robustness.backends import convolutions
from tests.helpers.convolving import convolve_by_groups

DEVICE = torch.device("cuda", 0)
MEMORY = 1 << 36
# Operations that look at what memory holds, so that a GPU has to be done with all before.
_WAITS = {
    "aten::_linalg_check_errors",
    "aten::_local_scalar_dense",
    "aten::allclose",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::multinomial",
    "aten::repeat_interleave",
    "aten::unique_consecutive",
    "aten::_unique2",
}
# By tensors; by a mask they wait.
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
# They launch nothing.
_VIEWS = {
    "aten::alias",
    "aten::as_strided",
    "aten::detach",
    "aten::diagonal",
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


class RealGPU:
    """One that is there."""

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[str]]:
        """Yield a list to which goes what is waited for."""
        waits: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                torch.cuda.set_sync_debug_mode("warn")
                yield waits
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits.extend(str(each.message) for each in caught)


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
        # Made of others, which in inference mode come here as they are.
        if func._can_decompose():
            with self:
                return func.decompose(*args, **kwargs)
        name = func._schema.name
        back = False
        if name in ("aten::_to_copy", "aten::copy_"):
            back = self._to_the_cpu(name, args, kwargs)
        elif name in _WAITS or (name in _INDEXED and _has_mask(args[1])):
            self.waits.append(name)
        elif strangers := self._strangers(name, tensors):
            shapes = [tuple(x.shape) for x in strangers]
            raise RuntimeError(
                f"Expected all tensors of {func} to be on the GPU, but those of shapes {shapes} "
                "are on the CPU."
            )
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

    def _strangers(self, name: str, tensors: list[Tensor]) -> list[Tensor]:
        """Return what is not on the GPU and would have to be: a number may be, if it is read."""
        places = [(place, x) for place, x in enumerate(tensors) if not isinstance(x, OnGPU)]
        return [x for place, x in places if x.dim() or (name.endswith("_") and place == 0)]

    def _to_the_cpu(self, name: str, args: Any, kwargs: Any) -> bool:
        """Return whether numbers are copied to the CPU, noting whether that is waited for."""
        into = name == "aten::copy_"
        source, target = args[into], args[0].device if into else kwargs.get("device")
        goal = source.device if target is None else torch.device(target)
        free = kwargs.get("non_blocking") or (into and len(args) > 2 and args[2])
        if goal.type != source.device.type and not (free and self.is_pinned(source)):
            self.waits.append(f"{name} {source.device.type} to {goal.type}")
        return goal.type == "cpu"

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

    def convolve(self, *given: Any) -> Tensor:
        """Do what `gpu_convolution.convolve` does, as one launch."""
        self.launches["convolve"] += 1
        return OnGPU(convolve_by_groups(*map(_held, given)))

    def pin(self, tensor: Tensor) -> Tensor:
        # Kept, or another one's memory would come to lie there.
        self.pinned.append(tensor)
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        if isinstance(tensor, OnGPU):
            return False
        address = tensor.untyped_storage().data_ptr()
        return any(each.untyped_storage().data_ptr() == address for each in self.pinned)


def _by_way_of_the_cpu(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that asks no driver, as `make` does before anybody is asked here."""

    def made(data: Any, *, device: torch.device | str | None = None, **kind: Any) -> Tensor:
        if isinstance(data, OnGPU):
            return make(data, device=device, **kind)
        tensor = make(data, device="cpu", **kind)
        return tensor if device is None else tensor.to(device)

    return made


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


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype == torch.bool for index in indices)


@contextlib.contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Yield a GPU that takes what is sent to `cuda`, on a machine that has none."""
    gpu = PretendedGPU()
    # Without it a tensor that says it is on a GPU asks the driver.
    torch._C._ensureCUDADeviceGuardSet()
    properties = types.SimpleNamespace(total_memory=MEMORY, major=7, minor=5)
    stand_ins = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "device": lambda device: contextlib.nullcontext(),
        "synchronize": lambda device=None: gpu.waits.append("synchronize"),
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "get_device_properties": lambda device=None: properties,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "get_rng_state_all": lambda: [],
        "set_rng_state_all": lambda states: None,
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "is_bf16_supported": lambda: True,
        "set_device": lambda device: None,
        "empty_cache": lambda: None,
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
        stack.enter_context(mock.patch.object(convolutions, "_kernel", return_value=gpu.convolve))
        stack.enter_context(
            mock.patch.object(Tensor, "pin_memory", lambda self: gpu.pin(self.clone()))
        )
        stack.enter_context(
            mock.patch.object(Tensor, "is_pinned", lambda self: gpu.is_pinned(self))
        )
        for make in (torch.tensor, torch.as_tensor):
            stack.enter_context(mock.patch.object(torch, make.__name__, _by_way_of_the_cpu(make)))
        # An operation of cuDNN's own is not to be had on a CPU.
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # A module's parameters become others there, and are not pointed at other memory.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, converts)
        stack.enter_context(gpu)
        yield gpu
