"""Networks, and the dropout sites of any network."""

from bayesft.models.dropout import (
    dropout_vector,
    get_dropout,
    set_dropout,
    site_names,
    sites,
)
from bayesft.models.lenet import LeNet5
from bayesft.models.mlp import MLP

__all__ = [
    "MLP",
    "LeNet5",
    "dropout_vector",
    "get_dropout",
    "set_dropout",
    "site_names",
    "sites",
]
