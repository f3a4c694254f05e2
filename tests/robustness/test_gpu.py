"""On a GPU: the same chips and the same scores."""

import copy

import pytest
import torch
import torchvision
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift, apply
from bayesft.models import LeNet5
from bayesft.robustness import evaluate

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

DRIFT = LogNormalDrift()


def setting():
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(60, 1, 12, 12), torch.randint(0, 10, (60,)))
    return LeNet5(image_size=12), data


def confidence(model, batch):
    images, labels = batch
    return model(images).float().softmax(1).gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize("backend", ["in_place", "vmap", "auto"])
def test_the_curve_is_the_cpus(backend):
    model, data = setting()
    settings = {"draws": 30, "images_per_draw": 16, "score": confidence}
    cpu = evaluate(model, data, DRIFT, [0.3, 0.9], **settings)
    gpu = evaluate(
        copy.deepcopy(model).cuda(), data, DRIFT, [0.3, 0.9], backend=backend, **settings
    )
    torch.testing.assert_close(
        torch.tensor(gpu.scores), torch.tensor(cpu.scores), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_half_precision_is_honoured(backend):
    model, data = setting()
    seen = []

    def score(model, batch):
        logits = model(batch[0])
        seen.append(logits.dtype)
        return (logits.argmax(1) == batch[1]).float()

    with torch.autocast("cuda", torch.float16):
        curve = evaluate(model.cuda(), data, DRIFT, [0.9], 10, score=score, backend=backend)
    assert set(seen) == {torch.float16}
    assert len(set(curve.scores[0])) > 1


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_a_large_network_has_the_same_scores(monkeypatch, backend):
    """As if it were large, whose codes come in windows."""
    model, data = setting()
    settings = {"draws": 8, "images_per_draw": 16, "score": confidence, "backend": backend}
    curves = []
    for limit in (apply.LARGE, 0):
        monkeypatch.setattr(apply, "LARGE", limit)
        curves.append(evaluate(model.cuda(), data, DRIFT, [0.3, 0.9], **settings))
    torch.testing.assert_close(*(torch.tensor(curve.scores) for curve in curves))


def test_resnet152_takes_half_as_much_again_and_its_weights_at_most():
    """The plain evaluation has weights and activations, and so has ours; and one copy."""
    elsewhere = torch.cuda.memory_allocated()
    model = torchvision.models.resnet152(num_classes=10).eval().cuda()
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    images, labels = torch.rand(8, 3, 32, 32), torch.zeros(8, dtype=torch.long)

    def plain():
        with torch.no_grad():
            model(images[:4].cuda())

    def under_drift():
        evaluate(model, [(images, labels)], DRIFT, [0.3, 0.9], 2, images_per_draw=4)

    def peak(function):
        function()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - elsewhere

    assert peak(under_drift) <= 1.5 * peak(plain) + weights
