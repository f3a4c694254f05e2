"""Training under drift: each step on a chip of its own, the clean weights never written."""

import math

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from bayesft.drift import Chip, LogNormalDrift, StuckAtDrift, drifted
from bayesft.errors import SettingError
from bayesft.methods import ERM, NoiseInjection
from bayesft.models import MLP, add_sites
from bayesft.robustness import evaluate
from bayesft.tasks import Classification
from tests.helpers.trainings import ONE_CYCLE, digits, trainer

DRIFT = LogNormalDrift()


def noisy(hidden=(16,), **settings) -> NoiseInjection:
    torch.manual_seed(0)
    model = MLP(image_size=8, hidden=hidden)
    return NoiseInjection(model, task=Classification(10), **{"drift": DRIFT} | settings)


class Watched(NoiseInjection):
    """Notes sigma, the loss and the gradient of every step, and the weights before it."""

    def training_step(self, batch, batch_idx):
        self.batch = batch
        self.before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        return super().training_step(batch, batch_idx)

    def on_before_optimizer_step(self, optimizer):
        self.sigmas = [*getattr(self, "sigmas", []), self.present_sigma]
        for name, parameter in self.model.named_parameters():
            assert torch.equal(parameter, self.before[name])
        self.gradient = {n: p.grad.clone() for n, p in self.model.named_parameters()}


def watched(tmp_path, **settings) -> Watched:
    torch.manual_seed(0)
    model = MLP(image_size=8, hidden=(16,))
    module = Watched(model, task=Classification(10), drift=DRIFT, **settings)
    trainer(tmp_path, max_epochs=2, limit_train_batches=4).fit(module, digits())
    return module


def test_the_gradient_is_that_of_the_loss_on_the_chip_of_the_step(tmp_path):
    module = watched(tmp_path, sigma=0.8, ramp=0.0, chip_seed=7)
    twin = MLP(image_size=8, hidden=(16,))
    twin.load_state_dict(module.before)
    with drifted(twin, DRIFT, 0.8, Chip(7, 7)):
        loss = torch.nn.functional.cross_entropy(twin(module.batch[0]), module.batch[1])
        weights = {name: p.detach().clone() for name, p in twin.named_parameters()}
        gradient = dict(
            zip(weights, torch.autograd.grad(loss, list(twin.parameters())), strict=True)
        )
    for name, clean in module.before.items():
        # By the chain rule: the gradient at the drifted weight times the weight's factor.
        expected = gradient[name] * weights[name] / clean
        torch.testing.assert_close(module.gradient[name], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("ramp", "sigmas"),
    [
        (0.0, [0.8] * 8),
        (1.0, [0.1 * step for step in range(8)]),
        (0.5, [0.2 * step for step in range(4)] + [0.8] * 4),
    ],
)
def test_sigma_grows_over_the_ramp(tmp_path, ramp, sigmas):
    assert watched(tmp_path, sigma=0.8, ramp=ramp).sigmas == pytest.approx(sigmas)


def test_sigma_is_logged(tmp_path):
    run = trainer(tmp_path, max_epochs=1, logger=CSVLogger(tmp_path, name=None, version=""))
    run.fit(noisy(sigma=0.8), digits())
    assert "train/sigma" in (tmp_path / "metrics.csv").read_text()


def test_mean_correction_divides_by_the_mean_factor(tmp_path):
    """By exp(sigma²/2), which is also what the drift's own gain says, and its samples."""
    normals = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    mean = DRIFT(torch.ones(400_000), normals, 0.7).mean().item()
    spread = math.sqrt((math.exp(0.49) - 1) * math.exp(0.49) / 400_000)
    assert abs(mean - DRIFT.gain(0.7)) < 4 * spread

    module = watched(tmp_path, sigma=0.7, ramp=0.0, mean_corrected=True)
    normals = Chip(module.chip_seed, 7).normals(module.before)
    twin = MLP(image_size=8, hidden=(16,))
    corrected = {
        name: DRIFT(weight, normals[name], 0.7) / math.exp(0.7**2 / 2)
        for name, weight in module.before.items()
    }
    twin.load_state_dict(corrected)
    loss = torch.nn.functional.cross_entropy(twin(module.batch[0]), module.batch[1])
    logged = module.trainer.callback_metrics["train/loss"]
    torch.testing.assert_close(logged, loss.detach())


def test_without_noise_it_is_plain_training(tmp_path):
    states = []
    for module in (noisy(sigma=0.0), ERM(noisy().model, task=Classification(10))):
        torch.manual_seed(0)
        trainer(tmp_path).fit(module, digits())
        states.append(module.model.state_dict())
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name])


def test_a_resumed_training_meets_the_same_chips(tmp_path):
    whole = noisy(sigma=0.8)
    trainer(tmp_path, max_epochs=4).fit(whole, digits())
    cut = trainer(tmp_path, max_epochs=4, limit_train_batches=1.0)
    cut.fit_loop.max_epochs = 2
    first = noisy(sigma=0.8)
    # The ramp is over the whole training, so its length must be known to the first part.
    first._total_steps = lambda: 16
    cut.fit(first, digits())
    cut.save_checkpoint(tmp_path / "cut.ckpt")
    second = noisy(sigma=0.8)
    trainer(tmp_path, max_epochs=4).fit(second, digits(), ckpt_path=tmp_path / "cut.ckpt")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])


def test_it_helps_under_the_drift_that_it_trained_under(tmp_path):
    data = digits(batch_size=64)
    curves = []
    for method in (ERM, NoiseInjection):
        torch.manual_seed(0)
        model = MLP(image_size=8, hidden=(32,))
        settings = {"drift": DRIFT, "sigma": 0.8} if method is NoiseInjection else {}
        module = method(
            model,
            task=Classification(10),
            optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
            scheduler=ONE_CYCLE,
            **settings,
        )
        trainer(tmp_path, max_epochs=15).fit(module, data)
        curves.append(evaluate(module, data.val_dataloader(), DRIFT, [0.8], 400, seed=5))
    assert curves[1].mean > curves[0].mean + 4 * (curves[0].stderr + curves[1].stderr)


def test_added_sites_and_norms_take_part(tmp_path):
    """Hooks drop at the drifted weights too, and running statistics move."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 16),
        torch.nn.BatchNorm1d(16),
        torch.nn.Linear(16, 10),
    )
    add_sites(model, (1, 8, 8), dropout=0.3)
    module = NoiseInjection(model, task=Classification(10), drift=DRIFT, sigma=0.5)
    trainer(tmp_path, max_epochs=1).fit(module, digits())
    assert model[2].num_batches_tracked == 4
    assert model[2].running_mean.abs().sum() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -1}, r"`sigma` to be a finite number.*-1"),
        ({"ramp": 1.5}, r"`method.ramp` to be a number from 0 to 1, but got 1.5"),
        ({"ramp": True}, "but got True"),
        (
            {"drift": StuckAtDrift(), "sigma": 1.0, "mean_corrected": True},
            r"`mean_corrected`.*which is 0 for StuckAtDrift at sigma 1.*method.mean_corrected=fal",
        ),
        ({"chip_seed": -3}, "`seed` to be an integer, 0 or larger, but got -3"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        noisy(**settings)
