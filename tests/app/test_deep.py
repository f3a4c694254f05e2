"""Deep networks from the command line: a search over stages, and networks of torchvision."""

import pytest
import yaml

from bayesft.app import train
from tests.helpers.app import SMALL, composed, search
from tests.helpers.archives import write_cifar10

# The multi-layer perceptron's settings are not theirs.
QUICK = [
    *(setting for setting in SMALL if not setting.startswith("model.")),
    "trainer.max_epochs=1",
    "evaluation.objective.images_per_draw=4",
    "evaluation.test.images_per_draw=4",
]


@pytest.mark.slow
def test_a_search_over_the_stages_of_a_deep_network(tmp_path, monkeypatch):
    """`python search.py -m hydra/sweeper=bayesft model=preact_resnet18 data=cifar10`."""
    write_cifar10(tmp_path / "data", monkeypatch)
    search(
        tmp_path / "s",
        "hydra/sweeper=bayesft",
        "model=preact_resnet18",
        "data=cifar10",
        "data.val_size=12",
        f"paths.data_dir='{tmp_path / 'data'}'",
        "hydra.sweeper.n_trials=2",
        *QUICK,
    )
    results = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    assert (tmp_path / "s" / "1" / "weights.ckpt").exists()
    # Four sizes of feature maps: 32, 16, 8 and 4 pixels.
    assert len(results["best_params"]["model.dropout"]) == 4
    assert (tmp_path / "s" / "curves.png").exists()


@pytest.mark.slow
def test_torchvisions_resnet_meets_the_digits(tmp_path):
    overrides = ["model=torchvision", "model.name=resnet18"]
    images = ["data=digits", "data.image_size=32", "data.channels=3"]
    cfg = composed(tmp_path, *QUICK, *overrides, *images, "model.dropout={stage2:0.1}")
    assert 0 <= train(cfg) <= 1
