"""A W&B logger that works without a key or a network, and says so."""

import logging
import math
import os
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytorch_lightning.loggers import WandbLogger

from bayesft.report.sheet import Sheet

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 3.0


class WandbRunLogger(WandbLogger):
    """Lightning's `WandbLogger`, one W&B run for each training, and for a study's report.

    It goes offline by itself where no key is set or the server does not answer,
    logs why and how to upload the run later. `WANDB_MODE` decides if it is set.

    Args:
        settings: those of `pytorch_lightning.loggers.WandbLogger`.
    """

    def __init__(self, **settings: Any) -> None:
        reason = None if "WANDB_MODE" in os.environ else offline_reason()
        if reason is not None:
            # Not Lightning's `offline`, which sets a variable that W&B has read by now.
            settings["mode"] = "offline"
            folder = os.path.join(str(settings.get("save_dir", ".")), "wandb")
            log.warning(
                "Weights & Biases runs offline: %s. Upload the run later with "
                "`wandb sync %s/offline-run-*`.",
                reason,
                shlex.quote(folder),
            )
        super().__init__(**settings)
        self._failed = False

    def finalize(self, status: str) -> None:
        """Take down how the training, or its test, has ended; Lightning calls it."""
        super().finalize(status)
        self._failed = self._failed or status == "failed"

    def log_report(
        self,
        name: str,
        sheets: Mapping[str, Sheet],
        figures: Mapping[str, Path],
        pages: Mapping[str, Path],
    ) -> None:
        """Show a study's report: sheets as tables, figures, and pages as they are.

        Args:
            name: what its parts stand under.
            sheets: by name.
            figures: picture files, by name.
            pages: HTML files, by name.
        """
        import wandb

        content: dict[str, Any] = {}
        for each, sheet in sheets.items():
            rows = [[_known(cell) for cell in row] for row in sheet.rows]
            content[f"{name}/{each}"] = wandb.Table(columns=list(sheet.head), data=rows)
        content |= {f"{name}/{k}": wandb.Image(str(path)) for k, path in figures.items()}
        # A page has its own style.
        content |= {f"{name}/{k}": wandb.Html(str(path), inject=False) for k, path in pages.items()}
        self.experiment.log(content)

    def close(self) -> None:
        """End the run, so that the next training in this process starts one of its own."""
        if self._experiment is not None:
            # What W&B finds out itself it would be asked too early.
            self._experiment.finish(exit_code=int(self._failed))


def _known(cell: Any) -> Any:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def offline_reason() -> str | None:
    """Say why W&B cannot be reached, or None if it can."""
    import wandb

    if not wandb.login(prompt=False):
        return "no API key is set (`wandb login` sets one)"
    server = urlsplit(wandb.setup().settings.base_url)
    if server.scheme in getproxies() and not proxy_bypass(server.hostname or ""):
        # Whether a proxy gets through is W&B's to find out.
        return None
    port = server.port or (443 if server.scheme == "https" else 80)
    try:
        socket.create_connection((server.hostname, port), timeout=_PATIENCE_SECONDS).close()
    except OSError as error:
        return f"{server.hostname} does not answer ({error})"
    return None
