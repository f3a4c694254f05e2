"""Error-correcting output codes: FTNA."""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from bayesft.errors import SettingError
from bayesft.methods.codebook import arranged, codebook
from bayesft.methods.erm import ERM
from bayesft.methods.settings import check_part, epochs_of
from bayesft.tasks import Classification, Task

log = logging.getLogger(__name__)


class FTNA(ERM):
    r"""Classes are codewords, and the nearest one is the answer.

    The last layer has, besides its logits, l more units, one per bit of a codeword. In a
    first phase the logits are trained as plain training does. Then the confusion matrix
    of the validation images gives confused classes codewords that are far apart, and the
    network is trained on with binary cross-entropy between the sigmoids of the l units
    and the bits. From there on the answer is the class whose codeword has the smallest
    Hamming distance to the bits, sigmoids rounded; of several the one with the smallest
    :math:`\sum_i |p_i - c_i|`.

    In the first phase it is `ERM`, from the same initial weights. The codewords are
    part of the state, so that a checkpoint goes on in its phase. One of the first phase
    answers by its logits, also where it was the best of the training; a test says so.

    Source: Liu et al., "A Fault-Tolerant Neural Network Architecture", DAC 2019. Deviations:
    the l units are beside the logits from the beginning, and trained from the second phase
    on; codes are of any length and for any number of classes, from the lexicode.

    Args:
        model: maps images to logits of shape `(n, C)`, which its last `nn.Linear` gives.
        task: classification, of C classes.
        length: l; see `codebook`.
        distance: the smallest Hamming distance between two codewords; see `codebook`.
        plain: which part of the epochs is plain training, from 0 to below 1; it ends with a
            validation.
        settings: see `ERM`.

    Raises:
        SettingError: another task, no such code, or no last linear layer with C outputs.
    """

    codewords: Tensor
    ordered: Tensor
    coded: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        length: int | None = None,
        distance: int | None = None,
        plain: float = 0.3,
        **settings: Any,
    ) -> None:
        if not isinstance(task, Classification):
            raise SettingError(
                f"FTNA gives classes codewords, but this task is {type(task).__name__.lower()}. "
                "Choose another method; method=erm, noise_injection, awp and sam serve any task."
            )
        super().__init__(model, task=task, **settings)
        self.num_classes = num_classes = task.num_classes
        self.plain = check_part("plain", plain)
        words = torch.from_numpy(codebook(num_classes, length, distance))
        _widen(_last_linear(model, num_classes), words.shape[1])
        self.register_buffer("codewords", words)
        # Whether the codewords are by the confusion, and whether the bits answer. A checkpoint that
        # is written between the two is of a network whose bits nobody has trained.
        self.register_buffer("ordered", torch.tensor(False))
        self.register_buffer("coded", torch.tensor(False))
        self.register_load_state_dict_pre_hook(_of_earlier_versions)
        self.confusion = MulticlassConfusionMatrix(num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in the first phase; then minus each class's distance, `(n, C)`."""
        outputs = self.model(images)
        logits, bits = outputs[:, : self.num_classes], outputs[:, self.num_classes :]
        return self.decode(torch.sigmoid(bits)) if self.coded else logits

    def decode(self, bits: Tensor) -> Tensor:
        """Return minus the distance of each codeword, shape `(n, C)`.

        Args:
            bits: in [0, 1], shape `(n, l)`.
        """
        words = self.codewords
        hard = ((bits > 0.5)[:, None] != words).sum(-1)
        soft = (bits[:, None] - words.to(bits.dtype)).abs().sum(-1)
        # At most l, so it decides between equal distances alone.
        return -(hard + soft / (words.shape[1] + 1))

    def training_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        outputs = self.model(images)
        if not self.coded:
            return self.task.loss(outputs[:, : self.num_classes], labels)
        bits = outputs[:, self.num_classes :]
        targets = self.codewords[labels].to(bits.dtype)
        return nn.functional.binary_cross_entropy_with_logits(bits, targets)

    def on_train_start(self) -> None:
        if epochs_of(self.plain, self.trainer) == 0:
            # No confusion is known, and the codewords stay in their own order.
            self.ordered.fill_(True)
        elif not self.coded and not self.trainer.enable_validation:
            raise SettingError(
                "FTNA orders its codewords by the confusion of validation images, and this "
                "training has no validation. Set trainer.limit_val_batches=1.0, or method.plain=0."
            )

    def on_train_epoch_start(self) -> None:
        if self.ordered:
            self.coded.fill_(True)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if not self.coded and not self.trainer.sanity_checking:
            images, labels = batch
            self.confusion.update(self(images), labels)

    def on_validation_epoch_end(self) -> None:
        if self.coded or self.trainer.sanity_checking or self.trainer.state.fn != "fit":
            return
        if self.current_epoch + 1 >= epochs_of(self.plain, self.trainer):
            counts = self.confusion.compute().double().cpu().numpy()
            words = arranged(self.codewords.cpu().numpy(), counts)
            self.codewords.copy_(torch.from_numpy(words))
            self.ordered.fill_(True)
        self.confusion.reset()

    def on_test_start(self) -> None:
        if not self.coded:
            log.warning(
                "The weights that are tested are of FTNA's first phase, plain training: no "
                "epoch with codewords was better. Train longer, or set a smaller method.plain."
            )


def _of_earlier_versions(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Give a state of when codewords were ordered and used at once what it lacks."""
    if f"{prefix}coded" in state:
        state.setdefault(f"{prefix}ordered", state[f"{prefix}coded"])


def _last_linear(model: nn.Module, num_classes: int) -> nn.Linear:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].out_features != num_classes:
        found = f"its last one has {layers[-1].out_features}" if layers else "there is none"
        raise SettingError(
            f"FTNA needs a network whose last nn.Linear gives the {num_classes} logits, but in "
            f"{type(model).__name__} {found}. Use another model, or another method."
        )
    return layers[-1]


@torch.no_grad()
def _widen(layer: nn.Linear, units: int) -> None:
    """Give `layer` so many more outputs; what it has stays, and so does the layer itself."""
    more = nn.Linear(layer.in_features, units, bias=layer.bias is not None)
    more = more.to(layer.weight)
    layer.weight = nn.Parameter(torch.cat([layer.weight, more.weight]))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.cat([layer.bias, more.bias]))
    layer.out_features += units
