"""The report on a folder again: `python -m bayesft.report <folder>`."""

import argparse
import shlex
import sys
from pathlib import Path

from bayesft.errors import BayesFTError, SettingError
from bayesft.folders import typed
from bayesft.report.compare import is_comparison, report_comparison
from bayesft.report.factors import is_study, report_factors
from bayesft.report.results import RESULTS
from bayesft.report.runs import damaged

_EXPECTED = (
    "Expected the folder of `python train.py -m experiment=compare` or `python train.py -m "
    "experiment=factors`."
)


def main() -> None:
    """Report on what the folder holds."""
    parser = argparse.ArgumentParser(prog="python -m bayesft.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a comparison or a factor study")
    try:
        report(parser.parse_args().folder)
    except BayesFTError as error:
        sys.exit(str(error))


def report(folder: Path) -> None:
    """Report on what `folder` holds.

    Raises:
        SettingError: nothing that there is a report on.
    """
    if not folder.is_dir():
        raise SettingError(f"There is no folder {folder}. {_EXPECTED}")
    if is_comparison(folder):
        report_comparison(folder)
    elif is_study(folder):
        report_factors(folder)
    elif (folder / RESULTS).exists():
        raise SettingError(
            f"{folder} is the folder of a search, which reports when it ends. The command that "
            f"started it, with {typed('hydra.sweep.dir', folder)}, shows the report again. To "
            "compare what it found with other ways to train: python -m bayesft.contender "
            f"{shlex.quote(str(folder))} <name>."
        )
    else:
        raise SettingError(
            f"{folder} holds no run of a comparison or a factor study. {_EXPECTED}"
            + "".join(f"\n  {reason}" for reason in damaged(folder).values())
        )


if __name__ == "__main__":
    main()
