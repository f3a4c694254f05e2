"""What is true of chips is true of both ways to make them."""

import pytest

from bayesft.drift import kernels


@pytest.fixture
def by_pytorch(monkeypatch):
    """As where there is no kernel."""
    monkeypatch.setattr(kernels, "_of", lambda device: None)


@pytest.fixture(params=["kernel", "pytorch"])
def either_way(request):
    if request.param == "pytorch":
        request.getfixturevalue("by_pytorch")
    elif kernels._of("cpu") is None:
        pytest.skip("there is no kernel: pip install bayesft[fast], on Linux")
