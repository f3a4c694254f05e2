"""Convolutions with a kernel for each draw, as one kernel of a GPU.

Under `vmap` they are one convolution with a group for each draw, which cuDNN computes one
group after the other: LeNet-5's second layer takes an H200 some 20 us a draw, whatever the
number of images. This kernel computes the draws beside each other.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bayesft.drift.kernels import compiled

# Of a draw, products that are summed. With more the group by itself keeps a GPU busy.
_PRODUCTS = 1 << 27
# Rows and columns of a kernel. Each width is compiled by itself, and written out.
_EXTENT = 11


class Convolutions(TorchFunctionMode):
    """A context in which `vmap` computes small 2-d convolutions by that kernel."""

    def __torch_function__(
        self,
        function: Callable,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function is torch.conv2d:
            found = _convolved(*args, **(kwargs or {}))
            if found is not None:
                return found
        return function(*args, **(kwargs or {}))


def _convolved(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | str | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor | None:
    """Return what `torch.conv2d` does, or None if that is to do it."""
    if not _is_of_many_draws(weight) or torch.is_autocast_enabled(input.device.type):
        return None
    steps = [_pair(each) for each in (stride, padding, dilation)]
    # That something is a mistake is not for us to say.
    if None in steps or groups != 1 or min(*steps[0], *steps[2]) < 1 or min(steps[1]) < 0:
        return None
    if input.ndim != 4 or weight.ndim != 4 or input.shape[1] != weight.shape[1]:
        return None
    if not (input.numel() and weight.numel()) or max(weight.shape[2:]) > _EXTENT:
        return None
    given = [input, weight] if bias is None else [input, weight, bias]
    if {(each.dtype, each.device) for each in given} != {(torch.float32, input.device)}:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    size = [
        (extent + 2 * beside - apart * (kernel - 1) - 1) // step + 1
        for extent, kernel, step, beside, apart in zip(
            input.shape[2:], weight.shape[2:], *steps, strict=True
        )
    ]
    if min(size) < 1 or input.shape[0] * size[0] * size[1] * weight.numel() > _PRODUCTS:
        return None
    if _kernel(str(input.device)) is None:
        return None
    return _convolve(input, weight, bias, *steps, size)


def _is_of_many_draws(weight: Tensor) -> bool:
    """Tell whether a weight is another for each draw of one `vmap`, and nothing else is done to it.

    Of weights that all draws share PyTorch makes one convolution of all their images. What
    differentiates, or traces, does not know the kernel.
    """
    if torch.compiler.is_compiling():
        return False
    # PyTorch promises none of them, and only a GPU asks.
    from torch._C._functorch import TransformType, is_batchedtensor
    from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters

    transforms = retrieve_all_functorch_interpreters()
    if [each.key() for each in transforms] != [TransformType.Vmap]:
        return False
    return is_batchedtensor(weight)


def _pair(value: Any) -> tuple[int, int] | None:
    """Return rows' and columns' number, None unless PyTorch would read it as these."""
    numbers = [value] if isinstance(value, int) else value
    if not isinstance(numbers, (tuple, list)) or len(numbers) not in (1, 2):
        return None
    if not all(isinstance(each, int) for each in numbers):
        return None
    return numbers[0], numbers[-1]


@torch.library.custom_op("bayesft::convolve", mutates_args=())
def _convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    size: list[int],
) -> Tensor:
    """Return what `torch.conv2d` does; see `gpu_convolution.convolve`."""
    return torch.conv2d(input, weight, bias, stride, padding, dilation)


@_convolve.register_vmap
def _of_draws(info: Any, places: tuple[int | None, ...], *given: Any) -> tuple[Tensor, int]:
    """Return it for many draws, of which each tensor has a dimension or is the same for all."""
    parts = [
        each if each is None else _with_draws(each, place, info.batch_size)
        for each, place in zip(given[:3], places[:3], strict=True)
    ]
    return _kernel(str(parts[0].device))(*parts, *given[3:]), 0


def _with_draws(tensor: Tensor, place: int | None, draws: int) -> Tensor:
    # Whose numbers lie in memory with another sign.
    tensor = tensor.resolve_neg()
    return tensor.expand(draws, *tensor.shape) if place is None else tensor.movedim(place, 0)


@lru_cache(maxsize=16)
def _kernel(device: str) -> Callable[..., Tensor] | None:
    """Return what convolves on a GPU, None where nothing does."""
    name = f"{__package__}.gpu_convolution"

    def load() -> Callable[..., Tensor]:
        convolve = importlib.import_module(name).convolve
        one = torch.ones(1, 1, 1, 1, 1, device=device)
        convolve(one, one, one[0, 0, 0], (1, 1), (0, 0), (1, 1), (1, 1))
        return convolve

    if torch.device(device).type != "cuda":
        return None
    return compiled(load, device, otherwise="a small network's many draws take longer")
