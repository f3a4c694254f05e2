"""Words: SplitMix64, with a second key."""

import hashlib
import struct

import numpy as np
import torch

from bayesft.drift.words import hash_of, keys_of, words, words_at

CPU = torch.device("cpu")
STEP = 0x9E3779B97F4A7C15


def keys(*pairs):
    return keys_of([struct.pack(">2Q", *pair) for pair in pairs], CPU)


def digest(*names) -> tuple[int, int, int, int]:
    return struct.unpack(">4Q", hashlib.sha256("/".join(map(str, names)).encode()).digest())


def test_without_a_second_key_it_is_splitmix64():
    """The first numbers of its reference implementation from the seed 0."""
    found = words(keys((STEP, 0)), 0, 3)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert found.numpy().view(np.uint64).tolist() == [expected]


def test_names_have_the_words_that_they_have_always_had():
    """The first eight bytes of SHA-256, the highest first."""
    assert digest("abc")[0] == 0xBA7816BF8F01CFEA
    found = keys_of([hash_of("a", 1)], CPU)
    assert found.numpy().view(np.uint64)[0].tolist() == list(digest("a", 1))


def test_from_any_place():
    both = keys(digest("a")[:2], digest("b")[:2])
    found = words(both, 0, 5000)
    assert found.shape == (2, 5000)
    assert torch.equal(words(both, 1234, 50), found[:, 1234:1284])
    places = np.array([0, 7, 4999])
    for key, row in zip(both, found, strict=True):
        alone = words_at(key.expand(3, 2).numpy(), places)
        assert alone.view(np.int64).tolist() == row[places].tolist()


def test_half_of_the_bits_change_with_a_bit_of_the_key():
    one, second, *_ = digest("a")
    two = one ^ 1 << 5
    pair = words(keys((one, second), (two, second)), 0, 10_000).numpy().view(np.uint8)
    differing = np.unpackbits(pair[0] ^ pair[1]).reshape(10_000, 64).mean(axis=0)
    # Each of 64 bits, of 10,000 words: within 5 errors.
    assert np.abs(differing - 0.5).max() < 5 * 0.5 / 100


def test_two_keys_give_no_shifted_sequences():
    """Keys whose first words differ by steps, as if one chip went on where another began."""
    first, second = digest("a")[:2]
    both = keys((first, second), ((first + 10 * STEP) % (1 << 64), second ^ 1))
    found = words(both, 0, 1000)
    assert not set(found[0].tolist()) & set(found[1].tolist())
