"""What tests of several folders ask for."""

import pytest
import torch

from tests.helpers.gpus import RealGPU, pretended_gpu


@pytest.fixture
def gpu():
    """A GPU, which is a pretended one where there is none."""
    if torch.cuda.is_available():
        yield RealGPU()
    else:
        with pretended_gpu() as gpu:
            yield gpu
