"""The backends by name."""

from bayesft.errors import SettingError
from bayesft.robustness.backends.base import Backend
from bayesft.robustness.backends.in_place import InPlace
from bayesft.robustness.backends.vmapped import Vmapped

BACKENDS: dict[str, type[Backend]] = {"in_place": InPlace, "vmap": Vmapped}
AUTO = "auto"


def check_backend(backend: str, *, name: str = "backend") -> str:
    """Return `backend`; raise `SettingError` unless it is the name of one, or `auto`.

    Args:
        backend: what was set.
        name: of the setting.
    """
    if backend not in (AUTO, *BACKENDS):
        raise SettingError(
            f"Expected `{name}` to be one of {', '.join((AUTO, *BACKENDS))}, but got {backend!r}."
        )
    return backend
