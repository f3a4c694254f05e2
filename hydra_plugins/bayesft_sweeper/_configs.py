"""What Hydra composes: the config that a search begins from, and that of each job."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from bayesft.bo import Categorical, Dimension, Trial
from bayesft.errors import reason_of
from bayesft.folders import override
from bayesft.report.recipe import recipe_of_trials
from hydra_plugins.bayesft_sweeper._errors import SweepError
from hydra_plugins.bayesft_sweeper._grammar import Request, parse_request
from hydra_plugins.bayesft_sweeper._jobs import Job
from hydra_plugins.bayesft_sweeper._vectors import Layout, lay_out

log = logging.getLogger("bayesft.search")


class Configs:
    """From what was typed to what is searched, and from a trial to its job.

    Args:
        arguments: the overrides that were typed.
        settings: those of `BayesFTSweeperConf`.
        loader: Hydra's.
        config: of the sweep.

    Attributes:
        folder: of the sweep.
        request: what the user asked for.
        layout: what is searched.
        start: the first points.
        returned: the names of what the task returns beside `value`; None where it does not say.
        recipe: the settings that decide what a trial is worth; see `_recipe`.

    Raises:
        SweepError: what was asked for cannot be searched.
        HydraException: a config cannot be composed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        settings: Mapping[str, Any],
        loader: ConfigLoader,
        config: DictConfig,
    ) -> None:
        self._loader, self._config = loader, config
        self.folder = Path(str(config.hydra.sweep.dir))
        parser = OverridesParser.create(config_loader=loader)
        params = OmegaConf.to_container(OmegaConf.create(settings["params"] or {}))
        self.request: Request = parse_request(arguments, params, parser)
        vectors = OmegaConf.to_container(OmegaConf.create(settings["vectors"] or {}))
        with self._composed(self.request.fixed) as composed:
            self.layout: Layout = lay_out(self.request, vectors, composed)
            if vectors and not self.layout.dimensions:
                keys = ", ".join(vectors)
                raise SweepError(
                    f"There is nothing to search: {keys} has no elements in this config, or is "
                    "given, and nothing else is swept. Sweep something: x='interval(0,1)'."
                )
            self.start = self.layout.start(composed)
            self.recipe = _recipe(composed)
            self.returned = _returned(settings["returns"], composed)
        self._check_choices()
        if settings["warm_start"]:
            self._check_warm_start()

    def job(self, trial: Trial, source: Trial | None) -> Job:
        """Return what runs a trial, which takes up `source` if there is one.

        Raises:
            HydraException: its config cannot be composed.
        """
        overrides = [*self.request.fixed, *self.layout.overrides(trial.params)]
        if source is not None:
            source_folder = (self.folder / source.folder).absolute()
            overrides.append(override("warm_start.folder", source_folder))
        number = trial.job or 0
        config = self._compose(overrides)
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        subdir = str(config.hydra.sweep.subdir)
        told = tuple(config.hydra.overrides.task)
        return Job(trial, number, tuple(overrides), told, self.folder, subdir)

    def _check_choices(self) -> None:
        """Tell before any job of a key, or a choice of a config group, that does not exist."""
        groups = [key for key, each in self.layout.scalars.items() if self._is_group(key, each)]
        for point in self.layout.samples(self.start[0], groups) if self.start else ():
            self._compose([*self.request.fixed, *self.layout.overrides(point)])
            chosen = [f"{key}={point[key]}" for key in groups if point[key] != self.start[0][key]]
            if chosen and self.layout.vectors:
                self._check_names(point, *chosen)

    def _check_names(self, point: Mapping[str, Any], choice: str) -> None:
        """Tell of a choice with which a vector would have other elements, such as a network."""
        with self._composed([*self.request.fixed, *self.layout.scalar_overrides(point)]) as config:
            try:
                self.layout.check_names(config, choice)
            except SweepError:
                raise
            except Exception as error:
                # Trials that have this choice will fail, and others not.
                log.warning("%s cannot be made: %s", choice, reason_of(error))

    def _check_warm_start(self) -> None:
        try:
            self._compose([*self.request.fixed, override("warm_start.folder", self.folder)])
        except HydraException as error:
            raise SweepError(
                "hydra.sweeper.warm_start gives each job the folder of an earlier one as "
                "warm_start.folder, a key that the application has to have and to start from, but "
                f"its config has none: {reason_of(error)}"
            ) from error

    def _is_group(self, key: str, dimension: Dimension) -> bool:
        """Whether a swept key chooses config files."""
        group = key.lstrip("+").split("@")[0]
        chosen = isinstance(dimension, Categorical)
        return chosen and bool(self._loader.get_group_options(group))

    @contextmanager
    def _composed(self, overrides: Sequence[str]) -> Iterator[DictConfig]:
        """Yield a config that resolves what it says of Hydra (`${hydra:...}`), as inside a job."""
        config = self._compose(overrides)
        with open_dict(config):
            config.hydra.runtime.output_dir = str(self.folder)
        with _hydra_config(config):
            yield config

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        return self._loader.load_sweep_config(self._config, list(overrides))


def _returned(function: str | None, config: DictConfig) -> list[str] | None:
    if function is None:
        return None
    try:
        return list(get_method(function)(config))
    except Exception as error:  # Whatever importing or calling it raises.
        raise SweepError(
            "Expected hydra.sweeper.returns to be the path of a function from the config to names, "
            f"but got {function}: {reason_of(error)}"
        ) from error


def _recipe(config: DictConfig) -> dict[str, Any]:
    """Return what decides what trials are worth, as the journal has it; see `recipe_of_trials`."""
    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    try:
        settings = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException:
        # The jobs will tell.
        return {}
    # A tuple is a list there.
    return json.loads(json.dumps(recipe_of_trials(settings), default=str))


@contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """Let `config` resolve what it says of Hydra (`${hydra:...}`), as inside a job."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before
