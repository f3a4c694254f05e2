"""Training for one chip: rows are assigned, entries frozen, and it serves its own chip."""

import itertools

import pytest
import torch

from bayesft.drift import Chip, LogNormalDrift
from bayesft.errors import SettingError
from bayesft.methods import ERM, ReRAMV
from bayesft.methods.reram_v import assigned_rows
from bayesft.models import MLP
from bayesft.tasks import Classification
from tests.helpers.trainings import cut_and_resumed, digits, trainer

DRIFT = LogNormalDrift()


def adam(parameters):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)


def reram(**settings) -> ReRAMV:
    torch.manual_seed(0)
    model = MLP(image_size=8, hidden=(24,))
    return ReRAMV(model, task=Classification(10), drift=DRIFT, optimizer=adam, **settings)


def cost(weight, factors, rows) -> float:
    return (weight.abs() * (factors[:, rows] - 1).abs()).sum().item()


def test_the_assignment_is_the_cheapest_of_all():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 5, generator=generator)
    factors = torch.randn(3, 5, generator=generator).exp()
    rows = assigned_rows(weight, factors)
    assert sorted(rows.tolist()) == list(range(5))
    every = [cost(weight, factors, list(each)) for each in itertools.permutations(range(5))]
    assert cost(weight, factors, rows) == pytest.approx(min(every))


def test_large_weights_are_kept_off_bad_cells():
    """The network varies less on its chip than in the order that it came in."""
    module = reram()

    def variation() -> list[float]:
        drifted = module.on_chip()
        return [(drifted[name] - w).abs().sum().item() for name, w in module._matrices.items()]

    before = variation()
    module._assign()
    assert all(after < was for after, was in zip(variation(), before, strict=True))
    for number in range(2):
        rows = getattr(module, f"row{number}")
        assert sorted(rows.tolist()) == list(range(len(rows)))


def test_its_chip_is_drawn_once(tmp_path, monkeypatch):
    """Each step and each validation batch asks for it, and it took half as long as a step."""
    drawn = []
    normals = Chip.normals

    def watched(self, *args):
        drawn.append(self)
        return normals(self, *args)

    monkeypatch.setattr(Chip, "normals", watched)
    module = reram()
    trainer(tmp_path, max_epochs=2).fit(module, digits())
    assert len(drawn) == 1
    # Whatever a drift did to what it was given.
    again = normals(module.chip, module.drift.parameters(module.model))
    assert all(torch.equal(each, again[name]) for name, each in module._drawn[1].items())


def test_it_is_assigned_after_the_plain_phase(tmp_path):
    module = reram(plain=0.5)
    seen = []
    module.on_train_epoch_end = lambda: seen.append(bool(module.assigned))
    trainer(tmp_path, max_epochs=4).fit(module, digits())
    assert seen == [False, False, True, True]


def test_frozen_entries_stay(tmp_path):
    """In spite of momentum and weight decay, to the bit, and they were halved once."""
    held = {}

    class Watched(ReRAMV):
        def on_train_epoch_start(self):
            before = [w.detach().clone() for w in self._matrices.values()]
            had = [f.clone() for f in self._frozen().values()]
            super().on_train_epoch_start()
            parts = zip(self._matrices.items(), before, had, self._frozen().values(), strict=True)
            for (name, weight), old, was, frozen in parts:
                new = frozen & ~was
                assert torch.equal(weight[new], old[new] * 0.5)
                assert torch.equal(weight[~new], old[~new])
                held.setdefault(name, []).append((new.clone(), weight.detach()[new].clone()))

    torch.manual_seed(0)
    model = MLP(image_size=8, hidden=(24,))
    module = Watched(
        model, task=Classification(10), drift=DRIFT, optimizer=adam, plain=0.25,
        frozen_per_epoch=0.01, patience=100,
    )  # fmt: skip
    trainer(tmp_path, max_epochs=8).fit(module, digits())
    for name, weight in module._matrices.items():
        assert sum(int(new.sum()) for new, _ in held[name]) > 0
        for new, values in held[name]:
            assert torch.equal(weight[new], values)
    # Assigned in epoch 2, then five times a hundredth.
    assert int(module.frozen0.sum()) == 5 * round(0.01 * 24 * 64)


def test_the_most_varied_are_frozen_first(tmp_path):
    module = reram(plain=0.0, frozen_per_epoch=0.01)
    module._assign()
    before = {name: weight.detach().clone() for name, weight in module._matrices.items()}
    drifted = module.on_chip()
    module._freeze()
    for (name, weight), frozen in zip(before.items(), module._frozen().values(), strict=True):
        variation = (drifted[name].detach() - weight).abs()
        assert variation[frozen].min() >= variation[~frozen].max()


def test_freezing_ends_when_the_accuracy_settles(tmp_path):
    module = reram(plain=0.0, frozen_per_epoch=0.01, patience=1)
    module.on_validation_epoch_end = lambda: module.settled.fill_(module.current_epoch >= 2)
    trainer(tmp_path, max_epochs=8).fit(module, digits())
    # Assigned in epoch 0, frozen in epochs 1 and 2.
    assert int(module.frozen0.sum()) == 2 * round(0.01 * 24 * 64)


def test_it_is_better_than_plain_training_on_its_chip(tmp_path):
    data = digits(batch_size=64)
    torch.manual_seed(0)
    plain = ERM(MLP(image_size=8, hidden=(24,)), task=Classification(10), optimizer=adam)
    module = reram(sigma=1.2)
    for each in (plain, module):
        run = trainer(tmp_path, max_epochs=12)
        run.fit(each, data)
    # Plain training on the same chip, without an assignment.
    twin = reram(sigma=1.2)
    twin.model.load_state_dict(plain.model.state_dict())
    accuracies = [
        trainer(tmp_path).test(each, data, verbose=False)[0]["test/own_chip_acc"]
        for each in (module, twin)
    ]
    assert accuracies[0] > accuracies[1] + 0.2
    assert accuracies[0] > 0.85


def test_a_resumed_training_goes_on_with_its_rows_and_frozen_entries(tmp_path):
    settings = {"plain": 0.25, "frozen_per_epoch": 0.01}
    whole = reram(**settings)
    trainer(tmp_path, max_epochs=6).fit(whole, digits())
    second = cut_and_resumed(lambda: reram(**settings), tmp_path, stop_at=3, max_epochs=6)
    assert second.assigned
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -1}, "`sigma`"),
        ({"plain": 1}, "`method.plain` to be a number from 0 to below 1, but got 1"),
        ({"frozen_per_epoch": -0.1}, "`method.frozen_per_epoch`.*-0.1"),
        ({"patience": 0}, "`method.patience`.*at least 1, but got 0"),
        ({"chip_index": -1}, "`index`.*-1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        reram(**settings)
