"""A foreign application, and searches over it in processes of their own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# An application that knows nothing of BayesFT but its sweeper.
APP = r"""
import os
import signal
import time
import hydra

@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(cfg):
    with open(cfg.calls, "a") as calls:
        calls.write(f"{cfg.x}\n")
    wait_for_others(cfg)
    time.sleep(cfg.seconds)
    if cfg.dies is not None and float(cfg.x) == cfg.dies:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    return -(float(cfg.x) - 0.3) ** 2, 0.01

def wait_for_others(cfg):
    deadline = time.monotonic() + 60
    while len(open(cfg.calls).readlines()) < cfg.together:
        assert time.monotonic() < deadline, "runs alone"
        time.sleep(0.05)

if __name__ == "__main__":
    main()
"""

CONFIG = """
defaults:
  - override hydra/sweeper: bayesft
  - _self_
x: 0.5
seconds: 0.0
calls: ???
together: 1   # a job ends when so many have started
dies: null   # a job with this x is killed
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def interruptible(command, **settings) -> subprocess.Popen:
    """Start `command`, which Ctrl-C will reach, with its output in pipes.

    What a shell starts in the background ignores it, and so would its children.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **pipes | settings,
    )


@contextlib.contextmanager
def killed_when_left(command) -> Iterator[subprocess.Popen]:
    """Start `command`; kill -9 it and its children on leaving."""
    process = subprocess.Popen(
        command, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(command) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=200
    )


def wait_for_results(process: subprocess.Popen, folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and len(told(folder)) < count:
        assert time.monotonic() < deadline, "the search makes no progress"
        time.sleep(0.02)


def wait_for_end_of_processes(name: str) -> None:
    """Wait until no process has `name` in its command line."""
    deadline = time.monotonic() + 60
    while name in (lines := subprocess.check_output(["ps", "-A", "-o", "args"], text=True)):
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)


def tells(folder: Path) -> list[dict]:
    """The journal's results, without a last line that is still being written."""
    if not (folder / "journal.jsonl").exists():
        return []
    lines = (folder / "journal.jsonl").read_text().split("\n")[:-1]
    return [event for event in map(json.loads, lines) if event["event"] == "tell"]


def told(folder: Path) -> list[int]:
    return [event["number"] for event in tells(folder)]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
