"""Backends agree on the same draws, and refuse by name what they cannot do."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift, apply, drifted
from bayesft.errors import SettingError
from bayesft.robustness import accuracy, backends, evaluate
from bayesft.robustness.backends import InPlace, choose, in_place
from bayesft.robustness.images import draw_indices
from tests.helpers.drifting import confidence, data, network

DRIFT = LogNormalDrift()


@pytest.mark.parametrize("name", ["mlp", "lenet5", "batch norm", "large"])
def test_backends_agree_and_leave_the_network_as_it_was(name):
    model = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    curves = [
        evaluate(
            model, data(), DRIFT, [0.0, 0.4, 0.9], 20, images_per_draw=8, score=confidence,
            backend=backend,
        )
        for backend in ("in_place", "vmap")
    ]  # fmt: skip
    torch.testing.assert_close(*(torch.tensor(c.scores) for c in curves), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_a_score_is_that_of_the_chip_of_its_number(backend):
    """Whatever the chunks: draw k is Chip(seed, k) on the images of place k."""
    model, images = network("lenet5").eval(), data()
    curve = evaluate(
        model, images, DRIFT, [0.5], 40, images_per_draw=7, seed=9, score=confidence,
        backend=backend,
    )  # fmt: skip
    for k in (0, 17, 39):
        batch = images[draw_indices(range(k, k + 1), images=7, total=60, seed=9)[0]]
        with torch.no_grad(), drifted(model, DRIFT, 0.5, Chip(9, k)):
            expected = confidence(model, batch).mean().item()
        assert curve.scores[0][k] == pytest.approx(expected, abs=1e-5)


def test_in_place_is_the_same_to_the_bit_however_many_draws_there_are():
    model = network("lenet5")
    few, many = (
        evaluate(
            model, data(), DRIFT, [0.3, 0.9], draws, images_per_draw=10, score=confidence
        ).scores
        for draws in (11, 50)
    )
    assert [row[:11] for row in many] == list(few)


class Held(nn.Module):
    """Has its weight in a list as well, and takes it from there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 144))
        self.held = [self.weight]

    def forward(self, images):
        return images.flatten(1) @ self.held[0].T


def test_vmap_does_not_score_weights_that_it_does_not_give():
    """They would be the clean ones, and stand still under drift."""
    model, refused = Held(), r"backend=vmap.*Held.*by a list.*backend=in_place"
    with pytest.raises(SettingError, match=refused):
        evaluate(model, data(), DRIFT, [0.9], 4, backend="vmap")
    # Nor when its answers are as wrong as those of weights that are not there.
    images, _ = data().tensors
    wrong = TensorDataset(images, (model(images).argmax(1) + 1) % 10)
    with pytest.raises(SettingError, match=refused):
        evaluate(model, wrong, DRIFT, [0.9], 4, backend="vmap")
    assert torch.isfinite(model.weight).all()
    assert len(set(evaluate(model, data(), DRIFT, [0.9], 4, backend="in_place").scores[0])) > 1


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_layer_that_writes_its_weight_does_not_write_the_clean_one():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(2, 10, max_norm=0.5)

        def forward(self, images):
            return self.words((images[:, 0, 0, 0] > 0.5).long())

    model = Words()
    before = model.words.weight.detach().clone()
    for backend in ("in_place", "vmap"):
        evaluate(model, data(), DRIFT, [0.9], 4, backend=backend)
        assert torch.equal(model.words.weight, before)


class Branches(nn.Module):
    """Its control flow depends on its data."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(144, 10)

    def forward(self, images):
        logits = self.linear(images.flatten(1))
        return logits if logits.sum().item() > 0 else -logits


def test_auto_serves_what_vmap_cannot_and_vmap_says_so():
    assert evaluate(Branches(), data(), DRIFT, [0.5], 4).points[0].draws == 4
    with pytest.raises(SettingError, match=r"`backend=vmap` cannot score Branches.*in_place"):
        evaluate(Branches(), data(), DRIFT, [0.5], 4, backend="vmap")


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_a_large_network_has_the_same_scores(monkeypatch, backend):
    """As if these were large, whose normals come in windows."""
    settings = {"images_per_draw": 8, "score": confidence, "backend": backend}
    for name in ("batch norm", "large"):
        model = network(name)
        kept = evaluate(model, data(), DRIFT, [0.0, 0.4, 0.9], 6, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(apply, "LARGE", 0)
            streamed = evaluate(model, data(), DRIFT, [0.0, 0.4, 0.9], 6, **settings)
        torch.testing.assert_close(*(torch.tensor(c.scores) for c in (kept, streamed)))


def test_an_unknown_backend_lists_the_known():
    with pytest.raises(SettingError, match=r"`backend` to be one of auto, in_place, vmap.*'fast'"):
        evaluate(network("mlp"), data(), DRIFT, [0.5], 2, backend="fast")


@pytest.mark.parametrize("backend", ["auto", "vmap"])
@pytest.mark.parametrize("kind", ["twice", "tied", "both"])
def test_a_layer_that_is_used_twice_stays_as_it_was(backend, kind):
    torch.manual_seed(0)
    first, second = nn.Linear(144, 144), nn.Linear(144, 144)
    if kind != "twice":
        second.weight = first.weight
    layers = {"twice": [first] * 2, "tied": [first, second], "both": [first, second, first]}[kind]
    model = nn.Sequential(nn.Flatten(), *layers)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = {"images_per_draw": 30, "score": confidence if backend == "vmap" else accuracy}
    curve = evaluate(model, data(), DRIFT, [0.4, 0.9], 6, backend=backend, **settings)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(type(each) is nn.Parameter for each in model.parameters())
    expected = evaluate(model, data(), DRIFT, [0.4, 0.9], 6, backend="in_place", **settings)
    torch.testing.assert_close(torch.tensor(curve.scores), torch.tensor(expected.scores))


class Renormed(nn.Linear):
    """Lets its weights look elsewhere at each pass, as layers with a norm constraint do."""

    def forward(self, inputs):
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=0.5)
        return super().forward(inputs)


@pytest.mark.parametrize("limit", [apply.LARGE, 0])
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_pass_may_let_weights_look_elsewhere(monkeypatch, limit, at_once):
    monkeypatch.setattr(apply, "LARGE", limit)
    monkeypatch.setattr(in_place, "_WEIGHTS", at_once)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), Renormed(144, 10)).eval()
    before = model[1].weight.data.clone()
    images = data()
    curve = evaluate(model, images, DRIFT, [0.3, 0.9], 4, images_per_draw=60, score=confidence)
    assert torch.equal(model[1].weight.data, before)
    for sigma, scores in zip(curve.sigmas, curve.scores, strict=True):
        for k, score in enumerate(scores):
            with torch.no_grad(), drifted(model, DRIFT, sigma, Chip(0, k)):
                expected = confidence(model, images.tensors).mean().item()
            assert score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_autocast_computes_with_the_drifted_weights(monkeypatch, backend, streamed):
    """Autocast keeps casted weights: all draws but the first would be scored with the old ones."""
    if streamed:
        monkeypatch.setattr(apply, "LARGE", 0)
    model, images = network("mlp").eval(), data()
    with torch.autocast("cpu", torch.bfloat16):
        curve = evaluate(
            model, images, DRIFT, [0.9], 6, images_per_draw=60, score=confidence, backend=backend
        )
        for k, score in enumerate(curve.scores[0]):
            torch.clear_autocast_cache()
            with torch.no_grad(), drifted(model, DRIFT, 0.9, Chip(0, k)):
                # Computed in bfloat16, of 8 bits.
                assert model(images.tensors[0]).dtype == torch.bfloat16
                expected = confidence(model, images.tensors).mean().item()
            assert score == pytest.approx(expected, abs=5e-3)
        assert len(set(curve.scores[0])) == 6
        after = model(images.tensors[0])
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(after, model(images.tensors[0]))


def test_a_backend_of_ones_own_is_an_entry(monkeypatch):
    class Mine(InPlace):
        pass

    monkeypatch.setitem(backends.BACKENDS, "mine", Mine)
    model = network("mlp")
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        batch = list(data()[torch.arange(3)])
        chosen = choose(
            "mine", model, weights, accuracy,
            probe=lambda count: ([Chip(0, 0)] * count, [batch] * count, [(0.0,)] * count),
        )  # fmt: skip
    assert type(chosen) is Mine
    assert evaluate(model, data(), DRIFT, [0.5], 3, backend="mine").points[0].draws == 3


@pytest.mark.parametrize("backend", ["in_place", "vmap"])
def test_a_mistake_in_the_data_is_not_the_backends(backend):
    with pytest.raises(SettingError, match=r"^`accuracy` expects a batch to be"):
        evaluate(network("mlp"), [torch.rand(8, 1, 12, 12)], DRIFT, [0.5], 2, backend=backend)


def test_workers_bring_the_same_images():
    model = network("mlp")
    curves = [
        evaluate(
            model, DataLoader(data(), num_workers=workers), DRIFT, [0.5], 5, images_per_draw=20
        )
        for workers in (0, 1)
    ]
    assert curves[0].scores == curves[1].scores
