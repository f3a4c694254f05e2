"""Convolutions with a kernel for each draw, as one batch of matrix products.

Under `vmap` they are one convolution with a group for each draw, which cuDNN computes one
group after the other: LeNet-5's second layer takes an H200 some 20 us a draw, whatever the
number of images. For a few images of small layers it takes less to write out what the kernel
meets at each place (Chellapilla, Puri, Simard, "High performance convolutional neural networks
for document processing", 2006), for all draws together, and to multiply.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Of a draw: numbers that are written out, and products that are summed. With more of either
# the group by itself keeps a GPU busy.
_COLUMNS = 1 << 22
_PRODUCTS = 1 << 28


class Columns(TorchFunctionMode):
    """A context in which small 2-d convolutions are matrix products.

    Attributes:
        largest: bytes that were written out for a layer, the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(
        self,
        function: Callable,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function is torch.conv2d:
            columns = self._convolved(*args, **(kwargs or {}))
            if columns is not None:
                return columns
        return function(*args, **(kwargs or {}))

    def _convolved(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | tuple[int, ...] = 1,
        padding: int | str | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
    ) -> Tensor | None:
        """Return what `torch.conv2d` does, or None if that is to do it."""
        if isinstance(padding, str) or groups != 1 or torch.is_autocast_enabled(input.device.type):
            return None
        # That it is a mistake is not for us to say.
        if input.ndim != 4 or input.shape[1] != weight.shape[1] or input.dtype != weight.dtype:
            return None
        (down, right), (high, wide) = _pair(padding), weight.shape[2:]
        padded = functional.pad(input, (right, right, down, down))
        # Views, of which nothing is written out yet: (images, channels, rows, columns, *kernel).
        met = padded
        for axis, size, step, apart in zip(
            (2, 3), (high, wide), _pair(stride), _pair(dilation), strict=True
        ):
            reach = (size - 1) * apart + 1
            if met.shape[axis] < reach:
                return None
            met = met.unfold(axis, reach, step)[..., ::apart]
        images, _, rows, places, *_ = met.shape
        numbers = met.numel()
        if numbers > _COLUMNS or numbers * len(weight) > _PRODUCTS:
            return None
        self.largest = max(self.largest, numbers * input.element_size())
        columns = met.permute(1, 4, 5, 0, 2, 3).reshape(-1, images * rows * places)
        products = (weight.flatten(1) @ columns).view(-1, images, rows, places)
        if bias is not None:
            products = products + bias[:, None, None, None]
        return products.transpose(0, 1)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *others = value
    return first, others[0] if others else first
