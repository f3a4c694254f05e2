"""Training at the worst weights nearby: how far they move, and that they come back."""

import pytest
import torch

from bayesft.errors import SettingError
from bayesft.methods import AWP, ERM, SAM, SAMSON
from bayesft.models import MLP
from bayesft.tasks import Classification
from tests.helpers.trainings import digits, trainer

METHODS = [(AWP, {"gamma": 0.1}), (SAM, {"rho": 0.1}), (SAMSON, {"rho": 0.1})]


def network() -> MLP:
    torch.manual_seed(0)
    return MLP(image_size=8, hidden=(16,), norm="batch")


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(32, 1, 8, 8, generator=generator), torch.arange(32) % 10


def moved(module) -> tuple[dict, dict, dict]:
    """Return the weights, their gradient, and how far each is moved."""
    weights = {n: w for n, w in module.model.named_parameters() if module.climbs(n, w)}
    images, labels = batch()
    loss = module.task.loss(module.model(images), labels)
    found = torch.autograd.grad(loss, list(weights.values()))
    gradient = dict(zip(weights, found, strict=True))
    with torch.no_grad():
        return weights, gradient, module.offsets(weights, gradient)


def norm(tensors) -> float:
    return torch.cat([each.flatten() for each in tensors.values()]).norm().item()


def test_awp_moves_each_matrix_by_a_part_of_its_own_length():
    weights, gradient, offsets = moved(AWP(network(), task=Classification(10), gamma=0.1))
    assert all(weight.ndim == 2 for weight in weights.values())
    for name, offset in offsets.items():
        assert offset.norm().item() == pytest.approx(0.1 * weights[name].norm().item(), rel=1e-4)
        cosine = (offset * gradient[name]).sum() / offset.norm() / gradient[name].norm()
        assert cosine.item() == pytest.approx(1, abs=1e-4)


def test_sam_moves_all_parameters_together_by_rho():
    weights, gradient, offsets = moved(SAM(network(), task=Classification(10), rho=0.1))
    assert len(weights) == len(list(network().parameters()))
    assert norm(offsets) == pytest.approx(0.1, rel=1e-4)
    for name, offset in offsets.items():
        torch.testing.assert_close(offset, gradient[name] * (0.1 / norm(gradient)))


def test_samson_is_on_the_ellipsoid_of_its_scales_and_blind_to_a_layers_scale():
    module = SAMSON(network(), task=Classification(10), rho=0.1)
    weights, _, offsets = moved(module)
    scales = module.scales(weights)
    inside = {name: offset / (scales[name] + 1e-9) for name, offset in offsets.items()}
    assert norm(inside) == pytest.approx(0.1, rel=1e-3)
    doubled = module.scales({name: 2 * weight for name, weight in weights.items()})
    for name, scale in scales.items():
        torch.testing.assert_close(scale, doubled[name])
        # BatchNorm's shifts begin at 0 and are not moved.
        assert scale.max().item() == pytest.approx(1) or not weights[name].any()


@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_the_loss_there_is_higher_and_so_is_the_gradient_taken(method, settings):
    module = method(network(), task=Classification(10), **settings)
    images, labels = batch()
    here = module.task.loss(module.model(images), labels)
    there = module.training_loss(images, labels)
    assert there > here
    there.backward()
    climbed = {n: p.grad.clone() for n, p in module.model.named_parameters()}
    plain = ERM(network(), task=Classification(10))
    plain.training_loss(images, labels).backward()
    weight = "layers.0.0.weight"
    assert not torch.allclose(climbed[weight], dict(plain.model.named_parameters())[weight].grad)


@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_the_gradient_is_that_at_the_moved_weights(method, settings):
    module = method(network(), task=Classification(10), **settings)
    weights, _, offsets = moved(module)
    images, labels = batch()
    twin = network()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(weights.get(name, parameter) + offsets.get(name, 0))
    module.training_loss(images, labels).backward()
    torch.nn.functional.cross_entropy(twin(images), labels).backward()
    for ours, theirs in zip(module.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_weights_are_not_written_and_statistics_are_of_one_pass(method, settings):
    module = method(network(), task=Classification(10), **settings)
    before = {name: p.detach().clone() for name, p in module.model.named_parameters()}
    module.training_loss(*batch()).backward()
    for name, parameter in module.model.named_parameters():
        assert torch.equal(parameter, before[name])
    norms = [m for m in module.model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert [m.num_batches_tracked.item() for m in norms] == [1]


@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_it_learns(tmp_path, method, settings):
    module = method(
        network(),
        task=Classification(10),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
        **settings,
    )
    run = trainer(tmp_path, max_epochs=4)
    run.fit(module, digits(batch_size=64))
    assert run.callback_metrics["val/acc"] > 0.85


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (AWP, {"gamma": 0}, "`method.gamma` to be a number above 0, but got 0"),
        (SAM, {"rho": -0.1}, "`method.rho` to be a number above 0, but got -0.1"),
        (SAMSON, {"rho": "x"}, "but got 'x'"),
    ],
)
def test_bad_settings_are_named(method, settings, message):
    with pytest.raises(SettingError, match=message):
        method(network(), task=Classification(10), **settings)
