"""A search: `python search.py -m hydra/sweeper=bayesft`. See `python search.py --help`."""

if __name__ == "__main__":
    # Before Hydra, which takes a while to import.
    from bayesft.interrupts import leave_quietly_until_at_work, run

    leave_quietly_until_at_work()

from typing import Any

import hydra
from omegaconf import DictConfig


@hydra.main(config_path="conf", config_name="search", version_base="1.3")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Hand the config to `bayesft.app`."""
    # Here, so that --help and tab completion do not wait for PyTorch.
    from bayesft.app import search

    return search(cfg)


if __name__ == "__main__":
    run(main)
