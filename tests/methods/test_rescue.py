"""Training around stuck cells: they stay, significant weights avoid them, and it helps."""

import pytest
import torch

from bayesft.drift import LogNormalDrift, StuckAtDrift
from bayesft.errors import SettingError
from bayesft.methods import ERM, Rescue
from bayesft.methods.remapping import faults, harm_of, harms
from bayesft.models import MLP
from bayesft.tasks import Classification
from tests.helpers.trainings import cut_and_resumed, digits, trainer

FAULTS = StuckAtDrift()


def adam(parameters):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)


def network() -> MLP:
    torch.manual_seed(0)
    return MLP(image_size=8, hidden=(24,))


def rescue(kind: type[Rescue] = Rescue, **settings) -> Rescue:
    defaults = {"task": Classification(10), "faults": FAULTS, "optimizer": adam}
    return kind(network(), **defaults | settings)


def own_chip(module, folder, data) -> float:
    found = trainer(folder).test(module, data, verbose=False)
    return found[0]["test/own_chip_acc"]


def parameters(module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in module.model.named_parameters()}


def test_its_chip_is_that_of_its_number_until_it_is_remapped():
    module = rescue(sigma=0.2, chip_index=3, spare_columns=2)
    weights = module.drift.parameters(module.model)
    normals = module.chip.normals(weights)
    for name, value in module.on_chip().items():
        assert torch.equal(value, FAULTS(weights[name], normals[name], 0.2))


def test_from_the_assignment_on_the_weights_are_as_the_chip_has_them():
    """To the bit: putting them on the chip changes nothing any more."""
    module = rescue(sigma=0.3, spare_columns=3)
    before = parameters(module)
    module._assign()
    for name, value in module.on_chip().items():
        weight, stuck = module.model.get_parameter(name), module._frozen()[name]
        assert torch.equal(value, weight)
        assert torch.equal(weight[~stuck], before[name][~stuck])
        assert set(weight[stuck].abs().tolist()) <= {0.0, before[name].abs().max().item()}
        assert 0.1 < stuck.double().mean() < 0.5 or stuck.numel() < 100


def test_stuck_cells_stay(tmp_path):
    """In spite of momentum and weight decay, to the bit; the others learn, within the scale."""
    start, gradients = {}, []

    class Watched(Rescue):
        def _assign(self):
            super()._assign()
            start.update(parameters(self))

        def on_before_optimizer_step(self, optimizer):
            super().on_before_optimizer_step(optimizer)
            if self.assigned:
                gradients.append(
                    [
                        self.model.get_parameter(name).grad[stuck].abs().sum().item()
                        for name, stuck in self._frozen().items()
                    ]
                )

    module = rescue(Watched, plain=0.25, sigma=0.2)
    trainer(tmp_path, max_epochs=6).fit(module, digits())
    for name, stuck in module._frozen().items():
        weight = module.model.get_parameter(name)
        assert torch.equal(weight[stuck], start[name][stuck])
        assert not torch.equal(weight[~stuck], start[name][~stuck])
        if (start[name][stuck] != 0).any():
            assert weight.abs().max() == start[name].abs().max()
    assert sum(map(sum, gradients)) == 0
    assert len(gradients) > 10


@pytest.mark.parametrize("spare", [0, 4])
def test_significant_weights_are_kept_off_stuck_cells(tmp_path, spare):
    """Weighted by the slopes that it gathered the harm is less than in the order it came in."""
    harm = {}

    class Watched(Rescue):
        def _assign(self):
            matrices = parameters(self)
            before, ours = self._normals(), dict(self._matrices)
            super()._assign()
            after = self._normals()
            for number, name in enumerate(ours):
                slope = getattr(self, f"slope{number}")
                assert (slope > 0).double().mean() > 0.5
                cost = harms(matrices[name].flatten(1), slope.flatten(1))
                every = torch.arange(cost.shape[1]), torch.arange(cost.shape[2])
                harm[name] = [
                    harm_of(cost, faults(*FAULTS.cells(each[name], 0.2)), *every)
                    for each in (before, after)
                ]

    trainer(tmp_path, max_epochs=2).fit(rescue(Watched, sigma=0.2, spare_columns=spare), digits())
    assert len(harm) == 2
    for before, after in harm.values():
        assert 0 < after < (0.7 if spare else 0.8) * before


def test_slopes_are_those_of_the_last_plain_epoch(tmp_path):
    expected = {}

    class Watched(Rescue):
        def on_after_backward(self):
            if self.current_epoch == 1:
                for name, weight in self._matrices.items():
                    expected[name] = expected.get(name, 0) + weight.grad.abs()

    # A learning rate of 0 would leave the gradients the same in each epoch.
    module = rescue(Watched, plain=0.5)
    trainer(tmp_path, max_epochs=4, gradient_clip_val=1e-3).fit(module, digits())
    for number, name in enumerate(module._matrices):
        torch.testing.assert_close(getattr(module, f"slope{number}"), expected[name])


def test_it_is_assigned_after_the_plain_phase(tmp_path):
    module = rescue(plain=0.5)
    seen = []
    module.on_train_epoch_end = lambda: seen.append(bool(module.assigned))
    trainer(tmp_path, max_epochs=4).fit(module, digits())
    assert seen == [False, False, True, True]


def test_without_plain_epochs_all_slopes_count_the_same(tmp_path):
    module = rescue(plain=0.0, sigma=0.2)
    trainer(tmp_path, max_epochs=1).fit(module, digits())
    assert module.assigned
    assert module.column0.tolist() != sorted(module.column0.tolist())


def test_without_faults_it_is_plain_training_to_the_bit(tmp_path):
    data = digits()
    trained = []
    for module in (
        rescue(sigma=0.0, plain=0.5),
        ERM(network(), task=Classification(10), optimizer=adam),
    ):
        torch.manual_seed(1)
        trainer(tmp_path, max_epochs=4, gradient_clip_val=1.0).fit(module, data)
        trained.append(parameters(module))
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_another_order_on_the_chip_does_not_change_the_network():
    module = rescue(sigma=0.0, spare_columns=5)
    images = torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = module.on_chip()
    for number, weight in enumerate(module._matrices.values()):
        getattr(module, f"column{number}").copy_(torch.randperm(len(weight) + 5)[: len(weight)])
        getattr(module, f"row{number}").copy_(torch.randperm(weight[0].numel()))
    assert all(torch.equal(value, before[name]) for name, value in module.on_chip().items())
    module.eval()
    assert torch.equal(
        torch.func.functional_call(module.model, module.on_chip(), (images,)), module(images)
    )


def test_spare_columns_have_stuck_cells_of_their_own():
    module = rescue(sigma=0.5, spare_columns=50)
    cells = module._with_spare(0, torch.zeros(24, 64))
    stuck = FAULTS.cells(cells[24:], 0.5)[0].double().mean().item()
    assert abs(stuck - 0.5) < 5 * 0.5 / (50 * 64) ** 0.5
    other = module._with_spare(1, torch.zeros(10, 64))
    assert not torch.equal(other[10:], cells[24:])
    assert torch.equal(module._with_spare(0, torch.zeros(24, 64)), cells)


def test_it_is_better_than_plain_training_on_its_chip(tmp_path):
    data = digits(batch_size=64)
    plain = ERM(network(), task=Classification(10), optimizer=adam)
    module = rescue(sigma=0.2)
    for each in (plain, module):
        trainer(tmp_path, max_epochs=12).fit(each, data)
    # Plain training with the same stuck cells, and the same with the remapping alone.
    twin = rescue(sigma=0.2)
    twin.model.load_state_dict(plain.model.state_dict())
    accuracies = [own_chip(each, tmp_path, data) for each in (module, twin)]
    twin._assign()
    remapped = own_chip(twin, tmp_path, data)
    assert accuracies[0] > accuracies[1] + 0.2
    assert accuracies[0] > remapped > accuracies[1]
    assert accuracies[0] > 0.9


def test_a_resumed_training_goes_on_with_its_places_and_stuck_cells(tmp_path):
    settings = {"plain": 0.5, "sigma": 0.2, "spare_columns": 2}
    whole = rescue(**settings)
    trainer(tmp_path, max_epochs=6).fit(whole, digits())
    for stop_at in (1, 3):
        second = cut_and_resumed(
            lambda: rescue(**settings), tmp_path, stop_at=stop_at, max_epochs=6
        )
        assert second.assigned
        for name, value in whole.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 1.5}, "`sigma` to be from 0 to 1, but got 1.5"),
        ({"plain": 1}, "`method.plain` to be a number from 0 to below 1, but got 1"),
        ({"spare_columns": -1}, "`method.spare_columns` to be an integer, 0 or larger, but got -1"),
        ({"spare_columns": 0.5}, r"`method.spare_columns`.*0\.5"),
        ({"faults": LogNormalDrift()}, "`method.faults` to be stuck cells.*LogNormalDrift"),
        ({"chip_index": -1}, "`index`.*-1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        rescue(**settings)
