import sys

import pytest

from tests.helpers.processes import APP, CONFIG


@pytest.fixture
def command(tmp_path):
    """The start of a command line that searches over a foreign application."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return [
        sys.executable,
        str(tmp_path / "app.py"),
        "-m",
        f"hydra.sweep.dir={tmp_path / 's'}",
        f"calls={tmp_path / 'calls'}",
    ]
