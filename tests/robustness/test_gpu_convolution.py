"""Triton's kernel, interpreted on the CPU, convolves as PyTorch does.

On a GPU: tests/robustness/test_gpu.py.
"""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

# Triton asks when a kernel is defined.
PROGRAM = """
import torch
from torch.nn import functional
from bayesft.robustness.backends.gpu_convolution import convolve

torch.manual_seed(0)
DRAWS = 3
for images, channels, extent, outputs, kernel, stride, padding, dilation, biased in (
    (5, 1, (12, 12), 6, (5, 5), (1, 1), (2, 2), (1, 1), True),
    (7, 4, (9, 11), 18, (3, 2), (2, 1), (1, 0), (1, 2), False),
    (70, 2, (4, 4), 1, (3, 3), (1, 1), (1, 1), (1, 1), True),
    (1, 3, (5, 5), 33, (1, 1), (2, 2), (0, 0), (1, 1), True),
):
    # Rows of weights are wider than a layer, and need not begin where one does.
    row = torch.randn(DRAWS, 3 + outputs * channels * kernel[0] * kernel[1])
    weight = row[:, 3:].view(DRAWS, outputs, channels, *kernel)
    bias = torch.randn(DRAWS, outputs, 2)[..., 0] if biased else None
    batches = torch.randn(DRAWS, images, channels, *extent)
    swapped = batches.transpose(2, 4).contiguous().transpose(2, 4)
    same = batches[:1].expand(DRAWS, *batches.shape[1:])
    for given in (batches, swapped, same):
        expected = torch.stack([
            functional.conv2d(given[k], weight[k], bias[k] if biased else None, stride, padding,
                              dilation)
            for k in range(DRAWS)
        ])
        size = tuple(expected.shape[3:])
        found = convolve(given, weight, bias, stride, padding, dilation, size)
        assert found.is_contiguous()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
# What is beyond the padding is not read, and what is not a number stays in its channel and image.
weight[:, 5] = torch.nan
batches[1, 0] = torch.inf
found = convolve(batches, weight, bias, stride, padding, dilation, size)
assert found[:, :, 5].isnan().all()
others = [channel for channel in range(outputs) if channel != 5]
assert found[[0, 2]][:, :, others].isfinite().all()
assert not found[1][:, others].isfinite().any()
# Where new tensors are elsewhere.
with torch.device("meta"):
    convolve(batches, weight, bias, stride, padding, dilation, size)
none = convolve(batches[:, :0], weight, bias, stride, padding, dilation, size)
assert none.shape == (DRAWS, 0, outputs, *size)
print("the same")
"""


COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bayesft.robustness.backends.gpu_convolution import _block_of_places

names = list(_block_of_places.arg_names)
for capability in (75, 90):
    for size, integer in ((1, "i32"), (5, "i64")):
        types = dict.fromkeys(names, integer)
        types |= dict.fromkeys(["out", "input", "weight", "bias"], "*fp32")
        known = {"high": size, "wide": size, "biased": size > 1, "block": 512, "several": 16}
        types |= dict.fromkeys(known, "constexpr")
        constants = {(names.index(name),): value for name, value in known.items()}
        source = ASTSource(fn=_block_of_places, signature=types, constexprs=constants)
        compile(source, target=GPUTarget("cuda", capability, 32))
print("compiled")
"""


def run(program, **variables):
    ran = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split("\n")[-2]


def test_it_convolves_as_pytorch_does():
    assert run(PROGRAM, TRITON_INTERPRET="1") == "the same"


def test_it_compiles_for_gpus(tmp_path):
    assert run(COMPILED, TRITON_CACHE_DIR=str(tmp_path)) == "compiled"


@pytest.mark.parametrize(("stride", "near"), [(1 << 28, True), (1 << 30, False)])
def test_what_32_bits_do_not_reach_is_brought_together(stride, near):
    """From one channel to the third; draws and images are told by 64."""
    from bayesft.robustness.backends.gpu_convolution import _near

    given = torch.empty_strided((2, 2, 3, 4, 4), (1 << 40, 1 << 40, stride, 4, 1), device="meta")
    found = _near(given)
    assert (found is given) == near
    assert found.is_contiguous() != near
