"""DropoutSearch: which vector when, what it leaves, and that a cut changes nothing."""

import functools
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from bayesft.bo import Journal
from bayesft.drift import LogNormalDrift
from bayesft.errors import BayesFTError, SettingError
from bayesft.methods import ReRAMV
from bayesft.methods.phases import PhasedLR
from bayesft.models import get_dropout
from bayesft.tasks import Classification
from callbacks.dropout_search import DropoutSearch
from callbacks.random_state import RandomState
from tests.callbacks.test_drift_evaluation import read_csv, same, weights
from tests.helpers.trainings import digits, erm, trainer

ROOT = Path(__file__).parents[2]
LENGTHS = {"warmup": 1, "search": 8, "trials": 4}


def search(**settings) -> DropoutSearch:
    defaults = {"draws": 3, "images_per_draw": 20, "n_initial": 2, **LENGTHS}
    return DropoutSearch(LogNormalDrift(), [0.6], **defaults | settings)


def adam(**settings):
    return functools.partial(torch.optim.Adam, lr=0.01, **settings)


def phased(**lengths):
    return functools.partial(PhasedLR, max_epochs=11, **LENGTHS | lengths)


class Vectors(pl.Callback):
    """Remembers the rates of every epoch."""

    def __init__(self):
        self.seen = {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen.setdefault(trainer.current_epoch, set()).add(get_dropout(module))


def test_warm_up_search_and_the_last_phase(tmp_path, caplog):
    callback, vectors = (
        search(undo_below=0.0, warmup_dropout=0.1, start=[0.3, [0.5, 0.1]]),
        Vectors(),
    )
    module = erm(dropout=0.7, optimizer=adam(), scheduler=phased())
    logger = CSVLogger(tmp_path / "logs", name=None, version="")
    with caplog.at_level(logging.INFO, "bayesft.search"):
        run = trainer(tmp_path, callback, vectors, max_epochs=11, logger=logger)
        run.fit(module, digits())
    asked = [callback.search.vector_of(trial) for trial in callback.search.trials]
    assert asked[:2] == [(0.3, 0.3), (0.5, 0.1)]
    assert len(set(asked)) == 4
    best = callback.search.incumbent
    assert best.value <= max(trial.value for trial in callback.search.trials)
    expected = [(0.1, 0.1), *[rate for rate in asked for _ in range(2)], *[asked[best.number]] * 2]
    assert vectors.seen == {epoch: {rate} for epoch, rate in enumerate(expected)}
    assert module.dropout == tuple(module.hparams.dropout) == asked[best.number]

    _, trials = Journal(tmp_path / "journal.jsonl").replay()
    assert [trial.progress for trial in trials] == [0.25, 0.5, 0.75, 1.0]
    assert trials == callback.search.trials
    found = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert found["best_params"] == {"model.dropout": list(asked[best.number])}
    assert (found["num_trials"], found["best_trial"]) == (4, best.number)
    assert found["insight"]["dimensions"].keys() == {*callback.search.names, "progress"}
    assert (tmp_path / "insight.png").stat().st_size > 10_000
    rows = [row for row in read_csv(tmp_path / "logs" / "metrics.csv") if row["search/objective"]]
    assert [float(row["search/dropout/fc1"]) for row in rows] == [rates[0] for rates in asked]
    assert [float(row["search/objective"]) for row in rows] == [trial.value for trial in trials]
    assert f"The last phase, with trial {best.number}" in caplog.text


def test_trials_of_steps_with_accumulated_gradients(tmp_path):
    callback = search(trials=None, every_n_steps=3)
    seen = []
    callback._measure = lambda trainer, module: (
        seen.append(trainer.global_step),
        callback.search.end(0.5 + 0.01 * len(seen), 0.01),
    )
    run = trainer(tmp_path, callback, max_epochs=11, accumulate_grad_batches=2)
    run.fit(erm(optimizer=adam()), digits())
    # 5 batches an epoch are 3 steps.
    phases = callback.search.phases
    assert run.global_step == phases.total
    assert seen == [phases.measured_at(trial) for trial in range(phases.trials)]
    assert callback.search.incumbent is not None


def test_a_trial_that_ruins_the_weights_is_undone(tmp_path):
    module = erm(optimizer=adam())
    callback = search(keep_weights=1.0, start=[0.2, 0.3, 0.4, 0.5])

    class Ruin(pl.Callback):
        """Sets all weights to 0 in the third trial, and looks at what comes next."""

        def __init__(self):
            self.before = self.after = None

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 5:
                self.before = weights(module)
            if trainer.current_epoch == 7:
                self.after = weights(module)

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.current_epoch == 6:
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    ruin = Ruin()
    trainer(tmp_path, callback, ruin, max_epochs=11).fit(module, digits())
    states = [trial.state for trial in callback.search.trials]
    assert states == ["finished", "finished", "failed", "finished"]
    assert "the weights from before it came back" in callback.search.trials[2].reason
    assert same(ruin.before, ruin.after)
    assert callback.search.incumbent.number != 2
    found = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert found["num_failed"] == 1


def test_a_trial_starts_part_of_the_way_to_the_initial_weights(tmp_path):
    class Starts(pl.Callback):
        def __init__(self):
            self.start, self.end = [], []

        def on_train_epoch_start(self, trainer, module):
            self.start.append(weights(module.model))

        def on_train_epoch_end(self, trainer, module):
            self.end.append(weights(module.model))

    starts = Starts()
    trainer(tmp_path, search(keep_weights=0.0), starts, max_epochs=11).fit(
        erm(optimizer=adam()), digits()
    )
    # Warm-up, four trials and the last phase each begin with the initial weights.
    for epoch in (1, 3, 5, 7, 9):
        for name, value in starts.start[0].items():
            torch.testing.assert_close(starts.start[epoch][name], value)
    assert same(starts.start[2], starts.end[1])


def test_a_last_phase_too_short_to_learn_again_keeps_the_weights(tmp_path):
    module = erm(optimizer=adam())
    found = {}

    class Ends(pl.Callback):
        def on_train_batch_end(self, trainer, module, *args):
            if trainer.current_epoch == 8:
                found["learnt"] = weights(module)

        def on_train_end(self, trainer, module):
            found["kept"] = weights(module)

    # Before the search in the list, so that it sees what the last trial has learnt.
    callback = search(keep_weights=0.0, undo_below=0.0)
    trainer(tmp_path, Ends(), callback, max_epochs=9).fit(module, digits())
    assert callback.search.incumbent is not None
    assert same(found["learnt"], found["kept"])


def fitted(folder, *, until=None, resume=None, **settings):
    """Train for 11 epochs, or until one has ended; return the callback and the weights."""

    class Cut(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if until is not None and trainer.current_epoch == until:
                raise KeyboardInterrupt

    callback = search(undo_below=0.97, **settings)
    module = erm(hidden=(16, 8), dropout=0.0, optimizer=adam(), scheduler=phased())
    kept = ModelCheckpoint(folder / "checkpoints", save_last=True)
    run = trainer(
        folder, callback, RandomState(), Cut(), kept, max_epochs=11, enable_checkpointing=True
    )
    pl.seed_everything(3 if resume is None else 99, verbose=False)
    try:
        run.fit(module, digits(), ckpt_path=resume, weights_only=True)
    except SystemExit:
        assert until is not None
    return callback, weights(module)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_run_cut_at_any_epoch_and_resumed_is_the_same_to_the_bit(tmp_path):
    whole, expected = fitted(tmp_path / "whole")
    # What comes back after an undone trial is part of what a resume has to know.
    assert "failed" in [trial.state for trial in whole.search.trials]
    for epoch in range(1, 11):
        folder = tmp_path / str(epoch)
        fitted(folder, until=epoch)
        resumed, found = fitted(folder, resume=folder / "checkpoints" / "last.ckpt")
        assert same(found, expected), epoch
        for ours, theirs in zip(resumed.search.trials, whole.search.trials, strict=True):
            assert (ours.params, ours.value, ours.state) == (
                theirs.params, theirs.value, theirs.state,
            )  # fmt: skip
        assert resumed.search.incumbent.number == whole.search.incumbent.number
        assert len(Journal(folder / "journal.jsonl").replay()[1]) == 4


def test_another_training_with_the_same_callback_knows_nothing_of_the_first(tmp_path):
    def trained(callback, seed):
        pl.seed_everything(seed, verbose=False)
        module = erm(hidden=(16, 8), dropout=0.0, optimizer=adam(), scheduler=phased())
        trainer(tmp_path / str(seed), callback, max_epochs=11).fit(module, digits())
        return weights(module)

    used = search()
    trained(used, 3)
    assert same(trained(used, 4), trained(search(), 4))


SCRIPT = """
import json, os, sys, torch
from bayesft.methods.alternating import Alternating
from tests.callbacks.test_dropout_search import search
from tests.helpers.trainings import digits, erm, trainer

torch.set_num_threads(1)
if os.environ.get("LOCAL_RANK") == "1":
    def forbidden(self):
        raise AssertionError("the first process alone asks")
    Alternating.suggest = Alternating.best = forbidden
callback = search()
run = trainer(sys.argv[1], callback, max_epochs=11, strategy="ddp", devices=2)
module = erm()
run.fit(module, digits())
trials = [[trial.params, trial.value] for trial in callback.search.trials]
with open(f"{sys.argv[1]}/rank{run.global_rank}.json", "w") as file:
    json.dump([trials, module.dropout, [p.sum().item() for p in module.parameters()]], file)
# Else its threads may still run when the interpreter is gone, which ends a process by a signal.
torch.distributed.destroy_process_group()
"""


def test_two_processes_search_as_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=250,
    )
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert len(first[0]) == 4


class Foreign(pl.LightningModule):
    """A stranger's module around a network with, or without, dropout."""

    def __init__(self, rate: float | None = 0.5):
        super().__init__()
        dropout = [] if rate is None else [nn.Dropout(rate)]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), *dropout, nn.Linear(16, 10))

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def test_any_module_with_dropout_will_do(tmp_path):
    callback, module = search(), Foreign()
    trainer(tmp_path, callback, max_epochs=11).fit(module, digits())
    assert list(callback.search.names) == ["model.dropout[layers.2]"]
    assert get_dropout(module) == callback.search.vector_of(callback.search.incumbent)


def test_what_cannot_be_searched_is_told_before_the_first_step(tmp_path):
    def refused(message, *callbacks, module=None, **settings):
        run = trainer(tmp_path, *callbacks, **{"max_epochs": 11} | settings)
        with pytest.raises(BayesFTError, match=message):
            run.fit(module or erm(optimizer=adam()), digits())
        assert run.global_step == 0

    refused("Foreign has no dropout site", search(), module=Foreign(None))
    for_one_chip = ReRAMV(erm().model, task=Classification(10), drift=LogNormalDrift())
    refused("ReRAMV freezes weights", search(), module=for_one_chip)
    refused("2 callbacks set the dropout rates", search(), search())
    refused("longer than the training: warmup=1 .*max_epochs=8", search(), max_epochs=8)
    refused(r"Set trainer\.max_epochs", search(), max_epochs=-1, max_steps=20)
    refused("DropoutSearch expects one validation loader", search(), limit_val_batches=0)
    refused("0 <= low < high < 1", search(low=0.5, high=0.2))
    refused("to have 2 rates", search(start=[[0.1, 0.2, 0.3]]))
    refused(r"`start`, point 0.*0\.9", search(start=[0.9]))
    refused(r"`keep_weights` to be from 0 to 1, but got 1\.5", search(keep_weights=1.5))
    refused(r"`undo_below` to be in \[0, 1\)", search(undo_below=1.0))


def test_the_first_vectors_lie_between_the_bounds_unless_they_are_typed(tmp_path):
    def first(**bounds):
        callback = search(start=None, **bounds)
        trainer(tmp_path, callback, max_epochs=11).fit(erm(optimizer=adam()), digits())
        return [callback.search.vector_of(trial)[0] for trial in callback.search.trials[:2]]

    assert first() == [0.2, 0.4]
    assert first(low=0.3) == [0.3, 0.4]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_checkpoint_of_another_search_is_refused(tmp_path):
    fitted(tmp_path, until=4)
    last = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(SettingError, match=r"searches in another way:\n  n_initial: 3 here, 2 in"):
        fitted(tmp_path, resume=last, n_initial=3)
    with pytest.raises(SettingError, match=r"keep_weights: 0\.5 here, 0\.3 in the checkpoint"):
        fitted(tmp_path, resume=last, keep_weights=0.5)


def test_a_checkpoint_without_a_search_is_refused(tmp_path):
    run = trainer(tmp_path, max_epochs=2)
    run.fit(erm(optimizer=adam()), digits())
    run.save_checkpoint(tmp_path / "plain.ckpt")
    run = trainer(tmp_path, search(), max_epochs=11)
    with pytest.raises(SettingError, match="written by a training without DropoutSearch"):
        run.fit(erm(optimizer=adam()), digits(), ckpt_path=tmp_path / "plain.ckpt")
