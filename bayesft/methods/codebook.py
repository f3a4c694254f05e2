"""Error-correcting codewords for classes. Pure functions on arrays.

C    classes
l    length of a codeword, bits
h    smallest Hamming distance between two codewords; (h - 1) // 2 wrong bits are corrected
"""

import numpy as np

from bayesft.errors import SettingError

DISTANCE = 5
"""The distance where none is asked for: two wrong bits are corrected."""

LONGEST = 20
"""Codes are found by going through all 2^l words."""


def codebook(classes: int, length: int | None = None, distance: int | None = None) -> np.ndarray:
    """Return C codewords of length l and distance h or more, bool, shape `(C, l)`.

    They are the first of the lexicode: words in the order of their binary numbers, each taken
    if it is h or more away from all that were taken before.

    Args:
        classes: C, 2 or more.
        length: l, at most `LONGEST`; None for the shortest that has enough codewords.
        distance: h, at least 1; `DISTANCE` if None, or, where a length is given, the
            largest for which it has enough codewords.

    Raises:
        SettingError: there is no such code; the message tells the shortest length.

    Source: Conway and Sloane, "Lexicographic codes", 1986.
    """
    _check("length", length, LONGEST)
    _check("distance", distance, LONGEST)
    if length is None:
        return _shortest(classes, distance or DISTANCE)
    if distance is not None:
        words = _lexicode(classes, length, distance)
        if len(words) < classes:
            shortest = _shortest(classes, distance).shape[1]
            raise SettingError(
                f"There are not {classes} codewords of `method.length={length}` bits at a "
                f"distance of `method.distance={distance}`: this takes method.length={shortest} or "
                "more."
            )
        return words
    for each in range(length, 0, -1):
        words = _lexicode(classes, length, each)
        if len(words) == classes:
            return words
    shortest = _shortest(classes, 1).shape[1]
    raise SettingError(
        f"`method.length={length}` bits tell {2**length} classes apart, but there are {classes}. "
        f"Set method.length={shortest} or more."
    )


def arranged(words: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Return the codewords in the order of the classes: far apart where classes are confused.

    What is maximised is the sum over pairs of classes of their codewords' distance, weighted by
    how often the two are confused: the classes get their codewords one after the other, the
    most confused one first, each the best that is left; then codewords are exchanged between
    two classes as long as that helps.

    Args:
        words: bool, shape `(C, l)`.
        confusion: shape `(C, C)`: how often class i was taken for class j.

    Returns:
        bool, shape `(C, l)`, the rows of `words` in another order.
    """
    between = confusion + confusion.T
    np.fill_diagonal(between, 0)
    distances = (words[:, None] != words[None]).sum(-1)
    place = np.full(len(words), -1)
    left = list(range(len(words)))
    order = np.argsort(-between.sum(1), kind="stable")
    for step, one in enumerate(order):
        before = order[:step]
        gains = [between[one, before] @ distances[word, place[before]] for word in left]
        place[one] = left.pop(int(np.argmax(gains)))
    return words[_exchanged(place, between, distances)]


def _exchanged(place: np.ndarray, between: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return `place`, the codeword of each class, after exchanges that helped."""
    better = True
    while better:
        better = False
        for one in range(len(place)):
            for other in range(one):
                apart = distances[place]
                # Of the two classes to all; to each other they stay as far as they were.
                others = np.ones(len(place), dtype=bool)
                others[[one, other]] = False
                difference = between[one] - between[other]
                moved = apart[other][place] - apart[one][place]
                if (difference * moved)[others].sum() > 0:
                    place[[one, other]] = place[[other, one]]
                    better = True
    return place


def _shortest(classes: int, distance: int) -> np.ndarray:
    for length in range(1, LONGEST + 1):
        words = _lexicode(classes, length, distance)
        if len(words) == classes:
            return words
    raise SettingError(
        f"No code of up to {LONGEST} bits has {classes} codewords at a distance of {distance}. Set "
        "a smaller method.distance."
    )


def _lexicode(classes: int, length: int, distance: int) -> np.ndarray:
    """Return the first `classes` codewords, or all that there are."""
    numbers = np.arange(2**length)
    bits = (numbers[:, None] >> np.arange(length)[::-1]) & 1
    open_ = np.ones(len(numbers), dtype=bool)
    taken: list[int] = []
    while len(taken) < classes and open_.any():
        word = int(np.argmax(open_))
        taken.append(word)
        open_ &= (bits != bits[word]).sum(1) >= distance
    return bits[taken].astype(bool)


def _check(name: str, value: int | None, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise SettingError(
            f"Expected `method.{name}` to be null or an integer from 1 to {most}, but got "
            f"{value!r}."
        )
