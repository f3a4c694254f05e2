"""One training: `python train.py model=lenet5 data=mnist`. See `python train.py --help`."""

if __name__ == "__main__":
    # Before Hydra, which takes a while to import.
    from bayesft.interrupts import leave_quietly_until_at_work, run

    leave_quietly_until_at_work()

import hydra
from omegaconf import DictConfig


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """Hand the config to `bayesft.app`."""
    # Here, so that --help and tab completion do not wait for PyTorch.
    from bayesft.app import train

    return train(cfg)


if __name__ == "__main__":
    run(main)
