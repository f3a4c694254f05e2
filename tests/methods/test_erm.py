"""Plain training, parameterised by a dropout vector."""

import functools
import logging

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from bayesft.errors import SettingError
from bayesft.methods import ERM
from bayesft.tasks import Classification
from tests.helpers.trainings import ONE_CYCLE, digits, erm, trainer


def test_the_vector_stands_in_checkpoint_and_logger(tmp_path):
    module = erm(dropout=[0.1, 0.3])
    run = trainer(tmp_path, max_epochs=1, logger=CSVLogger(tmp_path, name=None, version=""))
    run.fit(module, digits())
    run.save_checkpoint(tmp_path / "m.ckpt")
    saved = torch.load(tmp_path / "m.ckpt", weights_only=True)["hyper_parameters"]
    assert saved["dropout"] == [0.1, 0.3]
    assert saved["sites"] == ["fc1", "fc2"]
    assert "- 0.1\n- 0.3\n" in (tmp_path / "hparams.yaml").read_text()


def test_the_vector_can_be_read_and_set():
    module = erm(dropout=0.2)
    assert module.dropout == (0.2, 0.2)
    module.dropout = {"fc2": 0.5}
    assert module.dropout == (0.2, 0.5)
    assert module.hparams.dropout == [0.2, 0.5]
    assert [layer.p for layer in module.model.dropout.values()] == [0.2, 0.5]
    with pytest.raises(SettingError, match="2 rates"):
        module.dropout = [0.1]


def test_none_leaves_the_networks_own_rates():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.4))
    assert ERM(model, task=Classification(2)).dropout == (0.4,)


def test_accuracy_is_over_images_and_not_over_batches(tmp_path):
    """Batches of 8 and of 1: a mean of batch means would give 0.5."""
    images = torch.ones(9, 2)
    labels = torch.tensor([0] * 8 + [1])
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    linear = torch.nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        linear.bias.zero_()
    module, run = ERM(linear, task=Classification(2)), trainer(tmp_path)
    val = run.validate(module, loader, verbose=False)[0]
    test = run.test(module, loader, verbose=False)[0]
    assert val["val/acc"] == pytest.approx(8 / 9)
    assert test["test/acc"] == pytest.approx(8 / 9)
    loss = torch.nn.functional.cross_entropy(linear(images), labels).item()
    assert val["val/loss"] == pytest.approx(loss)


def test_one_cycle_takes_every_step_of_the_training(tmp_path):
    module = erm(optimizer=functools.partial(torch.optim.Adam, lr=0.01), scheduler=ONE_CYCLE)
    run = trainer(tmp_path, max_epochs=3, accumulate_grad_batches=2)
    run.fit(module, digits(batch_size=100))
    schedule = run.lr_scheduler_configs[0].scheduler
    steps = run.global_step
    assert steps == 15  # 987 images are 10 batches, 5 steps, an epoch
    assert schedule.total_steps == steps
    assert schedule.last_epoch == steps


def test_a_schedule_of_epochs_moves_every_epoch(tmp_path):
    step = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    module = erm(optimizer=functools.partial(torch.optim.SGD, lr=1.0), scheduler=step)
    run = trainer(tmp_path, max_epochs=2)
    run.fit(module, digits())
    assert run.lr_scheduler_configs[0].scheduler.get_last_lr() == [pytest.approx(0.01)]


def test_one_cycle_without_an_end_is_told(tmp_path):
    module = erm(scheduler=ONE_CYCLE)
    with pytest.raises(SettingError, match=r"trainer.max_epochs.*scheduler=none"):
        trainer(tmp_path, max_epochs=-1).fit(module, digits())


def test_training_learns(tmp_path):
    module = erm(hidden=(32,), optimizer=functools.partial(torch.optim.Adam, lr=0.01))
    run = trainer(tmp_path, max_epochs=5)
    run.fit(module, digits(batch_size=64))
    assert run.callback_metrics["val/acc"] > 0.9


def test_one_seed_one_network(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    states = []
    for _ in range(2):
        module = erm(dropout=0.3)
        trainer(tmp_path, max_epochs=2).fit(module, digits())
        states.append(module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_learning_rate_that_waits_for_a_plateau_is_refused(tmp_path):
    module = erm(scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(SettingError, match=r"plateau.*not go on as it began.*CosineAnnealingLR"):
        trainer(tmp_path, max_epochs=1).fit(module, digits())


@pytest.mark.parametrize(("reduction", "form"), [("none", r"shape \(128,\)"), (float, "a float")])
def test_a_loss_that_is_no_number_is_told(tmp_path, reduction, form):
    class Own(ERM):
        def training_loss(self, images, targets):
            loss = torch.nn.functional.cross_entropy(self(images), targets, reduction="none")
            return loss if reduction == "none" else loss.mean().item()

    module = Own(erm().model, task=Classification(10))
    with pytest.raises(SettingError, match=f"the loss of Own with Classification.*{form}.*mean"):
        trainer(tmp_path, max_epochs=1).fit(module, digits(batch_size=128))
