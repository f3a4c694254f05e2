"""BayesFT: networks that keep working on weights that drift.

The parts, from the bottom up: `drift` (what happens to a weight), `models` (networks and
their dropout sites), `data` and `bo` (the optimiser of a search); `robustness` (how a score
responds to drift); `tasks` (what outputs mean, and what they are scored by); `methods` (ways to
train); `report`. Each can be imported with those before it; `app` puts them together from
a config.
"""

__version__ = "0.1.0"
