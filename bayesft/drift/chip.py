"""One chip: the random numbers behind one draw."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesft.errors import SettingError


def seeded_generator(*words: int | str) -> torch.Generator:
    """Return a fresh CPU generator, a function of `words` alone.

    Hashing makes neighbouring seeds and indices as independent as any others.
    """
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@dataclass(frozen=True)
class Chip:
    """The standard normals of one draw, a function of (seed, index) alone.

    The same chip can be read again for another sigma, another network of the same
    shape, or in another process. The normals of a network are consecutive
    slices of one stream, in the order of its drifting parameters, so two networks
    with the same parameters meet the same chip.

    They are always made on the CPU, so that a chip is the same whatever device
    the network is on.

    Args:
        seed: names a family of chips; 0 or larger.
        index: the chip's number in its family; 0 or larger.

    Raises:
        SettingError: either is negative or not an integer.
    """

    seed: int
    index: int

    def __post_init__(self) -> None:
        for name in ("seed", "index"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise SettingError(
                    f"Expected a chip's `{name}` to be an integer, 0 or larger, but got {value!r}."
                )

    def normals(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return float32 standard normals, one tensor per weight, of its shape and device."""
        sizes = [weight.numel() for weight in weights.values()]
        generator = seeded_generator(self.seed, self.index, "weights")
        stream = torch.randn(sum(sizes), generator=generator, dtype=torch.float32)
        slices = stream.split(sizes)
        return {
            name: part.view(weight.shape).to(weight.device)
            for (name, weight), part in zip(weights.items(), slices, strict=True)
        }
