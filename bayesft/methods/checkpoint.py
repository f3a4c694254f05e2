"""Reading the weights of a checkpoint into a module that must fit them."""

import pickle
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from bayesft.errors import CheckpointError

_SHOWN = 5


def load_weights(module: pl.LightningModule, path: str | Path) -> None:
    """Load the weights of the Lightning checkpoint at `path` into `module`.

    Nothing but tensors and plain values is unpickled, so a checkpoint from a
    stranger cannot run code. The module's dropout rates stay its own.

    Raises:
        CheckpointError: the file is missing or unreadable, or holds another
            network; `module` is then as it was.
    """
    state = read_state(path)
    check_fits(module, state, path)
    module.load_state_dict(state)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of the checkpoint at `path`, on the CPU.

    Raises:
        CheckpointError: the file is missing or is no Lightning checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["state_dict"]
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint at {path}.") from None
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint that can be read safely ({type(error).__name__}). "
            "Expected a file that a BayesFT training wrote, such as checkpoints/best.ckpt."
        ) from error


def check_goes_on(path: str | Path) -> None:
    """Raise `CheckpointError` if the checkpoint at `path` holds weights, and no training."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    if "optimizer_states" not in content:
        raise CheckpointError(
            f"{path} holds weights alone, from which no training can go on. To test them, under "
            "another drift, say, give test_only in place of ckpt_path; to go on, a "
            "checkpoints/last.ckpt."
        )


def check_fits(module: pl.LightningModule, state: dict[str, Tensor], path: str | Path) -> None:
    """Raise `CheckpointError` unless `state` has the names and shapes of `module`."""
    own = module.state_dict()
    lines = [f"{name}: in the checkpoint alone" for name in state if name not in own]
    lines += [f"{name}: in the network alone" for name in own if name not in state]
    lines += [
        f"{name}: {tuple(state[name].shape)} in the checkpoint, {tuple(own[name].shape)} here"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if lines:
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise CheckpointError(
            f"The checkpoint {path} belongs to another network than the configured one:\n  "
            + "\n  ".join(lines[:_SHOWN] + more)
            + "\nGive the model and data settings that it was trained with; they stand in "
            ".hydra/config.yaml of its run."
        )
