"""Backends agree on the same draws, and refuse by name what they cannot do."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesft.drift import AdditiveDrift, Chip, DriftingWeights, LogNormalDrift, apply, drifted
from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5
from bayesft.robustness import PrecisionWarning, accuracy, adaptive, backends, evaluate
from bayesft.robustness.backends import InPlace, Vmapped, choice, choose, in_place
from bayesft.robustness.batches import Block
from bayesft.robustness.images import ImagePool, draw_indices
from bayesft.robustness.pilot import Plan
from bayesft.robustness.sampler import Request, Sampler

DRIFT = LogNormalDrift()


def data(side: int = 12, n: int = 60) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.rand(n, 1, side, side, generator=generator),
        torch.randint(0, 10, (n,), generator=generator),
    )


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return {
        "mlp": lambda: MLP(image_size=12, hidden=(20,)),
        "lenet5": lambda: LeNet5(image_size=12),
        "batch norm": lambda: LeNet5(image_size=12, norm="batch"),
        "large": lambda: MLP(image_size=12, hidden=(300, 300)),
    }[name]()


def confidence(model, batch):
    """A smooth score: close is close, where accuracy could jump at a tie."""
    images, labels = batch
    return model(images).softmax(1).gather(1, labels[:, None])[:, 0]


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
        batch = images[draw_indices(k, images=7, total=60, seed=9)]
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


class Mixing(Vmapped):
    """As on a GPU."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mixes = True


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize(("most", "calls"), [(100, ([4, 1, 3], [8])), (5, ([4, 1, 3], [4, 4]))])
def test_chips_may_have_sigmas_of_their_own(monkeypatch, mixes, most, calls):
    """In any order, and on a GPU all in one call, if they fit."""
    model = network("lenet5").eval()
    chips, sigmas = (
        [Chip(0, k) for k in range(4)],
        [(0.9, 0.3), (0.3,), (0.6, 0.3, 0.9), (0.3, 0.9)],
    )
    batches = [list(data()[torch.arange(k, k + 6)]) for k in range(4)]
    rows, scored = DriftingWeights.rows, []

    def counted(self, draws):
        scored.append(len(draws))
        return rows(self, draws)

    monkeypatch.setattr(DriftingWeights, "rows", counted)
    monkeypatch.setattr(Vmapped, "chunk", lambda self, batch: most)
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        expected = InPlace(model, weights, confidence)(chips, batches, sigmas)
        alone = [
            InPlace(model, weights, confidence)([chip], [batch], [own])
            for chip, batch, own in zip(chips, batches, sigmas, strict=True)
        ]
        backend = (Mixing if mixes else Vmapped)(model, weights, confidence)
        assert backend.mixes == mixes
        found = backend(chips, batches, sigmas)
    assert torch.equal(expected, torch.cat(alone))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert len(set(found[:, 0].tolist())) == 8
    assert scored == calls[mixes]


def test_all_that_is_to_be_drawn_next_is_one_call_where_sigmas_mix(monkeypatch):
    """But for draws of other numbers of images."""
    calls, expected = [], []

    def counted(self, chips, batches, sigmas, score=Vmapped.__call__):
        calls.append(len(set(sigmas)))
        return score(self, chips, batches, sigmas)

    def asked(self, requests, sample=Sampler.__call__):
        expected.append(len({len(request.images) for request in requests}))
        return sample(self, requests)

    settings = {"target_stderr": 0.006, "score": confidence, "backend": "vmap"}
    model, sigmas = network("mlp"), [0.1, 0.4, 0.7, 1.0]
    apart = evaluate(model, data(), DRIFT, sigmas, images_per_draw=20, **settings)
    monkeypatch.setattr(choice, "BACKENDS", {"vmap": Mixing})
    monkeypatch.setattr(Vmapped, "__call__", counted)
    monkeypatch.setattr(Sampler, "__call__", asked)
    together = evaluate(model, data(), DRIFT, sigmas, images_per_draw=20, **settings)
    for one, other in zip(apart.scores, together.scores, strict=True):
        torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-5, atol=1e-6)
    # Three times to find out that it serves.
    assert set(expected) == {1}
    assert len(calls) == 3 + len(expected)
    calls.clear(), expected.clear()
    plans = [Plan(8, 40), Plan(8, 120), Plan(16, 60), Plan(8, 300)]
    monkeypatch.setattr(adaptive, "run_pilot", lambda *given, **limits: plans)
    evaluate(model, data(), DRIFT, sigmas, **settings)
    assert expected[0] == 2
    assert max(calls) > 1
    assert len(calls) == 3 + sum(expected)


@pytest.mark.parametrize(
    ("kind", "images", "rounds"),
    [(Vmapped, None, [56, 16]), (Mixing, None, [80, 32]), (Mixing, 8, [32, 8])],
)
def test_looks_are_fewer_where_a_round_takes_more_than_a_few_draws(
    monkeypatch, kind, images, rounds
):
    """But not with a given number of images: then draws are the same on every device."""
    asked, original = [], Sampler.__call__

    def counted(self, requests):
        asked.append(len(requests))
        return original(self, requests)

    def planned(sampler, *given, **limits):
        original(sampler, [Request(1 << 60, (0.5,), torch.arange(4))])
        return [Plan(8, 80)]

    monkeypatch.setattr(choice, "BACKENDS", {"vmap": kind})
    monkeypatch.setattr(Sampler, "__call__", counted)
    monkeypatch.setattr(adaptive, "run_pilot", planned)
    settings = {"target_stderr": 1e-4, "max_draws": 200, "images_per_draw": images}
    with pytest.warns(PrecisionWarning):
        evaluate(network("mlp"), data(), DRIFT, [0.5], backend="vmap", **settings)
    assert asked[:2] == rounds


def test_what_a_draw_takes_is_told_apart_by_all_that_it_depends_on():
    model, kinds = network("mlp"), []

    def add(images=8, *, drift=DRIFT, score=accuracy, autocast=False, prepare=None, double=False):
        kind, set_of = torch.float64 if double else torch.float32, data(n=40 if images == 7 else 60)
        model.to(kind)
        pictures, labels = set_of.tensors
        pool = ImagePool(TensorDataset(pictures.to(kind), labels))
        with (
            torch.no_grad(),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
            DriftingWeights(model, drift) as weights,
        ):
            sampler = Sampler(model, weights, pool, score, prepare=prepare, seed=0)
            sampler([Request(0, (0.3,), torch.arange(images))])
        kinds.append(sampler.kind)

    # How many images a draw has is told by the pilot itself.
    add(), add(9)
    assert kinds[0] == kinds[1]
    # Another set, drift, score, precision or way to the device.
    add(7), add(drift=LogNormalDrift(target="crossbar")), add(drift=AdditiveDrift())
    add(score=confidence), add(autocast=True), add(prepare=lambda batch: batch), add(double=True)
    assert len(set(kinds)) == 8


@pytest.mark.parametrize("fails", [False, True])
def test_batches_that_are_taken_at_once_are_the_same(monkeypatch, fails):
    """Of each draw its own, also from where a backend gave way to another."""
    model, asked = network("lenet5"), []
    settings = {"score": confidence, "images_per_draw": 7}
    expected = evaluate(model, data(), DRIFT, [0.3, 0.9], 20, backend="in_place", **settings)

    class Failing(Mixing):
        def chunk(self, batch):
            return 6

        def __call__(self, chips, batches, sigmas):
            asked.append(type(batches))
            if fails and len(asked) == 2:
                raise RuntimeError("as if")
            return super().__call__(chips, batches, sigmas)

    def chosen(self, batch):
        given = self.model, self.weights, self.score
        return choice._UntilItFails(Failing(*given), lambda: InPlace(*given))

    monkeypatch.setattr(Sampler, "_choose", chosen)
    monkeypatch.setattr(ImagePool, "at_once", True)
    found = evaluate(model, data(), DRIFT, [0.3, 0.9], 20, **settings)
    torch.testing.assert_close(*(torch.tensor(curve.scores) for curve in (found, expected)))
    assert asked == [Block] * (2 if fails else 4)
    asked.clear()
    # Hooks are handed what a loop hands them.
    evaluate(model, data(), DRIFT, [0.3, 0.9], 20, prepare=lambda batch: batch, **settings)
    assert set(asked) == {list}


@pytest.mark.parametrize("distributed", [False, True])
def test_processes_do_not_plan_by_their_own_backend(distributed):
    """One whose backend mixes would look at other times than the others, and wait for ever."""
    model = network("mlp")
    with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
        sampler = Sampler(
            model, weights, ImagePool(data()), accuracy, prepare=None, seed=0,
            distributed=distributed,
        )  # fmt: skip
        assert not sampler.mixes
        sampler._backend = Mixing(model, weights, accuracy)
        assert sampler.mixes != distributed


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


@pytest.mark.parametrize(("gibibytes", "draws"), [(80, 14), (8, 1)])
def test_a_chunk_of_draws_takes_a_small_part_of_a_gpus_memory(monkeypatch, gibibytes, draws):
    """Of ResNet-18, of which a draw has 90 MB of codes and weights."""
    memory = SimpleNamespace(total_memory=gibibytes << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    weights = SimpleNamespace(device=torch.device("cuda"), count=11_200_000)
    assert InPlace(None, weights, None).chunk([torch.zeros(64, 3, 32, 32)]) == draws
