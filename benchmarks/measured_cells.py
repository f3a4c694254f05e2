"""Whether cells that are measured tell what a network on such cells will do.

    python benchmarks/measured_cells.py

For each drift: cells are written to evenly spread conductances and drift, as an engineer would
measure them; then a network (the MLP, on scikit-learn's digits, plain training) is evaluated under
that drift, and under `MeasuredDrift` of those cells at sigma 1. Accuracy on test images, with its
standard error.
"""

import argparse
import logging
import warnings
from functools import partial

import pytorch_lightning as pl
import torch

from bayesft.data import DigitsDataModule
from bayesft.drift import (
    AdditiveDrift,
    Drift,
    LogNormalDrift,
    MeasuredDrift,
    PCMDrift,
    StuckAtDrift,
    standard_normals,
)
from bayesft.methods import ERM
from bayesft.models import MLP
from bayesft.robustness import evaluate
from bayesft.tasks import Classification

CASES: list[tuple[str, Drift, float]] = [
    ("lognormal", LogNormalDrift(), 0.5),
    ("lognormal", LogNormalDrift(), 1.0),
    ("additive", AdditiveDrift(), 0.1),
    ("additive", AdditiveDrift(), 0.3),
    ("stuck_at", StuckAtDrift(), 0.1),
    ("pcm", PCMDrift(), 2.0),
    ("pcm", PCMDrift(), 4.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, nargs="*", default=[300, 3000, 30_000])
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(many workers|LeafSpec).*")
    data = DigitsDataModule(image_size=8, val_size=0.1)
    data.prepare_data()
    data.setup()
    network = trained(data)
    heads = ["itself", *(f"{count:,} cells" for count in arguments.cells)]
    print(f"{'':16} " + "  ".join(f"{head:>13}" for head in heads))
    for name, drift, sigma in CASES:
        measured = [MeasuredDrift(*cells(drift, sigma, count)) for count in arguments.cells]
        curves = [
            evaluate(network, data.test_set, each, [strength], target_stderr=0.003)
            for each, strength in ((drift, sigma), *((each, 1.0) for each in measured))
        ]
        scores = "  ".join(f"{curve.mean:.3f} ± {curve.stderr:.3f}" for curve in curves)
        print(f"{name:10} {sigma:5} {scores}", flush=True)


def cells(drift: Drift, sigma: float, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is written to cells, and what is read: one array of them, drifting."""
    written = torch.linspace(0, 1, count)
    return written, drift(written, standard_normals(99, [0], count)[0], sigma)


def trained(data: pl.LightningDataModule) -> torch.nn.Module:
    torch.manual_seed(0)
    module = ERM(MLP(image_size=8), task=Classification(10), optimizer=partial(torch.optim.Adam))
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=30, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module.model.eval()


if __name__ == "__main__":
    main()
