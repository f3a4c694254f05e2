"""How many draws a backend takes at once, and what it does if memory has no room for them."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift, apply
from bayesft.robustness import accuracy, evaluate
from bayesft.robustness.backends import InPlace, Vmapped
from tests.helpers.drifting import confidence, data, network

DRIFT = LogNormalDrift()


def test_one_draw_that_does_not_fit_is_told(monkeypatch):
    def never(self, rows):
        raise torch.OutOfMemoryError("as if")

    monkeypatch.setattr(DriftingWeights, "stacked", never)
    model = network("mlp").eval()
    batches = [list(data()[torch.arange(6)])] * 3
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        backend = Vmapped(model, weights, confidence)
        with pytest.raises(torch.OutOfMemoryError, match="as if"):
            backend([Chip(0, k) for k in range(3)], batches, [(0.3,)] * 3)


def test_chunks_of_vmap_are_halved_when_they_do_not_fit(monkeypatch):
    """What failed is let go before the halves are tried, and the next chunk is a small one."""
    model = network("mlp").eval()
    batches = [list(data()[torch.arange(k, k + 6)]) for k in range(8)]
    sizes, failed = [], []
    stacked = DriftingWeights.stacked

    def limited(self, rows):
        """As if memory held no more than two draws."""
        sizes.append(len(rows))
        assert not any(reference() is not None for reference in failed)
        if len(rows) > 2:
            activation = torch.zeros(3)
            failed.append(weakref.ref(activation))
            raise torch.OutOfMemoryError("as if")
        return stacked(self, rows)

    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        chips = [Chip(0, k) for k in range(8)]
        sigmas = [(0.3, 0.6)] * 8
        whole = Vmapped(model, weights, confidence)(chips, batches, sigmas)
        monkeypatch.setattr(DriftingWeights, "stacked", limited)
        backend = Vmapped(model, weights, confidence)
        halved = backend(chips, batches, sigmas)
        assert backend.chunk(batches[0]) == 2
    assert sizes == [8, 4, *[2] * 8]
    torch.testing.assert_close(halved, whole)


def test_a_networks_activations_are_measured_once_for_a_form_of_batches(monkeypatch):
    measured, original = [], Vmapped._measure

    def counted(self, batch):
        measured.append(batch)
        return original(self, batch)

    monkeypatch.setattr(Vmapped, "_measure", counted)
    model = network("lenet5")
    for images in (4, 8, 8, 4):
        evaluate(model, data(), DRIFT, [0.3], 5, images_per_draw=images, backend="vmap")
    # For each form of batches.
    assert [len(batch[0]) for batch in measured] == [4, 8]
    evaluate(model.double(), doubled(), DRIFT, [0.3], 5, images_per_draw=8, backend="vmap")
    assert len(measured) == 3


def doubled() -> TensorDataset:
    images, labels = data().tensors
    return TensorDataset(images.double(), labels)


def test_a_larger_network_has_smaller_chunks():
    batch = list(data()[torch.arange(6)])
    chunks = []
    for name in ("mlp", "large"):
        model = network(name)
        with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
            for backend in (InPlace, Vmapped):
                chunks.append(backend(model, weights, accuracy).chunk(batch))
    assert chunks[0] > chunks[2] >= 1
    assert chunks[1] > chunks[3] >= 1


def test_large_images_have_smaller_chunks():
    """All batches of a chunk are there at the same time."""
    model = network("mlp")
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        backend = InPlace(model, weights, accuracy)
        sizes = [backend.chunk([torch.empty(n, 3, 512, 512, device="meta")]) for n in (1, 7, 100)]
    assert sizes[0] > sizes[1] > sizes[2] == 1
    assert 2 <= sizes[1] == (1 << 26) // (7 * 3 * 512 * 512 * 4)


def test_chunks_of_an_evaluation_are_of_nearly_one_size(monkeypatch):
    """So that mostly the memory of one serves the next."""
    sizes, original = [], InPlace.__call__

    def counted(self, chips, *rest):
        sizes.append(len(chips))
        return original(self, chips, *rest)

    monkeypatch.setattr(InPlace, "__call__", counted)
    monkeypatch.setattr(InPlace, "chunk", lambda self, batch: 26)
    for draws, expected in ((100, [25] * 4), (53, [18, 18, 17]), (26, [26]), (3, [3])):
        sizes.clear()
        evaluate(network("lenet5"), data(), DRIFT, [0.5], draws, images_per_draw=2)
        assert sizes == expected


def test_chunks_count_the_copies_of_a_draw(monkeypatch):
    """Normals and weights; of a large network weights alone."""
    model, batch = network("large"), list(data()[torch.arange(6)])
    chunks = []
    for limit in (apply.LARGE, 0):
        monkeypatch.setattr(apply, "LARGE", limit)
        with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
            chunks.append(Vmapped(model, weights, accuracy).chunk(batch))
    assert chunks[0] > 10
    assert chunks[1] == pytest.approx(2 * chunks[0], rel=0.1)


@pytest.mark.parametrize(("gibibytes", "draws"), [(80, 14), (8, 1)])
def test_a_chunk_of_draws_takes_a_small_part_of_a_gpus_memory(monkeypatch, gibibytes, draws):
    """Of ResNet-18, of which a draw has 90 MB of codes and weights."""
    memory = SimpleNamespace(total_memory=gibibytes << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    weights = SimpleNamespace(device=torch.device("cuda"), count=11_200_000)
    assert InPlace(None, weights, None).chunk([torch.zeros(64, 3, 32, 32)]) == draws
