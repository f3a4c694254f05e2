"""What the sweeper refuses."""

from hydra.errors import CompactHydraException


class SweepError(CompactHydraException):
    """A sweep that cannot be run as it was asked for. Hydra prints it without a traceback."""
