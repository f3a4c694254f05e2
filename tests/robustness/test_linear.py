"""Many draws of a linear network at once on a CPU, and one by one where that does not serve."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.errors import SettingError
from bayesft.models import MLP
from bayesft.robustness import evaluate
from bayesft.robustness.backends import InPlace, Vmapped
from bayesft.robustness.backends.linear import ManyLinear

DRIFT = LogNormalDrift()
SIGMAS = [0.0, 0.4, 0.9]


def data(images=300, size=12):
    torch.manual_seed(0)
    return TensorDataset(torch.rand(images, 1, size, size), torch.randint(0, 10, (images,)))


@pytest.fixture
def scored(monkeypatch):
    """How many draws were scored by which, in order."""
    found = []
    for kind in (InPlace, Vmapped):

        def counted(self, chips, *rest, original=kind.__call__, kind=kind):
            found.append((kind, len(chips)))
            return original(self, chips, *rest)

        monkeypatch.setattr(kind, "__call__", counted)
    return found


@pytest.mark.parametrize("images", [1, 7, 250])
def test_scores_are_those_of_one_draw_after_the_other(scored, images):
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(30, 20))
    settings = {"draws": 21, "images_per_draw": images}
    many = evaluate(model, data(), DRIFT, SIGMAS, **settings)
    assert {kind for kind, _ in scored} == {Vmapped}
    single = evaluate(model, data(), DRIFT, SIGMAS, backend="in_place", **settings)
    assert len({score for row in single.scores for score in row}) > 1
    # A logit in ten thousand may be as large as another but for its rounding.
    for a, b in zip(many.scores, single.scores, strict=True):
        assert sum(x != y for x, y in zip(a, b, strict=True)) <= 1
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b), atol=1.5 / images, rtol=0)


def test_many_images_are_scored_one_draw_after_the_other(scored):
    evaluate(MLP(image_size=12), data(), DRIFT, SIGMAS, 5, images_per_draw=257)
    assert {kind for kind, _ in scored} == {InPlace}


def test_from_where_it_cannot_it_is_one_by_one(monkeypatch, scored):
    """What was scored before stays, and it is not tried again."""
    monkeypatch.setattr(Vmapped, "chunk", lambda self, batch: 7)
    original, calls = Vmapped.__call__, []

    def fails_later(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("as if")
        return original(self, *arguments)

    monkeypatch.setattr(Vmapped, "__call__", fails_later)
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(30,))
    settings = {"draws": 21, "images_per_draw": 50}
    curve = evaluate(model, data(), DRIFT, SIGMAS, **settings)
    assert len(calls) == 2
    assert [kind for kind, _ in scored] == [Vmapped, InPlace, InPlace]
    expected = evaluate(model, data(), DRIFT, SIGMAS, backend="in_place", **settings)
    torch.testing.assert_close(
        torch.tensor(curve.scores), torch.tensor(expected.scores), atol=0.021, rtol=0
    )


@pytest.mark.parametrize("error", [SettingError("not so"), RuntimeError("in the network")])
def test_an_error_that_is_the_users_is_told_once(monkeypatch, error):
    """One by one it comes again; but for what is said of the settings, which is not tried again."""
    calls = []

    def fails(self, *arguments):
        calls.append(type(self))
        raise error

    monkeypatch.setattr(Vmapped, "__call__", fails)
    monkeypatch.setattr(InPlace, "__call__", fails)
    with pytest.raises(type(error), match=str(error)):
        evaluate(MLP(image_size=12), data(), DRIFT, SIGMAS, 5)
    assert calls == ([Vmapped] if isinstance(error, SettingError) else [Vmapped, InPlace])


@pytest.mark.parametrize("images", [5, 10, 100])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_draw_is_rounded_alike_however_many_there_are(images, threads):
    """So that processes with other shares of the draws have the scores of one.

    One draw alone would be rounded in another way. With many classes and threads PyTorch's
    products can differ between two shares of several draws, too: only in the last bit.
    """
    torch.manual_seed(0)
    model = MLP(image_size=12, hidden=(20,))
    batches = [data()[torch.arange(k, k + images)] for k in range(9)]
    chips = [Chip(0, k) for k in range(9)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad(), DriftingWeights(model, DRIFT) as weights:
            backend = ManyLinear(model, weights, _raw)
            together = backend(chips, batches, [(0.7,)] * 9)
            for size in (1, 2, 4):
                parts = [slice(start, start + size) for start in range(0, 9, size)]
                found = [backend(chips[p], batches[p], [(0.7,)] * len(chips[p])) for p in parts]
                assert torch.equal(torch.cat(found), together), size
            assert backend.many is not None
    finally:
        torch.set_num_threads(before)


def test_a_draw_alone_is_one_of_two_however_large_its_images_are(monkeypatch):
    """Of which no two fit into what a chunk may take."""
    scored, original = [], DriftingWeights.rows

    def counted(self, draws):
        scored.append(len(draws))
        return original(self, draws)

    monkeypatch.setattr(DriftingWeights, "rows", counted)
    monkeypatch.setattr(Vmapped, "chunk", lambda self, batch: 1)
    evaluate(MLP(image_size=12, hidden=(20,)), data(), DRIFT, [0.3], 3, images_per_draw=9)
    assert scored == [2, 2, 2]


def _raw(model, batch):
    return model(batch[0]).amax(1)


class Remembering(nn.Module):
    """Keeps what it saw, as many a network does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(144, 10)

    def forward(self, images):
        self.seen = self.layer(images.flatten(1))
        return self.seen


class OwnLinear(nn.Linear):
    """May do anything."""


def hooked() -> nn.Module:
    model = MLP(image_size=12)
    model.layers[0].register_forward_hook(lambda *arguments: None)
    return model


def patched() -> nn.Module:
    model = MLP(image_size=12)
    model.layers[0][0].forward = model.layers[0][0].forward
    return model


@pytest.mark.parametrize(
    "model",
    [
        Remembering(),
        nn.Sequential(nn.Flatten(), OwnLinear(144, 10)),
        nn.Sequential(nn.Flatten(), nn.ELU(inplace=True), nn.Linear(144, 10)),
        nn.Sequential(nn.Flatten(), nn.Linear(144, 20), nn.BatchNorm1d(20), nn.Linear(20, 10)),
        nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(144, 10))),
        MLP(image_size=12).to(torch.bfloat16),
        hooked(),
        patched(),
    ],
)
def test_networks_that_may_remember_are_left_to_in_place(scored, model):
    """Under vmap they would keep what cannot be used outside."""
    dtype = next(model.parameters()).dtype
    images = TensorDataset(data().tensors[0].to(dtype), data().tensors[1])
    evaluate(model, images, DRIFT, SIGMAS, 5)
    assert {kind for kind, _ in scored} == {InPlace}
    if isinstance(model, Remembering):
        assert model.seen.mean().isfinite()


def test_where_all_modules_are_hooked_is_in_place(scored):
    model = MLP(image_size=12)
    handle = nn.modules.module.register_module_forward_hook(lambda *arguments: None)
    try:
        evaluate(model, data(), DRIFT, SIGMAS, 5)
    finally:
        handle.remove()
    assert {kind for kind, _ in scored} == {InPlace}


def test_a_class_that_says_so_of_itself_is_served_and_those_derived_from_it_are_not(scored):
    class Own(nn.Module):
        remembers_nothing = True

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(144, 10)

        def forward(self, images):
            return self.layer(images.flatten(1))

    class Derived(Own):
        pass

    for kind, expected in ((Own, Vmapped), (Derived, InPlace)):
        scored.clear()
        evaluate(kind(), data(), DRIFT, SIGMAS, 5)
        assert {kind for kind, _ in scored} == {expected}


def test_a_network_put_together_from_known_layers_is_served(scored):
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 20), nn.Tanh(), nn.Linear(20, 10))
    evaluate(model, data(), DRIFT, SIGMAS, 5)
    assert {kind for kind, _ in scored} == {Vmapped}
