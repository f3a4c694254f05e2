"""On a GPU: the same chips and the same scores.

Where there is none, on a pretended one, but for what its own kernels and memory show.
"""

import copy
import functools

import pytest
import torch
import torchvision
from torch import nn
from torch.func import functional_call, vmap
from torch.utils.data import DataLoader, TensorDataset

from bayesft.drift import (
    AdditiveDrift,
    Chip,
    Drift,
    DriftingWeights,
    LogNormalDrift,
    MeasuredDrift,
    PCMDrift,
    StuckAtDrift,
    apply,
)
from bayesft.drift import kernels as drift_kernels
from bayesft.drift.kernels import gpu as kernels
from bayesft.drift.stream import WINDOW, Reader, all_codes
from bayesft.models import LeNet5
from bayesft.robustness import accuracy, evaluate
from bayesft.robustness.backends import convolutions
from bayesft.robustness.batches import to_device

pytestmark = pytest.mark.usefixtures("gpu")
needs_a_real_one = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

DRIFT = LogNormalDrift()
MEASURED = MeasuredDrift([k / 50 for k in range(50)], [k / 60 + 0.1 for k in range(50)])
DRIFTS = [DRIFT, AdditiveDrift(), MEASURED, PCMDrift(), StuckAtDrift()]


class Shifted(Drift):
    """Elementwise, and not by a factor."""

    elementwise = True

    def __call__(self, weight, normal, sigma):
        return weight + sigma * normal


def setting():
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(60, 1, 12, 12), torch.randint(0, 10, (60,)))
    return LeNet5(image_size=12), data


def confidence(model, batch):
    images, labels = batch
    return model(images).float().softmax(1).gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize("backend", ["in_place", "vmap", "auto"])
@pytest.mark.parametrize("drift", DRIFTS)
def test_the_curve_is_the_cpus(drift, backend):
    model, data = setting()
    settings = {"draws": 30, "images_per_draw": 16, "score": confidence}
    cpu = evaluate(model, data, drift, [0.3, 0.9], **settings)
    gpu = evaluate(
        copy.deepcopy(model).cuda(), data, drift, [0.3, 0.9], backend=backend, **settings
    )
    torch.testing.assert_close(
        torch.tensor(gpu.scores), torch.tensor(cpu.scores), rtol=1e-3, atol=1e-3
    )


@needs_a_real_one
def test_a_gpu_makes_the_same_codes():
    """To the bit: all at once, and in windows."""
    assert kernels._kernel("cuda:0") is not None
    chips, count = [Chip(0, 0), Chip(0, 7), Chip(3, 1 << 62)], WINDOW + 4099
    cpu = all_codes(chips, count, torch.device("cpu"))
    gpu = all_codes(chips, count, torch.device("cuda"))
    assert gpu.is_cuda
    assert torch.equal(gpu.cpu(), cpu)
    reader = Reader(chips[1], count, torch.device("cuda"))
    parts = [part.cpu() for part in reader.pieces(count)]
    assert torch.equal(torch.cat(parts), cpu[1])


@needs_a_real_one
def test_a_kernel_makes_the_same_weights(monkeypatch):
    """To the bit those that looked-up factors make there, of several sigmas at once."""
    model, _ = setting()
    draws = [(Chip(0, 0), 0.3), (Chip(0, 7), 0.3), (Chip(0, 7), 0.9), (Chip(3, 1 << 62), 0.3)]
    assert drift_kernels._gpu_multiplier("cuda:0") is not None
    rows = []
    for multiplier in (drift_kernels._multiplier, lambda device: None):
        monkeypatch.setattr(drift_kernels, "_multiplier", multiplier)
        with DriftingWeights(model.cuda(), DRIFT) as weights:
            rows.append(weights.rows(draws).clone())
    assert torch.equal(*rows)


@needs_a_real_one
@pytest.mark.parametrize("settings", [{}, {"padding": 2, "stride": 2, "bias": False}])
@pytest.mark.parametrize("outputs", [1, 6, 40])
def test_a_kernel_convolves_as_cudnn_does(monkeypatch, settings, outputs):
    """Of many draws at once, without its shorter numbers."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    conv, images = nn.Conv2d(3, outputs, 5, **settings).cuda(), torch.randn(9, 30, 3, 20, 20).cuda()
    weights = {n: torch.randn(9, *each.shape).cuda() for n, each in conv.named_parameters()}
    calls, kernel = [], convolutions._kernel("cuda:0")

    def counted(*given):
        calls.append(given)
        return kernel(*given)

    monkeypatch.setattr(convolutions, "_kernel", lambda device: counted)
    with torch.no_grad():
        draws = [{name: each[k] for name, each in weights.items()} for k in range(9)]
        expected = [functional_call(conv, own, (images[k],)) for k, own in enumerate(draws)]
        with convolutions.Convolutions():
            found = vmap(lambda own, batch: functional_call(conv, own, (batch,)))(weights, images)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-4)
    assert len(calls) == 1


@pytest.mark.parametrize("loader", ["set", "prepare"])
@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_the_gpu_is_waited_for_once_at_most_for_each_sigma(gpu, backend, loader):
    """Images come from its own memory, or from pinned memory."""
    model, data = setting()
    model, prepare = model.cuda(), None
    if loader == "prepare":
        data = DataLoader(data, pin_memory=True)
        prepare = functools.partial(to_device, device=torch.device("cuda"))
    run = functools.partial(
        evaluate, model, data, DRIFT, [0.3, 0.6, 0.9], 40, images_per_draw=16, score=confidence,
        backend=backend, prepare=prepare,
    )  # fmt: skip
    run()
    with gpu.watch() as told:
        torch.zeros(1, device="cuda").item()
    assert len(told) > 0
    with gpu.watch() as waits:
        run()
    # For the scores, and for what tells whether vmap serves the network; a set that goes there
    # as a whole is not pinned.
    assert len(waits) <= 2 + (len(data.tensors) if loader == "set" else 0), waits


def test_weights_are_looked_at_once_where_all_scores_are_the_worst(gpu):
    model, data = setting()
    model.cuda()

    def nothing(model, batch):
        return torch.zeros_like(confidence(model, batch))

    run = functools.partial(evaluate, model, data, DRIFT, [0.3], 4, backend="in_place")
    waits = []
    for score in (confidence, nothing):
        run(score=score)
        with gpu.watch() as told:
            run(score=score)
        waits.append(len(told))
    assert waits[1] == waits[0] + 1


def test_precision_is_reached_and_the_mean_is_the_cpus():
    model, data = setting()
    settings = {"target_stderr": 0.01, "score": confidence, "images_per_draw": 8}
    cpu = evaluate(model, data, DRIFT, [0.3, 0.9], **settings)
    gpu = evaluate(model.cuda(), data, DRIFT, [0.3, 0.9], **settings)
    assert gpu.reached
    assert [point.draws for point in gpu.points] == [point.draws for point in cpu.points]
    for there, here in zip(gpu.points, cpu.points, strict=True):
        assert there.mean == pytest.approx(here.mean, abs=1e-3)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_are_collated_come_pinned(workers):
    model, data = setting()
    seen = []

    def prepare(batch):
        seen.extend(tensor.is_pinned() for tensor in batch)
        return to_device(batch, torch.device("cuda"))

    loader = DataLoader(data, num_workers=workers, pin_memory=True, collate_fn=list_of_tensors)
    evaluate(model.cuda(), loader, DRIFT, [0.5], 4, score=confidence, prepare=prepare)
    assert seen
    assert all(seen)


def list_of_tensors(rows):
    """Not the default, which a set of tensors is taken by rows with."""
    return [torch.stack(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", ["in_place", "auto"])
def test_half_precision_is_honoured(backend, dtype):
    model, data = setting()
    seen = []

    def score(model, batch):
        logits = model(batch[0])
        seen.append(logits.dtype)
        return (logits.argmax(1) == batch[1]).float()

    with torch.autocast("cuda", dtype):
        curve = evaluate(model.cuda(), data, DRIFT, [0.9], 10, score=score, backend=backend)
    assert set(seen) == {dtype}
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


@needs_a_real_one
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


def test_a_drift_may_have_tensors_of_its_own_where_the_weights_are():
    class Tabled(LogNormalDrift):
        def __init__(self):
            super().__init__()
            self.scale = torch.ones(1, device="cuda")

        def __call__(self, weight, normal, sigma):
            return weight * torch.exp(sigma * normal) * self.scale

    model, data = setting()
    assert evaluate(model.cuda(), data, Tabled(), [0.5], 4, score=confidence).points[0].draws == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="a real one does not count its launches")
class TestLaunches:
    """A small network takes a GPU as long as its launches do."""

    def launches(self, gpu, model, data, drift, **settings):
        """Return those of an evaluation that is not a network's first."""
        run = functools.partial(evaluate, model.cuda(), data, drift, score=accuracy, **settings)
        run()
        gpu.launches.clear()
        run()
        return gpu.launches.total()

    @pytest.mark.parametrize("drift", [*DRIFTS, Shifted()])
    def test_more_draws_and_sigmas_are_hardly_more(self, gpu, drift):
        settings = {"backend": "vmap", "images_per_draw": 4}
        few = self.launches(gpu, *setting(), drift, sigmas=[0.3], draws=8, **settings)
        many = self.launches(gpu, *setting(), drift, sigmas=[0.3], draws=64, **settings)
        assert many <= few + 8
        # A table or a layer's drift for each sigma.
        more = self.launches(gpu, *setting(), drift, sigmas=[0.3, 0.6, 0.9], draws=64, **settings)
        assert more <= 3 * many

    def test_a_curve_of_a_small_network_is_a_few_calls(self, gpu):
        """Its forward pass is 11 launches; of many draws at once it is some 40."""
        sigmas = [0.1 * k for k in range(16)]
        settings = {"backend": "vmap", "target_stderr": 0.02}
        assert self.launches(gpu, *setting(), DRIFT, sigmas=sigmas, **settings) < 700

    def test_in_place_a_draw_is_a_forward_pass_and_a_few_copies(self, gpu):
        """Of its weights, of those of both convolutions to their order, and of its logits."""
        model, data = setting()
        model = model.eval().cuda()
        with torch.no_grad():
            images = data.tensors[0].cuda()
            gpu.launches.clear()
            model(images)
        plain = gpu.launches.total()
        settings = {"backend": "in_place", "sigmas": [0.5], "images_per_draw": 4}
        few, many = (
            self.launches(gpu, model, data, DRIFT, draws=draws, **settings) for draws in (8, 24)
        )
        assert (many - few) / 16 <= plain + 4
