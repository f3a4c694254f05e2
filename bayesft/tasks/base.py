"""What a task is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from bayesft.errors import SettingError
from bayesft.robustness.batches import form_of


class Task(ABC):
    """What a network's outputs mean. Batches are `(images, targets)`.

    To add a task, derive from this class and put one config beside
    `conf/task/classification.yaml`.

    Attributes:
        num_classes: as the targets count them.
        name: of the score, as logs and checkpoints call it: `val/<name>`.
        title: of the score, as tables and figures call it.
        clean_name: of the score without drift among what a search's trial returns.

    Args:
        num_classes: at least 1.
        name: see above.
        title: see above.

    Raises:
        SettingError: the number of classes is none.
    """

    def __init__(self, num_classes: int, *, name: str, title: str) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise SettingError(
                "Expected `task.num_classes` to be an integer of at least 1, but got "
                f"{num_classes!r}. It comes from `data.num_classes`."
            )
        self.num_classes = num_classes
        self.name = name
        self.title = title

    @property
    def clean_name(self) -> str:
        return f"clean_{self.name}"

    @abstractmethod
    def check(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        """Raise unless `network` takes such images and gives what this task expects.

        Args:
            network: any.
            image_shape: channels, height and width.

        Raises:
            SettingError: it does not.
        """

    def check_batch(self, batch: Any, source: str, *, training: bool) -> None:
        """Raise unless `batch` has the form that this task expects.

        Args:
            batch: the first of a loader.
            source: what it came from, as a message names it.
            training: whether it is trained on.

        Raises:
            SettingError: it has another form.
        """
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise SettingError(
                f"Expected `{source}` to give (images, targets), but got {form_of(batch)}. Have "
                "its data set return pairs, or its collate_fn make one of what it does return."
            )

    def check_targets(self, targets: Any, source: str) -> None:  # noqa: B027, nothing is a default
        """Raise if targets have values that they cannot have; a GPU is not asked for them.

        Args:
            targets: of any batch of a loader, whose first has the form that it should have.
            source: see `check_batch`.

        Raises:
            SettingError: they have.
        """

    @abstractmethod
    def inputs(self, images: Any, targets: Any) -> tuple:
        """Return what a network in training mode is called with."""

    @abstractmethod
    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return what training minimises, a scalar, of what the network returned."""

    def validation_loss(self, outputs: Any, targets: Any) -> Tensor | None:
        """Return the loss of a network in eval mode; None where its outputs do not give one."""
        return self.loss(outputs, targets)

    @abstractmethod
    def meters(self) -> dict[str, Metric]:
        """Return new metrics by name, each updated with `(outputs, targets)` in eval mode."""

    @abstractmethod
    def score(self, model: nn.Module, batch: Any) -> Tensor:
        """Score a network in eval mode; see `bayesft.robustness.Score`."""

    @abstractmethod
    def clean(self, model: nn.Module, batches: Iterable[Any]) -> float:
        """Return the score on all images of `batches`, without drift.

        Model, modes and random state are as before afterwards.
        """
