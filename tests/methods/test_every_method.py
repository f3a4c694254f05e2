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


@pytest.mark.parametrize("method", METHODS)
def test_it_is_tested_on_a_gpu(request, tmp_path, method):
    """To the score of the CPU that trained it; a pretended one learns nothing."""
    cfg = composed(tmp_path / "cpu", *LENET, f"method={method}", "trainer.max_epochs=1")
    score = train(cfg)
    request.getfixturevalue("gpu")
    weights = f"test_only='{tmp_path / 'cpu' / 'checkpoints' / 'best.ckpt'}'"
    gpu = ["trainer.accelerator=gpu", "+trainer.inference_mode=false", weights]
    found = train(composed(tmp_path / "gpu", *LENET, f"method={method}", *gpu))
    # An image in some thousands may be at a tie.
    assert found == pytest.approx(score, abs=2e-3)
    assert score > 0
