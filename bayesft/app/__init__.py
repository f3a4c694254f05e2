"""From a config to a run: the only place that instantiates one."""

from bayesft.app import resolvers as resolvers  # registers them
from bayesft.app.comparison import ComparisonReport
from bayesft.app.factors import FactorReport
from bayesft.app.folder import RunFolder
from bayesft.app.report import SearchReport
from bayesft.app.search import returned_names, search, site_names
from bayesft.app.train import train

__all__ = [
    "ComparisonReport",
    "FactorReport",
    "RunFolder",
    "SearchReport",
    "returned_names",
    "search",
    "site_names",
    "train",
]
