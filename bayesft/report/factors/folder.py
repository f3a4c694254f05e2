"""The report on a study's folder: figure, file, table and sentences."""

from pathlib import Path

from bayesft.report.factors.figure import draw_factors
from bayesft.report.factors.runs import Found, read_study
from bayesft.report.factors.text import (
    NOTE,
    factor_sentence,
    factor_table,
    leader_sentence,
    settings_sheet,
)
from bayesft.report.tables import show

FIGURE, TABLE, TEXT = "factors.png", "factors.csv", "factors.txt"


def report_factors(folder: Path) -> Found:
    """Show what the runs in `folder` tell, and write figure, table and text beside them.

    It reads what is there: of a study that was stopped it tells what is missing.

    Raises:
        SettingError: there is no finished run of the baseline.
    """
    found = read_study(folder)
    study = found.study
    said = [factor_sentence(study, factor) for factor in study.factors]
    if said:
        said = [NOTE, *said, leader_sentence(study)]
    silent = [factor for factor in study.baseline if factor not in study.factors]
    if silent:
        said.append(f"One level alone, and so no panel: {', '.join(silent)}.")
    said += [f"Missing: {line}" for line in found.missing]
    said += [f"Left out: {line}" for line in found.left_out]
    show("", factor_table(study))
    show(*said, "")
    settings_sheet(study).write(folder / TABLE)
    (folder / TEXT).write_text("\n".join(said) + "\n", encoding="utf-8")
    if study.factors:
        draw_factors(study, folder / FIGURE, title=f"Test {study.title} under drift")
        show(f"Figure: {folder / FIGURE}")
    show(f"Table:  {folder / TABLE}", f"Runs:   {folder}")
    return found
