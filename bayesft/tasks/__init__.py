"""What a network is for: what its outputs mean, what training minimises, what is scored.

A method trains any network for any task; a task knows no method. Beside it lies one config
in `conf/task`, and a data set's config says which task it is for.
"""

from bayesft.tasks.base import Task
from bayesft.tasks.classification import Classification
from bayesft.tasks.detection import Detection

__all__ = ["Classification", "Detection", "Task"]
