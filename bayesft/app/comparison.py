"""The plan and the report of a comparison of contenders."""

from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from bayesft.app.commands import searchpath
from bayesft.app.multirun import StudyReport
from bayesft.app.publish import Report
from bayesft.locks import Lock
from bayesft.report import show
from bayesft.report.compare import MixedRunsError, Plan, report_comparison
from bayesft.report.compare.folder import FIGURE, PAGE
from bayesft.report.compare.plan import is_renamed, key_of
from bayesft.report.compare.sheets import contenders_sheet, runs_sheet
from bayesft.report.examples_figure import PICTURE


class ComparisonReport(StudyReport):
    """Reports on a multirun of `experiment=compare` when it ends; see `bayesft.report.compare`.

    At its start it leaves the plan in the folder, so that the report on a comparison which
    was stopped knows what is missing.
    """

    nodes = ("comparison",)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        swept = [f"{key}={value}" for key, value in config.hydra.sweeper.get("params", {}).items()]
        values: dict[str, list[str]] = {}
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        # In Hydra's order: what the command line says wins.
        for each in parser.parse_overrides([*swept, *config.hydra.overrides.task]):
            if each.is_sweep_override() and each.is_discrete_sweep():
                values[each.key_or_group] = list(each.sweep_string_iterator())
            else:
                values[each.key_or_group] = [each.get_value_element_as_str()]
        known = loader.get_group_options("contender")
        asked = [name.strip("'\"") for name in values.get("contender", [])]
        if not all(name in known or "/" in name for name in asked):
            # Hydra says so in a moment, and no report is to miss it for ever.
            return
        seeds = [int(seed) for seed in values.get("seed", []) if seed.isdigit()]
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        typed = [*searchpath(config.hydra.overrides.hydra), *config.hydra.overrides.task]
        renamed = is_renamed(typed)
        # Where a name depends on other settings, what there will be is not known.
        names = [n for n in values["comparison.contender"] if "${" not in n] if renamed else asked
        left_out = {"seed"} if renamed else {"seed", "contender"}
        kept = [each for each in typed if key_of(each) not in left_out]
        plan = Plan(tuple(names), tuple(seeds), dict.fromkeys(names, kept))
        # Another multirun may begin in the same folder.
        with Lock(folder / "comparison.lock"):
            Plan.read(folder).joined(plan).write(folder)

    def report(self, folder: Path) -> Report:
        try:
            found = report_comparison(folder)
        except MixedRunsError as error:
            # More runs would not mend it.
            show(str(error))
            raise SystemExit(1) from error
        figures = {"curves": folder / FIGURE, "detections": folder / PICTURE}
        return Report(
            "comparison",
            bool(found.missing),
            {
                "contenders": contenders_sheet(found.comparison, found.runs),
                "runs": runs_sheet(found.runs),
            },
            {name: path for name, path in figures.items() if path.exists()},
            {"page": folder / PAGE},
            Plan.read(folder).commands(found.unfinished),
        )
