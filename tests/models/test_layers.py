"""What each norm normalises over, on data whose statistics are known."""

import pytest
import torch
from torch import nn

from bayesft.models.layers import NORMS, norm_layer

# Which axes of feature maps (n, c, h, w) and of vectors (n, c) come out with mean 0.
OVER_IMAGES = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}
OVER_VECTORS = {"batch": (0,), "layer": (1,), "instance": (1,)}


@pytest.mark.parametrize("name", OVER_IMAGES)
def test_what_is_normalised_in_feature_maps(name):
    maps = 5 + 3 * torch.randn(8, 12, 5, 5, generator=torch.Generator().manual_seed(0))
    out = norm_layer(name, 12, images=True)(maps)
    means = out.mean(OVER_IMAGES[name])
    torch.testing.assert_close(means, torch.zeros_like(means), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OVER_VECTORS)
def test_what_is_normalised_in_vectors(name):
    vectors = 5 + 3 * torch.randn(8, 12, generator=torch.Generator().manual_seed(0))
    means = norm_layer(name, 12)(vectors).mean(OVER_VECTORS[name])
    torch.testing.assert_close(means, torch.zeros_like(means), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("width", "groups"), [(64, 32), (48, 16), (6, 2), (7, 1)])
def test_groups_divide_the_channels(width, groups):
    assert norm_layer("group", width, images=True).num_groups == groups


@pytest.mark.parametrize(("width", "groups"), [(192, 16), (32, 4), (84, 4), (16, 2), (6, 1)])
def test_groups_of_features_are_no_single_ones(width, groups):
    assert norm_layer("group", width).num_groups == groups


@pytest.mark.parametrize("width", [16, 32, 64, 120, 192])
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_of_vectors_lets_them_through(name, width):
    """What differs before it differs behind it: in groups of one feature all would be 0."""
    vectors = torch.randn(256, width, generator=torch.Generator().manual_seed(0))
    out = norm_layer(name, width)(vectors)
    correlation = torch.corrcoef(torch.stack([vectors.flatten(), out.flatten()]))[0, 1]
    assert correlation > 0.8


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_draws_nothing_and_starts_as_the_identity_of_its_affine_part(name, images):
    state = torch.get_rng_state()
    layer = norm_layer(name, 12, images=images)
    assert torch.equal(torch.get_rng_state(), state)
    for parameter_name, parameter in layer.named_parameters():
        assert (parameter == (parameter_name == "weight")).all()
    if name == "none":
        assert type(layer) is nn.Identity
