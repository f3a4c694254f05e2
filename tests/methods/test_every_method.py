"""Every method of the menu trains, on a network with convolutions, and from its config."""

import math

import pytest

from bayesft.app import train
from bayesft.methods.checkpoint import read_state
from tests.helpers.app import ROOT, SMALL, composed

METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
LENET = [
    *(setting for setting in SMALL if not setting.startswith("model.")),
    "model=lenet5",
    "data.image_size=12",
    "model.dropout=0.1",
]


@pytest.mark.parametrize("method", METHODS)
def test_it_trains(tmp_path, method):
    cfg = composed(tmp_path, *LENET, f"method={method}")
    assert 0 < train(cfg) <= 1
    weights = read_state(tmp_path / "checkpoints" / "last.ckpt")
    assert all(math.isfinite(float(value.float().sum())) for value in weights.values())


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("method", METHODS)
def test_it_is_tested_on_a_gpu(tmp_path, method):
    """A pretended one learns nothing."""
    gpu = ["trainer.accelerator=gpu", "trainer.max_epochs=0", "+trainer.inference_mode=false"]
    assert 0 < train(composed(tmp_path, *LENET, f"method={method}", *gpu)) <= 1
