"""Sites of a stranger's network."""

import pytest
from torch import nn

from bayesft.errors import SettingError
from bayesft.models import add_sites, get_dropout, set_dropout, site_names


def stranger() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 2), nn.Dropout(0.1), nn.Sequential(nn.AlphaDropout(0.2)), nn.Dropout2d(0.3)
    )


def test_every_dropout_module_is_a_site():
    assert site_names(stranger()) == ("1", "2.0", "3")
    assert get_dropout(stranger()) == (0.1, 0.2, 0.3)


def test_a_module_used_twice_is_one_site():
    shared = nn.Dropout(0.4)
    assert get_dropout(nn.Sequential(shared, nn.Linear(1, 1), shared)) == (0.4,)


def test_a_mapping_leaves_the_other_rates():
    model = stranger()
    set_dropout(model, {"2.0": 0.7})
    assert get_dropout(model) == (0.1, 0.7, 0.3)


def test_a_near_miss_is_guessed():
    with pytest.raises(SettingError, match=r"the sites are 1, 2.0, 3. Did you mean 2.0\?"):
        set_dropout(stranger(), {"2.1": 0.7})


def test_a_failed_setting_changes_nothing():
    model = stranger()
    with pytest.raises(SettingError):
        set_dropout(model, {"1": 0.7, "2.0": 2.0})
    assert get_dropout(model) == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("nothing", [0.0, 0, [], {}])
def test_a_network_without_sites_can_be_asked_for_nothing(nothing):
    set_dropout(nn.Linear(1, 1), nothing)


@pytest.mark.parametrize("something", [0.2, [0.2], {"fc1": 0.2}])
def test_a_network_without_sites_cannot_be_asked_for_rates(something):
    with pytest.raises(SettingError, match="Linear has no dropout site"):
        set_dropout(nn.Linear(1, 1), something)


@pytest.mark.parametrize("model", [[stranger()], (), "mlp", None])
def test_rates_of_what_is_no_network(model):
    with pytest.raises(SettingError, match=rf"Expected a network.*got a {type(model).__name__}\."):
        set_dropout(model, 0.3)


@pytest.mark.parametrize("shape", [8, "8", (1, 8, 8.0), (1, 0, 8), (), None, (True, 8, 8)])
def test_images_of_no_shape(shape):
    with pytest.raises(SettingError, match=r"\(channels, height, width\).*but got"):
        add_sites(stranger(), shape)
