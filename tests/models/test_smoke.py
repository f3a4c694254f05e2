"""Every model of the menu, and a dozen of torchvision's, on a tiny batch, from its config.

One row a model: forward, backward, sites counted, vector set and read back, drift evaluated,
weights back into the untouched network bit for bit.
"""

import copy

import pytest
import torch
from torch.utils.data import TensorDataset

from bayesft.app.network import build_network
from bayesft.drift import LogNormalDrift
from bayesft.models import add_sites, get_dropout, remove_sites, set_dropout, site_names
from bayesft.robustness import evaluate
from tests.helpers.app import ROOT, composed

# Model, the size of its images, its sites as the config has it, and with a rate for each block.
OURS = {
    "mlp": (8, 3, 3),
    "lenet5": (16, 5, 5),
    "alexnet": (32, 7, 7),
    "vgg11": (32, 8, 8),
    "resnet18": (32, 4, 20),
    "preact_resnet18": (32, 4, 20),
    "preact_resnet34": (32, 4, 36),
    "preact_resnet50": (32, 4, 53),
    "preact_resnet152": (16, 4, 155),
    "traffic_sign": (32, 8, 8),
}
THEIRS = {
    "alexnet": (64, 4, 7),
    "vgg11": (32, 6, 10),
    "resnet18": (32, 5, 20),
    "resnet50": (32, 5, 53),
    "mobilenet_v3_small": (64, 6, 44),
    "efficientnet_b0": (64, 5, 65),
    "convnext_tiny": (64, 4, 58),
    "vit_b_16": (32, 2, 37),
    "densenet121": (32, 5, 120),
    "shufflenet_v2_x0_5": (64, 5, 56),
    "squeezenet1_1": (64, 4, 25),
    "googlenet": (64, 5, 57),
}
# 129 million weights.
SLOW = ("vgg11",)
ROWS = [
    *(pytest.param(f"model={name}", *row, id=name) for name, row in OURS.items()),
    *(
        pytest.param(
            f"model=torchvision,model.name={name}",
            *row,
            id=f"torchvision-{name}",
            marks=pytest.mark.slow if name in SLOW else (),
        )
        for name, row in THEIRS.items()
    ),
]
# They have sites of their own.
OWN = ("model=mlp", "model=lenet5")
# They have a suite of their own, in tests/models/detection.
DETECTORS = ("faster_rcnn", "retinanet")


def test_no_model_of_the_menu_is_left_out():
    names = {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert names == {*OURS, "torchvision", *DETECTORS}


@pytest.mark.parametrize(("model", "size", "sites", "blocks"), ROWS)
def test_smoke(tmp_path, model, size, sites, blocks):
    overrides = [*model.split(","), f"data.image_size={size}", "data.channels=3"]
    cfg = composed(tmp_path, *overrides)
    torch.manual_seed(0)
    network = build_network(cfg)
    images, labels = torch.rand(4, 3, size, size), torch.arange(4)

    assert len(site_names(network)) == sites
    if model not in OWN:
        add_sites(network, (3, size, size))
    assert len(site_names(network)) == blocks
    vector = tuple(0.5 * i / blocks for i in range(blocks))
    set_dropout(network, vector)
    assert get_dropout(network) == vector

    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    logits = network.train()(images)
    assert logits.shape == (4, 10)
    torch.nn.functional.cross_entropy(logits, labels).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
    optimizer.step()
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())

    curve = evaluate(
        network, TensorDataset(images, labels), LogNormalDrift(), [0.0, 0.5], 2, images_per_draw=4
    )
    assert [len(row) for row in curve.scores] == [2, 2]

    plain = copy.deepcopy(network).eval()
    remove_sites(plain)
    plain.load_state_dict(before)
    plain.load_state_dict(network.state_dict())
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.equal(plain(images), network.eval()(images))
