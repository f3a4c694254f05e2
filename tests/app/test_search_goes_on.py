"""A search that goes on is the one that was begun: its trials are worth the same thing."""

import json

import pytest

from hydra_plugins.bayesft_sweeper._errors import SweepError
from tests.helpers.app import SMALL, search
from tests.helpers.sweeps import results


def test_a_search_does_not_go_on_with_cells_that_changed(tmp_path, capsys):
    cells = tmp_path / "cells.csv"
    cells.write_text("written,read\n" + "".join(f"{k},{k + k % 3}\n" for k in range(60)))
    drift = "drift=measured", f"drift.file='{cells}'", "drift.pairs=false"
    typed = (*SMALL, *drift, "hydra.sweeper.n_initial=1")
    search(tmp_path / "s", *typed, "hydra.sweeper.n_trials=1")
    # As it was, in another place, it is the same one.
    moved = cells.rename(tmp_path / "moved.csv")
    again = [setting.replace("cells.csv", "moved.csv") for setting in typed]
    search(tmp_path / "s", *again, "hydra.sweeper.n_trials=2")
    moved.write_text(moved.read_text().replace("6,6", "6,7"))
    capsys.readouterr()
    with pytest.raises(SweepError, match=r"(?s)other settings.*\n  drift.sha256: \w+, not \w+\n"):
        search(tmp_path / "s", *again, "hydra.sweeper.n_trials=3")
    assert results(tmp_path / "s")["num_trials"] == 2
    # A journal of an earlier version has none.
    journal = tmp_path / "s" / "journal.jsonl"
    header, *trials = journal.read_text().splitlines(keepends=True)
    header = json.loads(header)
    del header["recipe"]
    journal.write_text(json.dumps(header) + "\n" + "".join(trials))
    search(tmp_path / "s", *again, "hydra.sweeper.n_trials=2")


def test_a_search_does_not_go_on_with_other_settings(tmp_path):
    typed = (*SMALL, "hydra.sweeper.n_initial=1", "hydra.sweeper.n_trials=1")
    search(tmp_path / "s", *typed)
    # What decides nothing may be another, and how the best one is tested.
    search(tmp_path / "s", *typed, "evaluation.test.draws=30", "trainer.log_every_n_steps=2")
    others = ["drift=stuck_at", "trainer.max_epochs=3", "model.hidden=[8]", "seed=7"]
    for other in others:
        key = other.split("=")[0]
        with pytest.raises(
            SweepError, match=rf"(?s)other settings.*\n  {key}.*not.*\n.*hydra.sweep"
        ):
            search(tmp_path / "s", *typed, other)
    assert results(tmp_path / "s")["num_trials"] == 1
