"""Checkpoints: those that fit, those that do not, and those that mean harm."""

import pickle

import pytest
import torch

from bayesft.errors import CheckpointError
from bayesft.methods import load_weights
from tests.helpers.trainings import digits, erm, trainer


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def checkpoint(tmp_path):
    """A trained module's weights, and the path of its checkpoint."""
    module, run = erm(dropout=0.3), trainer(tmp_path, max_epochs=1)
    run.fit(module, digits())
    run.save_checkpoint(tmp_path / "m.ckpt")
    return state(module), tmp_path / "m.ckpt"


def test_weights_come_back_and_rates_stay(checkpoint):
    weights, path = checkpoint
    module = erm(dropout=0.6)
    load_weights(module, path)
    assert same(state(module), weights)
    assert module.dropout == (0.6, 0.6)


@pytest.mark.parametrize(
    ("hidden", "message"),
    [((17,), r"\(16, 64\) in the checkpoint, \(17, 64\) here"), ((16, 16), "in the network alone")],
)
def test_another_network_is_told_and_left_alone(checkpoint, hidden, message):
    module = erm(hidden=hidden)
    before = state(module)
    with pytest.raises(CheckpointError, match=message):
        load_weights(module, checkpoint[1])
    assert same(state(module), before)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint at .*none.ckpt"):
        load_weights(erm(), tmp_path / "none.ckpt")


def write_text(path):
    path.write_text("not a checkpoint")


def write_nothing(path):
    path.write_bytes(b"")


def write_list(path):
    torch.save([1, 2], path)


def write_other_dict(path):
    torch.save({"weights": torch.ones(1)}, path)


def write_truncated(path):
    torch.save({"state_dict": {"w": torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize(
    "write", [write_text, write_nothing, write_list, write_other_dict, write_truncated]
)
def test_what_is_no_checkpoint(tmp_path, write):
    path = tmp_path / "broken.ckpt"
    write(path)
    with pytest.raises(CheckpointError, match=r"broken.ckpt is not a checkpoint.*best.ckpt"):
        load_weights(erm(), path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_weights(erm(), tmp_path)


@pytest.mark.parametrize(
    "save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o, protocol=2))]
)
def test_a_checkpoint_cannot_run_code(tmp_path, save):
    mark = tmp_path / "it ran"

    class Harm:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    save({"state_dict": Harm()}, tmp_path / "harm.ckpt")
    with pytest.raises(CheckpointError, match="read safely"):
        load_weights(erm(), tmp_path / "harm.ckpt")
    assert not mark.exists()
