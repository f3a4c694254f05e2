"""The kernel of a GPU, compiled for the CPU, makes the same codes.

On a GPU: tests/robustness/test_gpu.py.
"""

import shutil
import subprocess

import pytest
import torch

from bayesft.drift.kernels.gpu import source
from bayesft.drift.noise import fill_codes
from bayesft.drift.words import hash_of, keys_of

CHIPS = [(0, 0), (0, 7), (3, 1 << 62)]
COUNT, START = 100_003, 4 * 1_234_567
PROGRAM = """
#include <cstdio>
#include <cstdlib>
%s
int main(int count, char** arguments) {
  long long key[4];
  for (int k = 0; k < 4; ++k) key[k] = strtoll(arguments[k + 1], nullptr, 10);
  for (long long place = %d; place < %d; ++place)
    printf("%%lld\\n", code<long long>(place - 3, 3, key[0], key[1], key[2], key[3]));
}
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_the_kernels_source_makes_the_same_codes(tmp_path):
    written = PROGRAM % (source(), START, START + COUNT)
    (tmp_path / "codes.cpp").write_text(written)
    subprocess.run(["c++", "-O1", "-o", "codes", "codes.cpp"], cwd=tmp_path, check=True)
    expected = torch.empty(len(CHIPS), COUNT, dtype=torch.int32)
    fill_codes(expected, CHIPS, start=START)
    keys = keys_of([hash_of(*chip, "weights") for chip in CHIPS], torch.device("cpu"))
    for row, key in zip(expected, keys.tolist(), strict=True):
        ran = subprocess.run(
            [tmp_path / "codes", *map(str, key)], capture_output=True, text=True, check=True
        )
        assert list(map(int, ran.stdout.split())) == row.tolist()
    # Of both kinds.
    assert (expected >= 1 << 16).sum() > 30
