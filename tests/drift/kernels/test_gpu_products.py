"""Triton's kernel, interpreted on the CPU, makes the same drifted weights.

On a GPU: tests/robustness/test_gpu.py.
"""

import os
import subprocess
import sys

import pytest
import torch

from bayesft.drift import kernels

pytest.importorskip("triton")

# Triton asks when a kernel is defined.
PROGRAM = """
import torch
from bayesft.drift import kernels
from bayesft.drift.kernels.gpu_products import multiply
from bayesft.drift.noise import chip_keys, fill_codes
from bayesft.drift.quantiles import BINS, quantiles

CPU = torch.device("cpu")
CHIPS = [(0, 0), (0, 7), (3, 1 << 62), (0, 7)]
kernels._of = lambda device: None
finer = 0
for count in (1, 3, 1024, 5003):
    for start in (0, 1, 6, 1 << 14):
        codes = torch.empty(len(CHIPS), start + count, dtype=torch.int32)
        fill_codes(codes, CHIPS)
        codes = codes[:, start:].long()
        finer += int((codes >= BINS).sum())
        weight, keys = torch.randn(count), chip_keys(CHIPS, CPU)
        # Wider than what is written.
        for runs in ([4], [1, 2, 1]):
            factors = [torch.exp((0.2 + k) * quantiles(CPU)) for k in range(len(runs))]
            out = torch.full((len(CHIPS), count + 5), torch.nan)
            multiply(out[:, :count], weight, factors, keys, runs, start)
            for rows, own, table in zip(out.split(runs), codes.split(runs), factors):
                assert torch.equal(rows[:, :count], weight * table[own]), (count, start, runs)
            assert out[:, count:].isnan().all()
# Where new tensors are elsewhere.
with torch.device("meta"):
    multiply(out[:, :count], weight, factors, keys, runs, start)
empty = torch.empty(0, 3), torch.empty(3, 0)
multiply(empty[0], torch.ones(3), [factors[0]], keys[:0], [0], 0)
multiply(empty[1], torch.ones(0), [factors[0]], keys[:3], [3], 0)
assert finer > 5, finer
print("the same")
"""


COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bayesft.drift.kernels.gpu_products import _multiply

names = list(_multiply.arg_names)
for several in (False, True):
    for integer in ("i32", "i64"):
        types = dict.fromkeys(["out", "weight", "tables"], "*fp32")
        types |= dict.fromkeys(["which", "keys"], "*i64")
        types |= dict.fromkeys(["count", "stride", "start", "blocks"], integer)
        types |= dict.fromkeys(["several", "size"], "constexpr")
        known = {(names.index("several"),): several, (names.index("size"),): 256}
        # As Triton does with a one.
        for one in ("start", "blocks")[: 2 * several]:
            types[one], known[names.index(one),] = "constexpr", 1
        source = ASTSource(fn=_multiply, signature={n: types[n] for n in names}, constexprs=known)
        compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
print("compiled")
"""


def test_it_compiles_for_a_gpu(tmp_path):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, env=environment
    )
    assert ran.stdout == "compiled\n", ran.stderr


def test_the_kernel_makes_the_same_weights():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert ran.stdout == "the same\n", ran.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it compiles")
def test_where_it_cannot_be_compiled_there_is_none_and_it_is_told(monkeypatch):
    kernels._gpu_multiplier.cache_clear()
    with pytest.warns(UserWarning, match=r"Triton could not compile.*chips are the same"):
        assert kernels._gpu_multiplier("cuda:0") is None
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: None)
    kernels._gpu_multiplier.cache_clear()
    assert kernels._gpu_multiplier("cuda:0") is None
    kernels._gpu_multiplier.cache_clear()
