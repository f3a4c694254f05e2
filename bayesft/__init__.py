"""BayesFT: networks that keep working on weights that drift.

The parts, from the bottom up: `drift` (what happens to a weight), `robustness`
(how the score responds), `models` (networks and their dropout sites), `data`,
`methods` (ways to train), `bo` (the search) and `report`. Each can be imported
alone; `app` puts them together from a config.
"""

__version__ = "0.1.0"
