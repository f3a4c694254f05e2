"""The multi-layer perceptron of the paper's study, in any size."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from bayesft.errors import SettingError
from bayesft.models.dropout import Rates, set_dropout
from bayesft.models.layers import activation_layer, dropout_layer, norm_layer


class MLP(nn.Module):
    """Linear layers, each with a dropout site behind it.

    Hidden layer i is linear, norm, activation, dropout; the last is linear,
    dropout. The sites are `fc1` ... `fcN`, the last of them on the logits.

    Shapes: images `(n, channels, image_size, image_size)` to logits `(n, num_classes)`.

    Args:
        channels: of the images.
        image_size: their height and width in pixels.
        num_classes: logits.
        hidden: the widths of the hidden layers; the paper's network is (192, 32)
            on 784 inputs.
        depth: the number of linear layers, the last included. More than `hidden` gives
            are inserted behind the first, as wide as it: depth 6 makes (192, 32) to
            (192, 192, 192, 192, 32). They are initialised last, so that the others start
            with the weights that they have without them. None for no more.
        activation: relu, elu, gelu, leaky_relu or tanh.
        norm: none, batch, layer, group or instance; see `norm_layer`.
        dropout_type: dropout or alpha; see `dropout_layer`.
        dropout: a rate, a vector, or a mapping from site to rate.

    Raises:
        SettingError: a size below 1, a depth below that of `hidden`, an unknown layer,
            or rates that do not fit.
    """

    # A forward pass keeps nothing here: many may be computed at once.
    remembers_nothing = True

    def __init__(
        self,
        *,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        hidden: Sequence[int] = (192, 32),
        depth: int | None = None,
        activation: str = "relu",
        norm: str = "none",
        dropout_type: str = "dropout",
        dropout: Rates = 0.0,
    ) -> None:
        super().__init__()
        widths = [channels * image_size**2, *hidden, num_classes]
        if any(not isinstance(width, int) or width < 1 for width in widths):
            raise SettingError(
                f"Expected the widths of the MLP to be integers of at least 1, but got {widths} "
                "(inputs, `model.hidden`, classes)."
            )
        linear = [nn.Linear(*sizes) for sizes in itertools.pairwise(widths)]
        linear[1:1] = [nn.Linear(widths[1], widths[1]) for _ in range(_more(depth, len(linear)))]
        self.layers = nn.ModuleList()
        self.dropout = nn.ModuleDict()
        for number, each in enumerate(linear, 1):
            layer = nn.Sequential(each)
            if number < len(linear):
                layer.append(norm_layer(norm, each.out_features))
                layer.append(activation_layer(activation))
            self.layers.append(layer)
            self.dropout[f"fc{number}"] = dropout_layer(dropout_type)
        set_dropout(self, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features = images.flatten(1)
        for layer, dropout in zip(self.layers, self.dropout.values(), strict=True):
            features = dropout(layer(features))
        return features


def _more(depth: int | None, least: int) -> int:
    """Return how many layers `depth` has above `least`."""
    if depth is None:
        return 0
    # A network without a hidden layer has no width to repeat.
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < least or least == 1 < depth:
        raise SettingError(
            f"Expected `model.depth` to be null or an integer of at least {least}, which "
            f"`model.hidden` and the last layer make, but got {depth!r}."
            + (" Give `model.hidden` a width to repeat." if least == 1 else "")
        )
    return depth - least
