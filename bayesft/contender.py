"""A search's result as a contender of a comparison: `python -m bayesft.contender <search> <name>`.

It writes `conf/contender/<name>.yaml`, and `contender=<name>` then stands beside the others.
"""

import argparse
import sys
from pathlib import Path

from bayesft.app.contender import compare_command, write_contender
from bayesft.errors import BayesFTError
from bayesft.report import show


def main() -> None:
    """Write the file, and say what is in it and how to compare it."""
    parser = argparse.ArgumentParser(prog="python -m bayesft.contender", description=__doc__)
    parser.add_argument("search", type=Path, help="folder of a search that has ended")
    parser.add_argument("name", help="of the contender")
    parser.add_argument(
        "--conf", type=Path, default=Path("conf"), help="folder of configs (default: conf)"
    )
    arguments = parser.parse_args()
    try:
        path, found = write_contender(arguments.search, arguments.name, arguments.conf)
    except BayesFTError as error:
        sys.exit(str(error))
    show(f"{path}: {found.source}")
    show(*(f"  {key}={value}" for key, value in found.searched.items()))
    for key, value in found.left_out.items():
        show(f"Left out: {key}={value}, which a comparison has the same for all.")
    show(
        "On the network and data of the search, and as long:",
        f"  {compare_command(arguments.name, found)}",
    )


if __name__ == "__main__":
    main()
