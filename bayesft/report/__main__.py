"""The report on a folder again: `python -m bayesft.report <folder>`."""

import argparse
import sys
from pathlib import Path

from bayesft.errors import BayesFTError, SettingError
from bayesft.report.factors import is_study, report_factors


def main() -> None:
    """Report on what the folder holds."""
    parser = argparse.ArgumentParser(prog="python -m bayesft.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a factor study")
    folder = parser.parse_args().folder
    try:
        if not is_study(folder):
            raise SettingError(
                f"{folder} holds no run of a factor study. Expected the folder of "
                "`python train.py -m experiment=factors`."
            )
        report_factors(folder)
    except BayesFTError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
