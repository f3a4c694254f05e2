"""The Lightning edge: callbacks and loggers that any LightningModule can carry."""

from callbacks.drift_evaluation import DriftEvaluation

__all__ = ["DriftEvaluation"]
