"""The report on a comparison's folder: table, figure, files and page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesft.errors import SettingError
from bayesft.report.compare.figure import draw_comparison
from bayesft.report.compare.own_chip import own_chip_note
from bayesft.report.compare.page import title_of, write_page
from bayesft.report.compare.runs import Found, read_comparison
from bayesft.report.compare.sheets import contenders_sheet, runs_sheet
from bayesft.report.compare.text import caption, comparison_table, leader_sentence
from bayesft.report.examples import FILE, Examples
from bayesft.report.examples_figure import PICTURE, draw_examples
from bayesft.report.tables import show

PAGE, FIGURE = "comparison.html", "comparison.png"
TABLE, RUNS = "comparison.csv", "comparison_runs.csv"


def report_comparison(folder: Path) -> Found:
    """Show what the runs in `folder` tell, and write page, figure and tables beside them.

    It reads what is there: of a comparison that was stopped it tells what is missing.

    Raises:
        SettingError: no run is finished.
        MixedRunsError: they are of more than one comparison.
    """
    found = read_comparison(folder)
    comparison = found.comparison
    show("", title_of(found), comparison_table(comparison, found.runs))
    own = own_chip_note(found.runs)
    show(caption(comparison), *([own] if own else []), leader_sentence(comparison), "")
    show(*(f"Missing: {line}" for line in found.missing))
    show(*(f"Left out: {line}" for line in found.left_out))
    show(*(f"Note: {line}" for line in found.notes))
    contenders_sheet(comparison, found.runs).write(folder / TABLE)
    runs_sheet(found.runs).write(folder / RUNS)
    draw_comparison(comparison, folder / FIGURE, title=title_of(found))
    write_page(found, folder / PAGE)
    picture = _draw_examples(found, folder)
    show(
        f"Page:   {folder / PAGE}",
        f"Figure: {folder / FIGURE}",
        *([f"Picture: {picture}"] if picture else []),
        f"Table:  {folder / TABLE}; each run and sigma: {folder / RUNS}",
    )
    return found


def _draw_examples(found: Found, folder: Path) -> Path | None:
    """Draw what the contenders find on the first image, if they are detectors.

    What is wrong with a picture is told; the numbers do not depend on it.
    """
    first = {name: folder / runs[0].folder / FILE for name, runs in found.runs.items() if runs}
    examples = {}
    for name, file in first.items():
        with _told():
            if file.exists():
                examples[name] = Examples.load(file)
    with _told():
        if examples:
            draw_examples(examples, folder / PICTURE, each=1)
            return folder / PICTURE
    return None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SettingError as error:
        show(f"Note: {error}")
