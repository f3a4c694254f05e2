"""Ways to score a network under many draws; one file each, and `choose` among them."""

from bayesft.robustness.backends.base import Backend, mean_and_variance
from bayesft.robustness.backends.choice import choose
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.named import AUTO, BACKENDS, check_backend
from bayesft.robustness.backends.vmapped import Vmapped

__all__ = [
    "AUTO",
    "BACKENDS",
    "Backend",
    "InPlace",
    "Vmapped",
    "check_backend",
    "choose",
    "mean_and_variance",
]
