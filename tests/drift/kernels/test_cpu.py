"""The kernels of a CPU make what PyTorch's operations make."""

import ctypes
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from bayesft.drift import Chip, LogNormalDrift, compute, drifted, kernels
from bayesft.drift.compute import CodedDrift
from bayesft.drift.kernels.openmp import openmp
from bayesft.drift.noise import chip_keys, fill_codes
from bayesft.drift.quantiles import BINS, quantiles

CPU = torch.device("cpu")
CHIPS = [(0, 0), (0, 7), (3, 1 << 62)]
# Shorter than a block and than a share, and across their borders.
COUNTS = [1, 15, 257, 100_003]


@pytest.fixture(autouse=True)
def installed():
    pytest.importorskip("numba", reason="pip install bayesft[fast]")
    if openmp() is None:
        pytest.skip("this PyTorch brings no OpenMP of GNU's")


def run(script, *options, **environment):
    """Run it in a process of its own."""
    done = subprocess.run(
        [sys.executable, *options, "-c", script], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def codes_of(count, monkeypatch):
    """Return the codes as PyTorch's operations make them."""
    codes = torch.empty(len(CHIPS), count, dtype=torch.int32)
    with monkeypatch.context() as changed:
        changed.setattr(kernels, "_of", lambda device: None)
        fill_codes(codes, CHIPS)
    return codes


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("start", [0, 1, 2, 3, 1024])
def test_codes_and_products_are_the_same_to_the_bit(monkeypatch, threads, count, start):
    """From any place on, and whatever the number of threads."""
    expected = codes_of(start + count, monkeypatch)[:, start:]
    weight, factors = torch.randn(count), torch.exp(0.7 * quantiles(CPU))
    keys = chip_keys(CHIPS, CPU)
    # Wider than what is written.
    codes = torch.full((len(CHIPS), count + 3), -1, dtype=torch.int32)
    products = torch.empty(len(CHIPS), count)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert kernels.fill(codes[:, :count], keys, start)
        assert kernels.multiplies(products, weight, factors)
        kernels.multiply(products, weight, [factors] * 2, keys, [1, len(CHIPS) - 1], start)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(codes[:, :count], expected)
    assert (codes[:, count:] == -1).all()
    assert torch.equal(products, weight * factors[expected.long()])
    # Of both kinds.
    assert count < 100_000 or (expected >= BINS).sum() > 30


class Own(torch.Tensor):
    """Of which nobody knows where its numbers are."""


@pytest.mark.parametrize(
    "change",
    [
        lambda out, weight, factors: (out.double(), weight.double(), factors.double()),
        lambda out, weight, factors: (out.t().contiguous().t(), weight, factors),
        lambda out, weight, factors: (out, weight[:1].expand(5), factors),
        lambda out, weight, factors: (out, weight[:4], factors),
        lambda out, weight, factors: (out, weight, factors[:-1]),
        lambda out, weight, factors: (out, weight, factors[0].expand(2 * BINS)),
        lambda out, weight, factors: (out, weight.as_subclass(Own), factors),
        lambda out, weight, factors: (out.to("meta"), weight, factors),
    ],
)
def test_what_a_kernel_cannot_read_is_not_given_to_it(change):
    """It is told addresses, and would read and write beyond."""
    tensors = torch.empty(3, 5), torch.ones(5), torch.ones(2 * BINS)
    assert kernels.multiplies(*tensors)
    assert not kernels.multiplies(*change(*tensors))
    assert kernels._of("mps") is None


def test_codes_that_a_kernel_cannot_write_are_not_given_to_it():
    keys = chip_keys(CHIPS, CPU)
    assert not kernels.fill(torch.empty(5, 3, dtype=torch.int32).t(), keys, 0)
    assert not kernels.fill(torch.empty(3, 5, dtype=torch.int64), keys, 0)
    assert not kernels.fill(torch.empty(5, dtype=torch.int32).expand(3, 5), keys, 0)
    with pytest.raises(ValueError, match=r"keys of 3 chips, but got \(1, 4\)"):
        kernels.fill(torch.empty(3, 5, dtype=torch.int32), keys[:1], 0)


def test_one_row_may_have_any_stride(monkeypatch):
    [expected, *_] = codes_of(1000, monkeypatch)
    codes = torch.empty(1000, 1, dtype=torch.int32).t()
    assert codes.stride() == (1, 1)
    assert kernels.fill(codes, chip_keys(CHIPS[:1], CPU), 0)
    assert torch.equal(codes[0], expected)


def test_nothing_is_compiled_with_addresses_in_it():
    """Those of what is gone by the time that it runs."""

    @torch.compile(backend="eager")
    def made():
        codes = torch.empty(3, 5, dtype=torch.int32)
        return kernels.fill(codes, torch.zeros(3, 4, dtype=torch.int64), 0), kernels.multiplies(
            torch.empty(3, 5), torch.ones(5), torch.ones(2 * BINS)
        )

    assert made() == (False, False)


@pytest.mark.parametrize("expanded", [False, True])
def test_a_factor_that_is_no_memory_of_its_own(expanded):
    """The same for each normal, in one number."""

    class Halving(LogNormalDrift):
        def factor(self, normal, sigma):
            half = torch.tensor(0.5 if sigma else 1.0)
            return half.expand(normal.shape if expanded else ())

        def __call__(self, weight, normal, sigma):
            return weight * self.factor(normal, sigma).expand(normal.shape)

    net = torch.nn.Linear(700, 300)
    clean = net.weight.detach().clone()
    with drifted(net, Halving(), 0.3, Chip(0, 0)):
        assert torch.equal(net.weight, clean / 2)


def test_no_keys_are_made_where_there_is_no_kernel(monkeypatch):
    def refused(*arguments):
        raise AssertionError("they take longer than a small network's weights")

    monkeypatch.setattr(compute, "chip_keys", refused)
    weight = torch.randn(9, dtype=torch.float64)
    drift = CodedDrift(LogNormalDrift(), CPU)
    assert not drift.by_kernel(weight.new_empty(1, 9), weight, [(Chip(0, 0), 0.3)])


def test_drift_takes_it():
    """Without codes in between, which would take as long again."""
    weight, out = torch.randn(1000), torch.empty(4, 1000)
    drift, chips = CodedDrift(LogNormalDrift(), CPU), [Chip(0, 0), Chip(0, 1)]
    draws = [(chips[0], 0.3), (chips[1], 0.3), (chips[1], 0.9), (chips[0], 0.3)]
    assert drift.by_kernel(out, weight, draws)
    for (chip, sigma), row in zip(draws, out, strict=True):
        [normals] = chip.normals({"weight": weight}).values()
        assert torch.equal(row, LogNormalDrift()(weight, normals, sigma))


def test_without_numba_there_is_none_and_no_word_of_it():
    """Nor of what comes with it."""
    script = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "absent = ('numba', 'llvmlite')\n"
        "importlib.util.find_spec = lambda name: None if name in absent else find(name)\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "from bayesft.drift import kernels, standard_normals\n"
        "assert kernels._of('cpu') is None\n"
        "assert standard_normals(0, [0], 5).shape == (1, 5)\n"
    )
    run(script, "-W", "error")


@pytest.mark.parametrize(
    "error",
    [
        ImportError("Numba needs NumPy 2.2 or less"),
        ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"),
    ],
)
def test_with_a_numba_that_does_not_work_there_is_none_and_a_warning(monkeypatch, error):
    def broken(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.warns(UserWarning, match=rf"{type(error).__name__}: N.* take longer"):
        assert kernels._of.__wrapped__("cpu") is None


def test_where_pytorch_has_another_openmp_there_is_none(monkeypatch, recwarn):
    class Other:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda path: Other())
    assert openmp.__wrapped__() is None
    monkeypatch.setattr(kernels, "openmp", lambda: None)
    assert kernels._of.__wrapped__("cpu") is None
    assert not recwarn


def test_changed_constants_are_the_kernels_too(monkeypatch):
    """What numba keeps would go on with the old ones."""
    cpu = importlib.import_module("bayesft.drift.kernels.cpu")
    codes, again = (torch.empty(1, 1000, dtype=torch.int32) for _ in range(2))
    keys = chip_keys(CHIPS[:1], CPU)
    assert cpu.fill(codes, keys, 0)
    monkeypatch.setattr(cpu, "_CONSTANTS", cpu._CONSTANTS + np.uint64(2))
    assert cpu.fill(again, keys, 0)
    assert not torch.equal(codes, again)


def test_python_in_place_of_kernels_is_not_taken():
    """It would take a hundred times as long as PyTorch."""
    script = (
        "import warnings\n"
        "from bayesft.drift import kernels\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    assert kernels._of('cpu') is None\n"
        "assert 'NUMBA_DISABLE_JIT' in str(caught[-1].message), caught\n"
    )
    run(script, NUMBA_DISABLE_JIT="1")


@pytest.mark.parametrize(
    "error", [RuntimeError("no locator available"), EOFError("Ran out of input")]
)
def test_they_are_compiled_where_they_cannot_be_kept(monkeypatch, error):
    """As in a container whose folders are all read-only, or where the disk was full once."""
    cpu = importlib.import_module("bayesft.drift.kernels.cpu")
    compiled = cpu.cfunc

    def nowhere_to_keep(signature, cache=False):
        if cache:
            raise error
        return compiled(signature)

    monkeypatch.setattr(cpu, "cfunc", nowhere_to_keep)
    assert cpu._kernel(lambda pointers: None).address


@pytest.mark.parametrize("before", ["standard_normals(0, [0], 100_000)", "torch.ones(10**6).sum()"])
def test_a_forked_process_makes_the_same(before):
    """The threads that its parent had are not there, and are not waited for."""
    script = (
        "import multiprocessing, torch\n"
        "from bayesft.drift import standard_normals\n"
        "from bayesft.drift.noise import fill_codes\n"
        "torch.set_num_threads(2)\n"
        "def made():\n"
        "    codes = torch.empty(1, 100_000, dtype=torch.int32)\n"
        "    fill_codes(codes, [(0, 0)])\n"
        "    return codes.numpy().tobytes()\n"
        "def child(queue):\n"
        "    queue.put(made())\n"
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.Queue()\n"
        f"{before}\n"
        "process = context.Process(target=child, args=(queue,), daemon=True)\n"
        "process.start()\n"
        "assert queue.get(timeout=60) == made()\n"
        "process.join(60)\n"
        "assert process.exitcode == 0, process.exitcode\n"
    )
    run(script, "-W", "ignore")
