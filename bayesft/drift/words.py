"""Random words of 64 bits, each a hash of a key and of its place: a counter-based generator.

SplitMix64's hash (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014), with a second key after its first round, so that the words of two keys are
not those of one sequence at two places. In integers, which every device computes alike.

D    number of keys
W    number of words of each
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bayesft.drift.pinned import sent

BITS = 64
STEP = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST = 31


def hash_of(*names: int | str) -> bytes:
    """Return 32 bytes, a function of `names` alone: four words, of each the highest byte first.

    Neighbouring numbers give words as independent as any others.
    """
    return hashlib.sha256("/".join(map(str, names)).encode()).digest()


def keys_of(hashes: Sequence[bytes], device: torch.device) -> Tensor:
    """Return words of D hashes, at least one, as int64, shape `(D, words)`, on `device`."""
    found = np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64).view(np.int64)
    return sent(torch.from_numpy(found).view(len(hashes), -1), device)


def words(keys: Tensor, first: int, count: int) -> Tensor:
    """Return the words at places `first` to `first + count - 1`.

    Args:
        keys: int64, shape `(D, 2)`.
        first: a place.
        count: W.

    Returns:
        int64, shape `(D, W)`, on the keys' device.
    """
    starts = keys[:, :1] + _signed(first * STEP)
    steps = _kept_steps(count) if keys.device.type == "cpu" else _steps(count, keys.device)
    return _hashed(steps + starts, keys[:, 1:])


def words_at(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the word of each key at its place: few, of which PyTorch would take long.

    Args:
        keys: int64, shape `(D, 2)`.
        places: int64, shape `(D,)`.

    Returns:
        uint64, shape `(D,)`.
    """
    first, second = keys.view(np.uint64).T
    numbers = places.view(np.uint64) * np.uint64(STEP) + first
    (shift, factor), (next_shift, next_factor) = ROUNDS
    numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor) ^ second
    numbers = (numbers ^ (numbers >> np.uint64(next_shift))) * np.uint64(next_factor)
    return numbers ^ (numbers >> np.uint64(LAST))


def _hashed(numbers: Tensor, keys: Tensor) -> Tensor:
    """Hash int64 numbers in place; overflow is meant."""
    (shift, factor), (next_shift, next_factor) = ROUNDS
    spare = torch.empty_like(numbers)
    _fold(numbers, shift, spare).mul_(_signed(factor)).bitwise_xor_(keys)
    _fold(numbers, next_shift, spare).mul_(_signed(next_factor))
    return _fold(numbers, LAST, spare)


def _fold(numbers: Tensor, shift: int, spare: Tensor) -> Tensor:
    """Do numbers ^= numbers >> shift, without a sign."""
    torch.bitwise_right_shift(numbers, shift, out=spare)
    return numbers.bitwise_xor_(spare.bitwise_and_((1 << (BITS - shift)) - 1))


def _steps(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, dtype=torch.int64, device=device) * _signed(STEP)


# Few lengths come up in an evaluation, none of them above a block's.
@lru_cache(maxsize=16)
def _kept_steps(count: int) -> Tensor:
    with torch.inference_mode(False):
        return _steps(count, torch.device("cpu"))


def _signed(word: int) -> int:
    """Return a word, or what is left of it beyond 64 bits, as int64 has it."""
    word %= 1 << BITS
    return word - (1 << BITS) if word >> (BITS - 1) else word
