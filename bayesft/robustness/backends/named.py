"""The backends by name."""

from bayesft.errors import SettingError
from bayesft.robustness.backends.base import Backend
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped

BACKENDS: dict[str, type[Backend]] = {"in_place": InPlace, "vmap": Vmapped}
AUTO = "auto"


def check_backend(name: str) -> str:
    """Return `name`; raise `SettingError` unless it is a backend's, or `auto`."""
    if name not in (AUTO, *BACKENDS):
        raise SettingError(
            f"Expected `backend` to be one of {', '.join((AUTO, *BACKENDS))}, but got {name!r}."
        )
    return name
