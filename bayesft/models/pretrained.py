"""The classifiers of torchvision, with or without their trained weights."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from bayesft.errors import SettingError, reason_of

log = logging.getLogger(__name__)

# Those whose training mode returns the logits of auxiliary classifiers as well.
_WITH_AUXILIARIES = ("googlenet", "inception_v3")
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


def torchvision_model(
    name: str,
    *,
    num_classes: int = 1000,
    image_size: int = 224,
    weights: str | None = None,
    **settings: Any,
) -> nn.Module:
    """Return a classifier of torchvision.

    Auxiliary classifiers (GoogLeNet, Inception) are left out: they serve training at a
    time before batch normalisation. With `weights` the last layer is new
    where `num_classes` is not that of the weights.

    Shapes: images `(n, 3, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        name: one of `torchvision.models.list_models(module=torchvision.models)`, such as vit_b_16.
        num_classes: logits.
        image_size: their height and width in pixels, which vision transformers must know.
        weights: null; a name among the model's weights (IMAGENET1K_V1, DEFAULT), which
            are downloaded once; or a file with a `state_dict` of this model, or a checkpoint
            of a training of it.
        settings: of the model in torchvision.

    Raises:
        SettingError: an unknown name or weights, weights that cannot be downloaded or do
            not fit, or settings that the model refuses.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(names)}."
        raise SettingError(
            f"`model.name` is {name!r}, which is no classifier of torchvision. {hint}"
        )
    # Before the model, which may be large.
    state = None if weights is None else read_weights(name, weights)
    if name.startswith("vit_"):
        settings = {"image_size": image_size} | settings
    if name in _WITH_AUXILIARIES:
        settings = {"aux_logits": False, "init_weights": state is None} | settings
        if state is not None:
            # Their weights expect what TensorFlow's preprocessing gave.
            settings = {"transform_input": True} | settings
    try:
        model = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes, **settings
        )
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SettingError(
            f"torchvision's {name} cannot be made with {_shown(settings, num_classes)} "
            f"({reason_of(error)}). Its own settings are in the documentation of "
            f"torchvision.models.{name}; vision transformers need an image size that their "
            "patches divide."
        ) from error
    if state is not None:
        load_weights(model, state, f"{weights} of {name}")
    return model


def read_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Return weights by name.

    Args:
        name: of the model in torchvision.
        weights: a name among its weights, which are downloaded once, or a file with a
            `state_dict` of it or a checkpoint of a training of it.

    Raises:
        SettingError: there are no such weights, or they cannot be downloaded or read.
    """
    if Path(weights).is_file():
        return _from_file(Path(weights))
    known = torchvision.models.get_model_weights(name)
    if weights not in known.__members__:
        raise SettingError(
            f"`model.weights` is {weights!r}, which is neither a file nor weights of {name}; they "
            f"are {', '.join(known.__members__) or 'none'}. Null trains from scratch."
        )
    chosen = known[weights]
    try:
        return chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise SettingError(
            f"`model.weights={weights}` could not be downloaded ({reason_of(error)}). Fetch "
            f"{chosen.url} on another machine and put it into {folder}, name the file with "
            "model.weights=<file>, or train from scratch: model.weights=null."
        ) from error


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # The unpickler raises whatever the bytes happen to say.
    except Exception as error:
        raise SettingError(
            f"`model.weights={path}` cannot be read ({reason_of(error)}). Expected what "
            "`torch.save(model.state_dict(), path)` writes."
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        # A checkpoint of a training here, whose network is called `model`.
        state = {
            name.removeprefix("model."): value
            for name, value in state["state_dict"].items()
            if name.startswith("model.")
        }
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise SettingError(
            f"`model.weights={path}` holds no weights by name, but {type(state).__name__}. "
            "Expected what `torch.save(model.state_dict(), path)` writes, or a checkpoint of "
            "train.py."
        )
    return dict(state)


def load_weights(
    model: nn.Module, state: dict[str, Tensor], what: str, *, last_layers: int = 1
) -> None:
    """Give `model` the weights, but to its last layers where these are for other classes.

    Args:
        model: any network.
        state: weights by name.
        what: they are, for messages.
        last_layers: how many layers may be for other classes.

    Raises:
        SettingError: they do not fit.
    """
    state = {name: value for name, value in state.items() if not name.startswith(_AUXILIARY)}
    own = model.state_dict()
    other = {n for n in own.keys() & state.keys() if own[n].shape != state[n].shape}
    missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
    # The last layer has one row per class, in its weight and in its bias.
    head = {name for name in other if own[name].shape[1:] == state[name].shape[1:]}
    layers = {name.rpartition(".")[0] for name in head}
    if missing or unknown or other != head or len(layers) > last_layers:
        wrong = sorted((other - head) | missing | unknown or head)[0]
        raise SettingError(
            f"The weights {what} do not fit the network: {wrong} is {_form(own, wrong)} in the "
            f"network and {_form(state, wrong)} in the weights. They were trained at the "
            "data.image_size and with the settings that torchvision's documentation names."
        )
    for name in head:
        del state[name]
    model.load_state_dict(state, strict=False)
    if head:
        log.info("The last layer is new, for other classes than %s: %s", what, ", ".join(head))


def _form(state: dict[str, Tensor], name: str) -> str:
    return str(tuple(state[name].shape)) if name in state else "missing"


def _shown(settings: dict[str, Any], num_classes: int) -> str:
    return ", ".join(
        f"{key}={value}" for key, value in ({"num_classes": num_classes} | settings).items()
    )
