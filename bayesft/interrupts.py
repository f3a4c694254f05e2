"""Ctrl-C at a command that is not yet at work. Nothing that takes time is imported here."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from bayesft.errors import INTERRUPTED


def leave_quietly_until_at_work() -> None:
    """Let Ctrl-C end the program without a word until `bayesft.app` is there to answer it.

    Nothing has begun before. An interrupt that is raised in the middle of an import is a
    traceback, and in the middle of composing a config it can come out as another error.
    """
    # A program that is to ignore Ctrl-C, as a script's in the background, goes on to.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def run(main: Callable[[], object]) -> None:
    """Call `main`; a Ctrl-C that nothing in it answers ends the program with its status.

    Raises:
        SystemExit: it did.
    """
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _interrupted(number: int, frame: FrameType | None) -> None:
    # The last name that the package makes: half an import can answer nothing.
    if not hasattr(sys.modules.get("bayesft.app"), "__all__"):
        os._exit(INTERRUPTED)
    signal.default_int_handler(number, frame)
