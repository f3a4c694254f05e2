"""The Lightning edge: callbacks and loggers that any LightningModule can carry."""

from callbacks.drift_evaluation import DriftEvaluation
from callbacks.dropout_search import DropoutSearch
from callbacks.random_state import RandomState

__all__ = ["DriftEvaluation", "DropoutSearch", "RandomState"]
