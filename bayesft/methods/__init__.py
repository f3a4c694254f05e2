"""Ways to train: LightningModules parameterised by a dropout vector."""

from bayesft.methods.ascent import AWP, SAM, SAMSON
from bayesft.methods.checkpoint import load_weights
from bayesft.methods.erm import ERM
from bayesft.methods.ftna import FTNA
from bayesft.methods.noise_injection import NoiseInjection
from bayesft.methods.reram_v import ReRAMV
from bayesft.methods.rescue import Rescue

__all__ = [
    "AWP",
    "ERM",
    "FTNA",
    "SAM",
    "SAMSON",
    "NoiseInjection",
    "ReRAMV",
    "Rescue",
    "load_weights",
]
