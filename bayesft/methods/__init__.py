"""Ways to train: LightningModules parameterised by a dropout vector."""

from bayesft.methods.checkpoint import load_weights
from bayesft.methods.erm import ERM

__all__ = ["ERM", "load_weights"]
