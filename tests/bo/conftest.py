"""What tests of the optimiser's numerics have in common."""

import pytest

from bayesft.bo.isolation import isolated


@pytest.fixture
def in_isolation():
    with isolated(0):
        yield
