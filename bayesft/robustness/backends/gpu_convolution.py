"""Convolutions with a kernel for each draw, in one go over a GPU's memory, by Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Places of an output, and channels of it, that a program computes: each number that it reads
# is multiplied by as many of the other kind.
_PLACES = 512
_CHANNELS = 16


def convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """Return what `torch.conv2d` gives for each of D draws; float32, on a GPU.

    Args:
        input: shape `(D, images, channels, rows, columns)`, of any strides.
        weight: shape `(D, outputs, channels, *kernel)`, of any strides.
        bias: shape `(D, outputs)`, or None.
        stride: of rows and columns, as `padding` and `dilation`.
        padding: zeros on either side.
        dilation: from one number that the kernel meets to the next.
        size: rows and columns of the output.

    Returns:
        contiguous, shape `(D, images, outputs, *size)`.
    """
    input, weight = _near(input), _near(weight)
    draws, images, channels, *extent = input.shape
    outputs, kernel = weight.shape[1], weight.shape[3:]
    out = input.new_empty(draws, images, outputs, *size)
    if not out.numel():
        return out
    total = images * size[0] * size[1]
    block = _PLACES if total > _PLACES // 2 else _PLACES // 2
    several = min(_CHANNELS, triton.next_power_of_2(outputs))
    places, blocks = triton.cdiv(total, block), triton.cdiv(outputs, several)
    # Nobody reads it where there is none.
    offsets = weight if bias is None else bias
    with torch.cuda.device_of(input):
        _block_of_places[(draws * blocks * places,)](
            out, input, weight, offsets,
            *input.stride(), *weight.stride(), *offsets.stride()[:2],
            images, channels, outputs, *extent, *size,
            *stride, *padding, *dilation, blocks, places,
            high=kernel[0], wide=kernel[1], biased=bias is not None,
            block=block, several=several, enable_fp_fusion=True,
        )  # fmt: skip
    return out


def _near(tensor: Tensor) -> Tensor:
    """Return a tensor within whose draws and images 32 bits are enough to tell a place."""
    reach = sum(
        (length - 1) * stride
        for length, stride in zip(tensor.shape[2:], tensor.stride()[2:], strict=True)
    )
    return tensor if reach < 1 << 31 else tensor.contiguous()


# Triton would compile anew for each of them that is one, or that 16 divides.
_NUMBERS = (
    "input_draw", "input_image", "input_channel", "input_row", "input_column",
    "weight_draw", "weight_output", "weight_channel", "weight_row", "weight_column",
    "bias_draw", "bias_output", "images", "channels", "outputs", "rows", "columns",
    "out_rows", "out_columns", "down", "right", "above", "before", "row_step", "column_step",
    "blocks", "places",
)  # fmt: skip


@triton.jit(do_not_specialize=_NUMBERS)
def _block_of_places(
    out, input, weight, bias,
    input_draw, input_image, input_channel, input_row, input_column,
    weight_draw, weight_output, weight_channel, weight_row, weight_column,
    bias_draw, bias_output, images, channels, outputs, rows, columns,
    out_rows, out_columns, down, right, above, before, row_step, column_step,
    blocks, places,
    high: tl.constexpr, wide: tl.constexpr, biased: tl.constexpr,
    block: tl.constexpr, several: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0)
    draw = (number // (blocks * places)).to(tl.int64)
    of_image = out_rows * out_columns
    place = number % places * block + tl.arange(0, block)
    there = place < images * of_image
    image, rest = place // of_image, place % of_image
    first_row = rest // out_columns * down - above
    first_column = rest % out_columns * right - before
    output = number // places % blocks * several + tl.arange(0, several)
    wanted = output < outputs
    given = input + draw * input_draw + image.to(tl.int64) * input_image
    kernel = weight + draw * weight_draw + output * weight_output
    total = tl.zeros((several, block), tl.float32)
    for channel in range(channels):
        for i in range(high):
            row = first_row + i * row_step
            inside = there & (row >= 0) & (row < rows)
            for j in tl.static_range(wide):
                column = first_column + j * column_step
                met = tl.load(
                    given + channel * input_channel + row * input_row + column * input_column,
                    mask=inside & (column >= 0) & (column < columns),
                    other=0.0,
                )
                factor = tl.load(
                    kernel + channel * weight_channel + i * weight_row + j * weight_column,
                    mask=wanted,
                    other=0.0,
                )
                total += factor[:, None] * met[None, :]
    if biased:
        total += tl.load(bias + draw * bias_draw + output * bias_output, mask=wanted)[:, None]
    # The output's numbers, of an image those of one channel after the other.
    start = out + draw * images * outputs * of_image
    target = start + (image * outputs * of_image + rest)[None, :] + (output * of_image)[:, None]
    tl.store(target, total, mask=wanted[:, None] & there[None, :])
