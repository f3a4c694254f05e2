"""The kernels of a CPU make what PyTorch's operations make."""

import importlib
import subprocess
import sys

import pytest
import torch

from bayesft.drift import Chip, LogNormalDrift, kernels
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
        assert kernels.multiply(products, weight, factors, keys, start)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(codes[:, :count], expected)
    assert (codes[:, count:] == -1).all()
    assert torch.equal(products, weight * factors[expected.long()])
    # Of both kinds.
    assert count < 100_000 or (expected >= BINS).sum() > 30


def test_what_there_is_no_kernel_for_is_not_done():
    keys, factors = chip_keys(CHIPS, CPU), torch.ones(2 * BINS, dtype=torch.float64)
    weight = torch.ones(5, dtype=torch.float64)
    assert not kernels.multiply(weight.expand(3, 5).clone(), weight, factors, keys, 0)
    assert kernels._of("mps") is None


def test_drift_takes_it():
    """Without codes in between, which would take as long again."""
    weight, out = torch.randn(1000), torch.empty(2, 1000)
    drift, chips = CodedDrift(LogNormalDrift(), CPU), [Chip(0, 0), Chip(0, 1)]
    assert drift.straight(out, weight, chips, 0.3)
    for chip, row in zip(chips, out, strict=True):
        [normals] = chip.normals({"weight": weight}).values()
        assert torch.equal(row, LogNormalDrift()(weight, normals, 0.3))


def test_without_numba_there_is_none_and_no_word_of_it(monkeypatch, recwarn):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "bayesft.drift.kernels.cpu", raising=False)
    assert kernels._of.__wrapped__("cpu") is None
    assert not recwarn


def test_with_a_numba_that_does_not_work_there_is_none_and_a_warning(monkeypatch):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.2 or less")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.warns(UserWarning, match=r"ImportError: Numba needs NumPy.* take longer"):
        assert kernels._of.__wrapped__("cpu") is None


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
    done = subprocess.run(
        [sys.executable, "-c", script], env={"NUMBA_DISABLE_JIT": "1"}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_they_are_compiled_where_they_cannot_be_kept(monkeypatch):
    """As in a container whose folders are all read-only."""
    cpu = importlib.import_module("bayesft.drift.kernels.cpu")
    compiled = cpu.cfunc

    def nowhere_to_keep(signature, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiled(signature)

    monkeypatch.setattr(cpu, "cfunc", nowhere_to_keep)
    assert cpu._kernel(lambda pointers: None).address


def test_a_forked_process_makes_the_same():
    """As a loader's workers are: with one thread, or OpenMP would wait for those left behind."""
    script = (
        "import multiprocessing, torch\n"
        "from bayesft.drift import standard_normals\n"
        "expected = standard_normals(0, [0], 100_000)\n"
        "def child():\n"
        "    torch.set_num_threads(1)\n"
        "    assert torch.equal(standard_normals(0, [0], 100_000), expected)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start()\n"
        "process.join(60)\n"
        "assert process.exitcode == 0, process.exitcode\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
