"""Running the sweeper over a small foreign application, in this process."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

X = "x=interval(0,1)"

# An application that knows nothing of BayesFT but its sweeper.
CONFIG = """
defaults:
  - override hydra/sweeper: bayesft
  - _self_
x: 0.5
width: 4
act: relu
label: null
rates: 0.0
hydra:
  job: {chdir: false}
"""


def sweep(
    folder: Path,
    task: Callable[[DictConfig], Any],
    *overrides: str,
    config: str = CONFIG,
    files: Mapping[str, str] = MappingProxyType({}),
) -> list[list[JobReturn]]:
    """Run `task` through a multirun in `folder` with `overrides`, as the command line would.

    `files` are the contents of other config files, by group and name.
    """
    with tempfile.TemporaryDirectory() as settings:
        for name, content in {"config": config, **files}.items():
            path = Path(settings) / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        with initialize_config_dir(settings, version_base="1.3", job_name="app"):
            return GlobalHydra.instance().hydra.multirun(
                config_name="config",
                task_function=task,
                overrides=[f"hydra.sweep.dir='{folder}'", *overrides],
            )


def results(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "optimization_results.yaml").read_text())


def events(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the journal's events, those of one kind if it is given."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if kind is None or e["event"] == kind]


class Task:
    """A parabola with its top at 0.3 that remembers what it was called with."""

    def __init__(self, result=None):
        self.result = result
        self.seen = []

    def __call__(self, cfg):
        self.seen.append(cfg.x)
        return -((cfg.x - 0.3) ** 2) if self.result is None else self.result(cfg)


def wrap_launcher(monkeypatch, wrapper):
    """Put `wrapper` between the sweeper and whatever launcher is configured."""
    instantiate = Plugins.instantiate_launcher

    def wrapped(self, **settings):
        launcher = instantiate(self, **settings)
        launch = launcher.launch
        launcher.launch = lambda job_overrides, initial_job_idx: wrapper(
            launch, job_overrides, initial_job_idx
        )
        return launcher

    monkeypatch.setattr(Plugins, "instantiate_launcher", wrapped)


def fail(error):
    """Raise inside of an expression."""
    raise error
