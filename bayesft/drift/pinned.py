"""Numbers on their way to a GPU."""

import torch
from torch import Tensor


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Return numbers of a CPU's memory on `device`, for which nobody waits."""
    if device.type == "cuda":
        # A copy is waited for unless it is from memory that is pinned.
        numbers = numbers.pin_memory()
    # Elsewhere it would be read before it is there, or after it is gone.
    return numbers.to(device, non_blocking=device.type == "cuda")


def rows_at(tensor: Tensor, places: list[int]) -> Tensor:
    """Return the rows at these places, which nobody waits for.

    The tensor itself if they are all of them, in order.
    """
    if places == list(range(len(tensor))):
        return tensor
    return tensor.index_select(0, sent(torch.tensor(places, device="cpu"), tensor.device))
