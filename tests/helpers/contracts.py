"""One suite per kind of part: what every drift model and every network must do.

Derive a class in the part's own tests and give `make`; a new part is then held
to the same contract as the old ones.
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from bayesft.drift import Chip, Drift, DriftingWeights, drifted
from bayesft.errors import SettingError
from bayesft.models import add_sites, get_dropout, set_dropout, site_names, sites
from bayesft.models.layers import NORMS


class DriftContract:
    """Derive as `class TestMine(DriftContract)` and return the drift from `make`."""

    def make(self, **settings) -> Drift:
        raise AssertionError("return the drift model")

    def test_sigma_zero_changes_nothing(self):
        weight = torch.randn(50, generator=torch.Generator().manual_seed(0))
        normal = torch.randn(50, generator=torch.Generator().manual_seed(1))
        assert torch.equal(self.make()(weight, normal, 0.0), weight)
        # Nor beside a weight that is none.
        weight[7] = torch.nan
        assert torch.equal(self.make()(weight, normal, 0.0).isnan(), weight.isnan())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_a_new_tensor_of_the_same_form(self, dtype):
        weight = torch.linspace(-1, 1, 24, dtype=dtype).view(2, 3, 4)
        before, normal = weight.clone(), torch.ones(2, 3, 4)
        result = self.make()(weight, normal, 0.5)
        assert (result.shape, result.dtype, result.device) == (
            weight.shape,
            weight.dtype,
            weight.device,
        )
        assert torch.equal(weight, before)
        assert torch.equal(normal, torch.ones(2, 3, 4))
        assert result.data_ptr() != weight.data_ptr()

    def test_a_function_of_its_arguments_alone(self):
        weight, normal = torch.randn(100), torch.randn(100)
        first = self.make()(weight, normal, 0.7)
        torch.manual_seed(123)
        state = torch.get_rng_state()
        assert torch.equal(self.make()(weight, normal, 0.7), first)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
    def test_a_weight_that_is_no_number_stops_nobody(self, wrong):
        """So that a network that diverged has a score, the worst one."""
        weight = torch.tensor([0.5, wrong, -0.2])
        result = self.make()(weight, torch.tensor([0.3, -0.4, 1.0]), 0.5)
        assert result.shape == weight.shape

    def test_an_elementwise_drift_is_one(self):
        """Such a drift is computed for all weights of a network as one long row."""
        drift, generator = self.make(), torch.Generator().manual_seed(0)
        if not drift.elementwise:
            pytest.skip("does not say that it is elementwise")
        weight, normal = torch.randn(2, 4, 100, generator=generator)
        whole = drift(weight, normal, 0.6)
        alone = [drift(w, z, 0.6) for w, z in zip(weight, normal, strict=True)]
        torch.testing.assert_close(torch.stack(alone), whole)

    def test_by_a_factor_it_is_the_same(self):
        drift, generator = self.make(), torch.Generator().manual_seed(0)
        weight, normal = torch.randn(2, 40, generator=generator)
        factor = drift.factor(normal, 0.6)
        if factor is None:
            pytest.skip("has no factor")
        assert drift.elementwise
        assert (factor.shape, factor.dtype) == (normal.shape, torch.float32)
        assert torch.equal(weight * factor, drift(weight, normal, 0.6))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_many_draws_at_once_are_each_draw_alone(self, dtype):
        torch.manual_seed(0)
        model, drift = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(40, 30).to(dtype)), self.make()
        draws = [(Chip(0, k), sigma) for sigma in (0.3, 0.9) for k in range(3)]
        with DriftingWeights(model, drift) as weights:
            rows = weights.rows(draws).clone()
        for row, (chip, sigma) in zip(rows, draws, strict=True):
            with drifted(model, drift, sigma, chip):
                alone = torch.cat([each.detach().flatten() for each in model.parameters()])
            assert torch.equal(row, alone.float())

    def test_it_comes_off_a_network_to_the_bit(self):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with drifted(model, self.make(), 0.9, Chip(0, 0)):
            changed = model.state_dict()
            assert any(not torch.equal(changed[name], before[name]) for name in before)
        assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())

    @pytest.mark.parametrize("target", ["all", "crossbar"])
    def test_targets(self, target):
        assert self.make(target=target).target == target

    def test_an_unknown_target_is_named(self):
        with pytest.raises(SettingError, match=r"drift.target.*all, crossbar.*'conv'"):
            self.make(target="conv")


class NetworkContract:
    """Derive as `class TestMine(NetworkContract)` and return the network from `make`.

    What it asks holds for networks with sites of their own and for those that are given some.
    """

    image_shape = (1, 28, 28)
    activations = ("relu", "elu", "gelu", "leaky_relu", "tanh")

    def make(self, **settings) -> nn.Module:
        raise AssertionError("return the network")

    def with_rates(self, dropout) -> nn.Module:
        """Return the network with these rates at its sites."""
        model = self.make()
        add_sites(model, self.image_shape, dropout=dropout)
        return model

    def images(self, count: int = 4) -> Tensor:
        return torch.rand(count, *self.image_shape, generator=torch.Generator().manual_seed(0))

    def test_images_become_logits(self):
        logits = self.make(num_classes=7)(self.images())
        assert logits.shape == (4, 7)
        assert torch.isfinite(logits).all()

    def test_a_vector_reads_back_in_every_form(self):
        names = site_names(self.with_rates(0.0))
        vector = tuple(0.5 * i / len(names) for i in range(len(names)))
        by_name = dict(zip(names, vector, strict=True))
        assert get_dropout(self.with_rates(list(vector))) == vector
        assert get_dropout(self.with_rates(by_name)) == vector
        model = self.with_rates(0.3)
        assert get_dropout(model) == (0.3,) * len(names)
        set_dropout(model, {names[-1]: 0.5})
        assert get_dropout(model) == (*((0.3,) * (len(names) - 1)), 0.5)

    def test_no_module_stands_in_two_places(self):
        modules = [module for _, module in self.make().named_modules(remove_duplicate=False)]
        assert len(modules) == len({id(module) for module in modules})

    def test_dropout_does_nothing_in_eval_mode(self):
        torch.manual_seed(0)
        model = self.with_rates(0.6).eval()
        twin = copy.deepcopy(model)
        set_dropout(twin, 0.0)
        assert torch.equal(model(self.images()), twin(self.images()))

    def test_rates_do_not_change_the_initial_weights(self):
        """Or no two rate vectors could be compared."""
        states = []
        for rate in (0.0, 0.5):
            torch.manual_seed(0)
            states.append(self.with_rates(rate).state_dict())
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_norm_and_activation_do_not_change_the_initial_weights(self):
        """Or no two norms could be compared."""
        states = []
        for settings in [{"norm": norm} for norm in NORMS] + [{"activation": "elu"}]:
            torch.manual_seed(0)
            weights = self.make(**settings).named_parameters()
            states.append([value for _, value in weights if value.ndim > 1])
            after = torch.rand(1)
            states[-1].append(after)
        for state in states[1:]:
            assert len(state) == len(states[0])
            assert all(torch.equal(a, b) for a, b in zip(state, states[0], strict=True))

    @pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "leaky_relu", "tanh"])
    @pytest.mark.parametrize("norm", NORMS)
    def test_every_parameter_learns(self, activation, norm):
        if activation not in self.activations:
            pytest.skip("has no such activation")
        torch.manual_seed(0)
        model = self.make(activation=activation, norm=norm).train()
        labels = torch.arange(8) % 10
        nn.functional.cross_entropy(model(self.images(8)), labels).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"activation": "swish"}, "`model.activation` to be one of relu.*'swish'"),
            ({"norm": "spectral"}, "`model.norm` to be one of none.*'spectral'"),
        ],
    )
    def test_bad_layers_are_named(self, settings, message):
        with pytest.raises(SettingError, match=message):
            self.make(**settings)

    @pytest.mark.parametrize(
        ("dropout", "message"),
        [
            ([0.1], r"`model.dropout` to have \d+ rates.*but got 1"),
            (1.0, r"\[0, 1\), but got 1.0"),
            (-0.1, r"\[0, 1\), but got -0.1"),
            (float("nan"), "but got nan"),
            (True, "but got True"),
            ("0.1", "but got '0.1'"),
            ({"nowhere": 0.1}, "names the site 'nowhere'; the sites are"),
        ],
    )
    def test_bad_rates_are_named(self, dropout, message):
        with pytest.raises(SettingError, match=message):
            self.with_rates(dropout)


class OwnSitesContract(NetworkContract):
    """For a network whose sites are dropout modules of its own; give `names` as well."""

    names: tuple[str, ...]

    def with_rates(self, dropout) -> nn.Module:
        return self.make(dropout=dropout)

    def test_site_names_in_order(self):
        assert site_names(self.make()) == self.names

    def test_every_site_is_used_once_and_drops(self):
        """A site that is left out, used twice or shared with another would compound."""
        for name in self.names:
            model = self.with_rates({name: 0.5}).train()
            seen: list[Tensor] = []
            sites(model)[name].register_forward_hook(lambda *args, to=seen: to.append(args[2]))
            torch.manual_seed(0)
            model(self.images())
            assert len(seen) == 1, name
            assert (seen[0] == 0).any(), name


class AddedSitesContract(NetworkContract):
    """For a network that is given sites; give how many with a rate for each block, and stages."""

    image_shape = (3, 32, 32)
    # Each costs a forward and backward pass of a network that may be large.
    activations = ("relu", "gelu")
    blocks: int
    stages: tuple[str, ...]

    def test_how_many_sites(self):
        model = self.make()
        assert site_names(model) == ()
        add_sites(model, self.image_shape)
        assert len(site_names(model)) == self.blocks
        add_sites(model, self.image_shape, tie="stage")
        assert site_names(model) == self.stages

    def test_every_site_drops(self):
        model = self.make()
        add_sites(model, self.image_shape, tie="stage")
        model.train()
        torch.manual_seed(0)
        plain = model(self.images())
        for name in self.stages:
            set_dropout(model, {each: 0.5 * (each == name) for each in self.stages})
            torch.manual_seed(0)
            assert not torch.equal(model(self.images()), plain), name

    def test_images_too_small_are_named(self):
        with pytest.raises(SettingError, match=r"at least \d+×\d+.*`model.image_size` is 4"):
            self.make(image_size=4)
