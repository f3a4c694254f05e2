"""Which backend `auto` takes, by times that are known."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift
from bayesft.errors import SettingError
from bayesft.models import MLP, LeNet5
from bayesft.robustness import accuracy
from bayesft.robustness.backends import InPlace, choice, choose, timing
from bayesft.robustness.backends.linear import ManyLinear

CUDA = SimpleNamespace(device=torch.device("cuda"), streamed=False)


class Timed:
    """Takes a time of `now` for each call and for each draw."""

    now, call, draw, calls, mixes = [0.0], 0.0, 0.0, 0, False

    def __init__(self, model, weights, score):
        pass

    def __call__(self, chips, batches, sigmas):
        type(self).calls += 1
        self.now[0] += self.call + self.draw * len(chips)

    def chunk(self, batch):
        return 100


@pytest.fixture
def kinds(monkeypatch):
    """Two backends whose times are known, by the names of the real ones."""
    one = type("One", (Timed, InPlace), {"draw": 3.0})
    many = type("Many", (Timed,), {"call": 12.0, "mixes": True})
    monkeypatch.setattr(choice, "BACKENDS", {"in_place": one, "vmap": many})
    monkeypatch.setattr(choice, "InPlace", one)
    monkeypatch.setattr(timing, "_wait_for", lambda device: None)
    monkeypatch.setattr(choice, "_sees_the_drift", lambda *given: True)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: Timed.now[0])
    return SimpleNamespace(one=one, many=many)


def probing(batch):
    return lambda count: ([Chip(0, 0)] * count, [batch] * count, [(0.0,)] * count)


def ask(model, *, images=2, score=accuracy, weights=CUDA, draws=None):
    probe = probing([torch.zeros(images, 1)])
    found = choose("auto", model, weights, score, probe=probe, draws=draws)
    return type(getattr(found, "backend", found))


@pytest.mark.parametrize(
    ("model", "score", "kind"),
    [
        (LeNet5(image_size=12), accuracy, InPlace),
        (MLP(image_size=12, hidden=(20,), norm="batch"), accuracy, InPlace),
        (MLP(image_size=12, hidden=(20,)), accuracy, ManyLinear),
        (MLP(image_size=12, hidden=(2000, 2000)), accuracy, InPlace),
        # It may remember what it was called with.
        (MLP(image_size=12, hidden=(20,)), lambda model, batch: accuracy(model, batch), InPlace),
    ],
)
def test_on_a_cpu_auto_is_in_place_but_for_small_linear_networks(model, score, kind):
    with DriftingWeights(model, LogNormalDrift()) as weights:
        assert type(choose("auto", model, weights, score, probe=None)) is kind


@pytest.mark.parametrize(
    ("call", "draw", "chosen"),
    [
        (12.0, 0.0, "many"),  # a launch serves all draws
        (250.0, 0.0, "many"),  # three calls of at most 100 draws
        (260.0, 0.0, "one"),
        (0.0, 8.0, "one"),
        (310.0, 0.0, "one"),  # so slow that few draws tell
    ],
)
def test_on_a_gpu_auto_is_what_takes_least_for_many_draws(kinds, call, draw, chosen):
    kinds.many.call, kinds.many.draw = call, draw
    assert ask(MLP(image_size=12, hidden=(20,))) is getattr(kinds, chosen)


def test_few_draws_take_another_backend_than_many(kinds):
    """A call that serves many draws at once takes longer than few of them one by one."""
    model = MLP(image_size=12, hidden=(20,))
    found = [ask(model, draws=draws) for draws in (3, 4, 5, 90, 110, 400)]
    assert found == [kinds.one] * 2 + [kinds.many] * 4
    # Timed once.
    assert kinds.many.calls == 2 * (1 + timing._TIMES)


@pytest.mark.parametrize(("call", "timed"), [(700.0, 2), (800.0, 1)])
def test_what_takes_more_for_all_draws_at_once_is_not_timed_further(
    kinds, monkeypatch, call, timed
):
    """For 256 draws the other takes 768."""
    monkeypatch.setattr(kinds.many, "chunk", lambda self, batch: 1000)
    kinds.many.call = call
    ask(MLP(image_size=12, hidden=(20,)))
    assert kinds.many.calls == timed * (1 + timing._TIMES)


def test_what_is_fastest_is_asked_once_for_a_network_and_a_form(kinds):
    model = MLP(image_size=12, hidden=(20,))
    assert ask(model) is kinds.many
    timed, many = kinds.one.calls, kinds.many.calls
    assert ask(model) is kinds.many
    assert (kinds.one.calls, kinds.many.calls) == (timed, many)
    ask(model, images=3)
    assert kinds.one.calls == 2 * timed
    ask(MLP(image_size=12, hidden=(20,)))
    assert kinds.one.calls == 3 * timed


def test_a_network_that_was_asked_about_is_let_go(kinds):
    model = MLP(image_size=12, hidden=(20,))
    ask(model)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_what_cannot_serve_a_network_any_more_is_given_up(kinds, monkeypatch):
    """The network was changed, or is scored in another way."""
    model, batch = MLP(image_size=12, hidden=(20,)), [torch.zeros(2, 1)]
    found = choose("auto", model, CUDA, accuracy, probe=probing(batch))
    assert found.chunk(batch) == 100
    found([Chip(0, 0)], [batch], [(0.3,)])
    tried = []

    def broken(*arguments):
        tried.append(arguments)
        raise RuntimeError("as if")

    monkeypatch.setattr(kinds.many, "__call__", broken)
    sizes = []

    def one_by_one(self, chips, batches, sigmas):
        sizes.append((len(chips), len(batches), len(sigmas)))
        return torch.tensor([[float(chip.index), 0.0] for chip in chips])

    monkeypatch.setattr(kinds.one, "__call__", one_by_one)
    monkeypatch.setattr(kinds.one, "chunk", lambda self, batch: 2)
    assert found.mixes
    # What the other one took at once is more than this one may.
    chips = [Chip(0, k) for k in range(5)]
    assert found(chips, [batch] * 5, [(0.3,)] * 5)[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert found(chips[:1], [batch], [(0.3,)])[:, 0].tolist() == [0]
    assert sizes == [(2, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 1)]
    assert len(tried) == 1
    assert not found.mixes
    assert ask(model) is kinds.one


def test_what_scores_other_weights_is_not_taken(kinds, monkeypatch):
    monkeypatch.setattr(choice, "_sees_the_drift", lambda backend, weights, probe: False)
    assert ask(MLP(image_size=12, hidden=(20,))) is kinds.one


@pytest.mark.parametrize("error", [SettingError("as if"), RuntimeError("as if")])
def test_what_is_wrong_with_a_score_is_told(kinds, monkeypatch, error):
    model, batch = MLP(image_size=12, hidden=(20,)), [torch.zeros(2, 1)]
    found = choose("auto", model, CUDA, accuracy, probe=probing(batch))

    def broken(*arguments):
        raise error

    monkeypatch.setattr(kinds.many, "__call__", broken)
    monkeypatch.setattr(kinds.one, "__call__", broken)
    with pytest.raises(type(error), match="as if"):
        found([Chip(0, 0)], [batch], [(0.3,)])


def test_a_draw_of_a_chunk_of_one_is_timed_alone(kinds, monkeypatch):
    """More than an evaluation has at once could be more than there is memory for."""
    monkeypatch.setattr(kinds.one, "chunk", lambda self, batch: 1)
    sizes = []

    def one_by_one(self, chips, batches, sigmas):
        sizes.append(len(chips))

    monkeypatch.setattr(kinds.one, "__call__", one_by_one)
    ask(MLP(image_size=12, hidden=(20,)))
    assert set(sizes) == {1}


@pytest.mark.parametrize("name", ["autocast", "streamed"])
def test_auto_is_in_place_where_vmap_is_not_exact_or_takes_copies(kinds, monkeypatch, name):
    weights = SimpleNamespace(device=CUDA.device, streamed=name == "streamed")
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: name == "autocast")
    assert ask(MLP(image_size=12, hidden=(20,)), weights=weights) is kinds.one
    assert kinds.one.calls == kinds.many.calls == 0
