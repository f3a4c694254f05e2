"""Codewords keep their distance, for any number of classes."""

import numpy as np
import pytest

from bayesft.errors import SettingError
from bayesft.methods.codebook import arranged, codebook


def smallest_distance(words) -> int:
    apart = (words[:, None] != words[None]).sum(-1)
    return int(apart[~np.eye(len(words), dtype=bool)].min())


@pytest.mark.parametrize("classes", [2, 3, 10, 43, 100])
@pytest.mark.parametrize("distance", [1, 2, 3, 5])
def test_the_distance_is_kept_and_no_codeword_stands_twice(classes, distance):
    words = codebook(classes, distance=distance)
    assert len(words) == classes
    assert smallest_distance(words) >= distance
    assert words.dtype == bool


@pytest.mark.parametrize(
    ("classes", "distance", "length"),
    # Hamming codes are lexicodes and perfect: 16 codewords of 7 bits at distance 3; so are
    # the repetition code and the even words.
    [(16, 3, 7), (2, 5, 5), (8, 2, 4), (2048, 3, 15)],
)
def test_known_codes(classes, distance, length):
    assert codebook(classes, distance=distance).shape == (classes, length)


def test_a_length_takes_the_largest_distance_that_it_has():
    words = codebook(10, length=12)
    assert words.shape == (10, 12)
    best = smallest_distance(words)
    assert best >= 5
    with pytest.raises(SettingError, match=r"this takes method.length="):
        codebook(10, length=12, distance=best + 1)


def test_confused_classes_are_farthest_apart():
    words = codebook(10, length=12)
    confusion = np.ones((10, 10))
    for one, other in [(3, 5), (4, 9), (1, 7)]:
        confusion[one, other] = 100
    ordered = arranged(words, confusion)
    assert {tuple(word) for word in ordered} == {tuple(word) for word in words}
    apart = (ordered[:, None] != ordered[None]).sum(-1)
    assert [apart[pair] for pair in [(3, 5), (4, 9), (1, 7)]] == [apart.max()] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 3}, r"`method.length=3` bits tell 8 classes apart.*10. Set method.length=4"),
        ({"length": 6, "distance": 5}, r"not 10 codewords.*takes method.length=1\d or more"),
        ({"distance": 15}, "No code of up to 20 bits has 10 codewords at a distance of 15"),
        ({"length": 0}, "`method.length` to be null or an integer from 1 to 20, but got 0"),
        ({"distance": 2.5}, "`method.distance`.*but got 2.5"),
    ],
)
def test_a_code_that_cannot_be(settings, message):
    with pytest.raises(SettingError, match=message):
        codebook(10, **settings)
