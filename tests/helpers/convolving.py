"""A stand-in for the kernel that convolves for many draws on a GPU."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def convolve_by_groups(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """Do what `gpu_convolution.convolve` does, by PyTorch: a group for each draw."""
    draws, images, _, *extent = input.shape
    found = functional.conv2d(
        input.transpose(0, 1).reshape(images, -1, *extent),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        stride,
        padding,
        dilation,
        groups=draws,
    )
    assert found.shape[-2:] == tuple(size)
    return found.unflatten(1, (draws, -1)).transpose(0, 1).contiguous()
