"""Weights that there are: they are tested without a training, and none goes on from them alone."""

import pytest

from bayesft.app import search as run_trial
from bayesft.app import train
from bayesft.app.errors import CommandError
from bayesft.robustness import Curve
from tests.helpers.app import SMALL, composed


@pytest.mark.parametrize("name", ["weights.ckpt", "checkpoints/best.ckpt"])
def test_weights_that_there_are_can_be_tested(tmp_path, name):
    """To the score of the training that made them."""
    settings = (*SMALL, "trainer.max_epochs=1")
    score = train(composed(tmp_path / "trained", *settings))
    run_trial(composed(tmp_path / "a", *settings, name="search"))
    weights = f"test_only='{tmp_path / 'a' / name}'"
    assert train(composed(tmp_path / "b", *SMALL, weights)) == score
    assert not (tmp_path / "b" / "checkpoints").exists()
    other = train(composed(tmp_path / "c", *SMALL, weights, "drift=stuck_at"))
    assert other != score
    assert Curve.from_json(tmp_path / "c" / "test_curve.json").sigmas == (0, 0.02, 0.05, 0.1, 0.2)
    # Other weights are another run.
    again = [*SMALL, f"test_only='{tmp_path / 'a' / 'checkpoints' / 'last.ckpt'}'", "resume=true"]
    with pytest.raises(CommandError, match=r"other settings.*\n  test_only: .*last.ckpt, not"):
        train(composed(tmp_path / "c", *again, "drift=stuck_at"))


def test_a_training_does_not_go_on_from_weights_alone(tmp_path):
    run_trial(composed(tmp_path / "a", *SMALL, "trainer.max_epochs=1", name="search"))
    weights = tmp_path / "a" / "weights.ckpt"
    with pytest.raises(CommandError, match=r"weights.ckpt holds weights alone.*test_only"):
        train(composed(tmp_path / "b", *SMALL, f"ckpt_path='{weights}'"))
    with pytest.raises(CommandError, match=r"A search trains each trial.*train.py"):
        run_trial(composed(tmp_path / "c", *SMALL, f"test_only='{weights}'", name="search"))


def test_it_is_not_also_trained_from_another_one(tmp_path):
    given = ["ckpt_path=a.ckpt", "test_only=b.ckpt"]
    with pytest.raises(
        CommandError, match=r"one of `ckpt_path` and `test_only`.*a.ckpt and b.ckpt"
    ):
        train(composed(tmp_path, *SMALL, *given))
