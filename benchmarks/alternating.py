"""What the parts of the alternating search are worth: each is taken away, one at a time.

    python benchmarks/alternating.py                                       # digits, MLP, Adam
    python benchmarks/alternating.py --data-dir data --epochs 50 --seeds 1   # MNIST, LeNet-5, AdamW

Each row is the mean accuracy on the test set over σ = .3 … 1.5, on the same chips for all rows,
of trainings with as many epochs and the same seeds (initial weights, batches). The last
rows are constant rates, trained for as many epochs without a search.
"""

import argparse
import functools
import json
import logging
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import OneCycleLR

from bayesft.data import DigitsDataModule, ImageDataModule, MNISTDataModule
from bayesft.drift import LogNormalDrift
from bayesft.methods import ERM
from bayesft.methods.phases import PhasedLR
from bayesft.models import MLP, LeNet5
from bayesft.robustness import evaluate
from bayesft.tasks import Classification
from callbacks import DropoutSearch

SIGMAS = [0.3, 0.6, 0.9, 1.2, 1.5]
LR = 0.01
LENGTHS = {"warmup": 0.04, "search": 0.64, "trials": 16}

ABLATIONS: dict[str, dict[str, Any]] = {
    "the alternating search": {},
    "without the progress": {"changing": False},
    "without the initial weights (keep_weights=1)": {"keep_weights": 1.0},
    "the same, without the progress": {"keep_weights": 1.0, "changing": False},
    "from the initial weights alone (keep_weights=0)": {"keep_weights": 0.0},
    "without undoing": {"undo_below": 0.0},
    "without the warm-up": {"warmup": 0.0},
    "without the last phase (search=0.96)": {"search": 0.96, "trials": 24},
    "Sobol points in place of the Gaussian process": {"n_initial": 1000},
}
CONSTANT = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", help="MNIST's, in torchvision's layout; digits if not given")
    parser.add_argument("--epochs", type=int, default=150, help="of each training")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--only", nargs="*", type=int, help="numbers of the rows to run, from 0")
    parser.add_argument("--json", type=Path, help="write the numbers to this file after each row")
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(many workers|LeafSpec|Checkpoint dir).*")

    found: dict[str, list[float]] = {}
    for number, (name, settings) in enumerate(rows()):
        if arguments.only and number not in arguments.only:
            continue
        scores = [
            score(settings, seed, arguments.epochs, arguments.data_dir)
            for seed in range(arguments.seeds)
        ]
        error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
        shown = " ".join(f"{each:.3f}" for each in scores)
        print(
            f"{number:2} {name:50} {statistics.mean(scores):.4f} ± {error:.4f}  {shown}", flush=True
        )
        found[name] = scores
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


def rows() -> Iterator[tuple[str, dict[str, Any] | float]]:
    yield from ABLATIONS.items()
    for rate in CONSTANT:
        yield f"all rates {rate}", rate


def score(settings: dict[str, Any] | float, seed: int, epochs: int, data_dir: str | None) -> float:
    """Train once and return the mean accuracy under drift on the test set."""
    pl.seed_everything(seed, workers=True, verbose=False)
    data = data_module(data_dir, seed)
    module, search = parts(settings, epochs, seed, data_dir)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            gradient_clip_val=1.0,
            callbacks=search,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, data)
    data.setup("test")
    amount = {"draws": 200, "images_per_draw": 100, "seed": 3}
    return evaluate(module, data.test_dataloader(), LogNormalDrift(), SIGMAS, **amount).mean


def data_module(data_dir: str | None, seed: int) -> ImageDataModule:
    if data_dir is None:
        return DigitsDataModule(
            image_size=8, val_size=360, batch_size=64, mean=0.305, std=0.376, shuffle_seed=seed
        )
    return MNISTDataModule(
        data_dir=data_dir, image_size=28, val_size=5000, mean=0.1307, std=0.3081, shuffle_seed=seed
    )


def parts(
    settings: dict[str, Any] | float, epochs: int, seed: int, data_dir: str | None
) -> tuple[ERM, list[pl.Callback]]:
    """Return the module and, unless the rate is a constant, the search."""
    model = MLP(image_size=8) if data_dir is None else LeNet5()
    optimizer = functools.partial(torch.optim.Adam, lr=LR)
    if data_dir is not None:
        optimizer = functools.partial(torch.optim.AdamW, lr=LR, weight_decay=1.0)
    if not isinstance(settings, dict):
        schedule = functools.partial(OneCycleLR, max_lr=LR)
        return ERM(
            model,
            task=Classification(10),
            dropout=settings,
            optimizer=optimizer,
            scheduler=schedule,
        ), []
    lengths = LENGTHS | {name: settings[name] for name in LENGTHS if name in settings}
    schedule = functools.partial(PhasedLR, max_epochs=epochs, **lengths)
    search = DropoutSearch(
        LogNormalDrift(),
        SIGMAS,
        start=(0.2, 0.4),
        search_seed=seed,
        **{**lengths, **settings},
    )
    return ERM(model, task=Classification(10), optimizer=optimizer, scheduler=schedule), [search]


if __name__ == "__main__":
    main()
