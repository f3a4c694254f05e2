"""docs/your_chip.md, followed to the letter: only the trainings are shorter and fewer."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.app import ROOT

PAGE = ROOT / "docs" / "your_chip.md"
SHORTER = "trainer.max_epochs=1 trainer.accelerator=cpu evaluation.test.draws=5"


def blocks() -> Iterator[tuple[str, str, str]]:
    """Yield each fenced block's language, the file that was named last before it, and its text."""
    name = ""
    for prose, kind, text in re.findall(r"(.*?)\n```(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        names = re.findall(r"`([\w/]+\.(?:py|yaml))`", prose)
        name = names[-1] if names else ""
        yield kind, name, text


def commands(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_your_chip_can_be_followed(tmp_path):
    for script in ("train.py", "search.py"):
        shutil.copy(ROOT / script, tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    modules = [str(tmp_path), str(ROOT)]
    environment = {
        **os.environ, "PATH": os.pathsep.join(places), "PYTHONPATH": os.pathsep.join(modules),
    }  # fmt: skip

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    seen, best = [], ""
    for kind, name, text in blocks():
        # The trial that was the best where the page was written.
        text = re.sub(r"runs/search/\d+/", best, text)
        if name and kind:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
            if name == "make_mine.py":
                run(["python", name])
        elif kind == "python":
            assert "chip 7: 0." in run(["python", "-c", text])
        elif "python" in text:
            for command in commands(text):
                if ".py" in command:
                    command = f"{command} {SHORTER}".replace("n_trials=20", "n_trials=3")
                    command = command.replace("seed=1,2,3", "seed=1")
                run(["bash", "-c", command])
                seen.append(command)
            results = tmp_path / "runs" / "search" / "optimization_results.yaml"
            if results.exists():
                found = yaml.safe_load(results.read_text())
                best = f"runs/search/{found['best_trial']}/"
    assert len(seen) == 5
    for made in (
        "plain/test_curve.csv", "search/curves.png", "compare/comparison.html",
        "year/test_curve.csv",
    ):  # fmt: skip
        assert (tmp_path / "runs" / made).exists()
