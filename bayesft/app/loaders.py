"""What is wrong with the loaders of a data module, such as one's own, in words."""

import contextlib
import re
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.model_helpers import is_overridden

from bayesft.errors import SettingError

# How Lightning and PyTorch say it.
_NO_LOADER = re.compile(r"invalid dataloader was returned from `\w+\.(\w+)\(\)`\. Found (.*)\.$")
_SEVERAL = re.compile(r"You provided multiple `(\w+)`")
_SIZES = re.compile(r"stack expects each tensor to be equal size, but got (.*)")


def check_test_loader(data: pl.LightningDataModule) -> None:
    """Raise if a data module that needs no `setup` has nothing to test on.

    So that it is told before a training. With a `setup` the test images may come after it.

    Raises:
        SettingError: there is no test loader, or there are several, or it is empty.
    """
    if is_overridden("setup", data, pl.LightningDataModule):
        return
    loaders = data.test_dataloader()
    if loaders is None:
        raise _no_loader("test_dataloader", "None")
    loaders = loaders if isinstance(loaders, (list, tuple)) else [loaders]
    check_counts([_length(each) for each in loaders], "test_dataloader")


def check_counts(batches: Sequence[float], source: str) -> None:
    """Raise unless there is one loader, and batches in it.

    Args:
        batches: how many each loader has; infinity for one that does not tell.
        source: what they came from, as a message names it.

    Raises:
        SettingError: there are several, or no batches.
    """
    if len(batches) > 1:
        raise _several(source)
    if not sum(batches):
        raise SettingError(
            f"Expected `{source}` to give batches, but it gives none. Give its data set images; "
            "with drop_last=True there must be as many as batch_size at least."
        )


@contextlib.contextmanager
def told_in_words() -> Iterator[None]:
    """Make a `SettingError` of what Lightning and PyTorch say of loaders in the block."""
    try:
        yield
    except TypeError as error:
        found = _NO_LOADER.search(str(error))
        if found is None:
            raise
        raise _no_loader(*found.groups()) from error
    except RuntimeError as error:
        if found := _SEVERAL.search(str(error)):
            # Lightning looks before it calls any callback.
            raise _several(found[1]) from error
        found = _SIZES.search(str(error))
        # A worker process writes where it was into the message.
        if found is None or "collate" not in "".join(traceback.format_exception(error)):
            raise
        raise SettingError(
            "Expected the images of a batch, and what belongs to them, to have one size, but got "
            f"{found[1]}. Have the data set bring them to one "
            "(torchvision.transforms.v2.Resize((height, width))), or its loader's collate_fn."
        ) from error


def _no_loader(source: str, found: str) -> SettingError:
    return SettingError(
        f"Expected `{source}` of the data module to return a loader, such as a "
        f"torch.utils.data.DataLoader, but got {found}. Does it end with a return?"
    )


def _several(source: str) -> SettingError:
    return SettingError(
        f"Expected `{source}` to return one loader, but got several, and which of them the score "
        "is of would be a guess. Join their sets (torch.utils.data.ConcatDataset), or evaluate the "
        "others with bayesft.robustness.evaluate."
    )


def _length(loader: Any) -> float:
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        # Of an iterable set.
        return float("inf")
