"""Run the optimiser's numerics without leaving a trace in the process.

The optimiser is called from inside other programs: between the epochs of a
training, under `no_grad`, with a default device or dtype of their choice. Its
answer must not depend on any of that, and must not change it.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

with warnings.catch_warnings():
    # linear_operator, under GPyTorch, still decorates with torch.jit.script.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=FutureWarning)
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=DeprecationWarning)
    import botorch  # noqa: F401
    from botorch.exceptions.warnings import BotorchWarning
    from linear_operator.utils.warnings import NumericalWarning


def derive_seed(seed: int, *words: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and all of `words`, and on nothing else."""
    text = "\0".join(str(part) for part in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed torch, cap it to one thread, and put everything back afterwards.

    One thread, because the matrices are small: with all threads on two cores a
    fit was several times slower. Inside, torch works on the CPU in float64 and
    records gradients, whatever the caller has set; BoTorch's warnings about
    restarts and jitter, which it deals with itself, are kept from the user.

    Args:
        seed: Of torch's global generator inside the block; the GPU's generators
            are neither used nor touched.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    # As a context even the default device costs a third of the run time.
    device = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    state, numpy_state = torch.get_rng_state(), np.random.get_state()
    try:
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        # Not torch.manual_seed, which would seed the GPU's generators as well.
        torch.default_generator.manual_seed(seed)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            device,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", BotorchWarning)
            warnings.simplefilter("ignore", NumericalWarning)
            # Of a climb that broke off, at the first try or at the second: where it
            # ended is a point, and is scored like any other.
            warnings.filterwarnings(
                "ignore", message="Optimization failed (in|on)", category=RuntimeWarning
            )
            yield
    finally:
        torch.set_rng_state(state)
        np.random.set_state(numpy_state)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
