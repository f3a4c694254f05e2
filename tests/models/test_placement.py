"""Sites on a stranger's network: they drop, and nothing else of it changes."""

import copy
import pickle

import pytest
import torch
from torch import nn

from bayesft.errors import SettingError
from bayesft.models import (
    add_sites,
    check_logits,
    get_dropout,
    remove_sites,
    set_dropout,
    site_names,
)
from bayesft.models.placement import SiteWarning, placement
from bayesft.models.site import Drop, Site
from tests.models.test_blocks import Net, conv, head

SHAPE = (3, 8, 8)


def stranger() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 6), nn.ReLU(),
        nn.Flatten(), nn.Linear(96, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 10),
    )  # fmt: skip


def images(count=4):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_a_site_behind_each_block_but_the_last():
    model = stranger()
    add_sites(model, SHAPE)
    assert site_names(model) == ("0", "4", "7")
    assert get_dropout(model) == (0.0, 0.0, 0.0)
    add_sites(model, SHAPE, last=True, dropout=[0.1, 0.2, 0.3, 0.4])
    assert site_names(model) == ("0", "4", "7", "10")
    assert get_dropout(model) == (0.1, 0.2, 0.3, 0.4)


def test_nothing_of_the_network_is_renamed_or_changed():
    plain, model = stranger().eval(), stranger().eval()
    state, random = plain.state_dict(), torch.get_rng_state()
    add_sites(model, SHAPE, dropout=0.5)
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.training
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(images()), plain(images()))
    plain.load_state_dict(model.state_dict())
    model.load_state_dict(plain.state_dict())


def test_whole_channels_are_dropped_of_maps_and_numbers_of_vectors():
    model = stranger().train()
    add_sites(model, SHAPE, dropout=0.5)
    seen = {}
    for place in (3, 8, 10):
        model[place].register_forward_pre_hook(lambda m, args, p=place: seen.update({p: args[0]}))
    torch.manual_seed(1)
    model(images(50))
    zero = (seen[3] == 0).flatten(2)
    # A channel of 64 places that a ReLU made 0 by itself is as good as impossible.
    assert 0.4 < zero.all(2).float().mean() < 0.6
    vectors = seen[10] == 0
    assert vectors.any()
    assert not vectors.all(0).any()


def test_what_is_kept_is_scaled_up():
    model = nn.Sequential(conv(), nn.Flatten(), nn.Linear(256, 10))
    add_sites(model, SHAPE, dropout=0.25)
    plain, seen = model[0], []
    model[1].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model.train()(images())
    with torch.no_grad():
        full = plain._conv_forward(images(), plain.weight, plain.bias)
    kept = (seen[0] != 0).flatten(2).any(2)[:, :, None, None].expand_as(full)
    torch.testing.assert_close(seen[0][kept], full[kept] / 0.75)


def test_tied_by_stage_they_share_a_rate_but_not_a_mask():
    model = nn.Sequential(conv(3, 32), nn.ReLU(), conv(32, 32), nn.ReLU(), head(32))
    add_sites(model, SHAPE, tie="stage", dropout=0.5)
    assert site_names(model) == ("stage1",)
    masks = []
    for place in (2, 4):
        model[place].register_forward_pre_hook(
            lambda m, args: masks.append((args[0] == 0).flatten(2).all(2))
        )
    model.train()(images())
    assert len(masks) == 2
    assert not torch.equal(masks[0], masks[1])


def test_patterns_choose_blocks_and_stages():
    model = stranger()
    add_sites(model, SHAPE, only=["[04]"])
    assert site_names(model) == ("0", "4")
    add_sites(model, SHAPE, only="[04]")
    assert site_names(model) == ("0", "4")
    add_sites(model, SHAPE, only=["stage2", "7"])
    assert site_names(model) == ("4", "7")
    add_sites(model, SHAPE, tie="stage", only=["stage*"])
    assert site_names(model) == ("stage1", "stage2")


def test_who_names_the_last_layer_asks_for_it():
    model = stranger()
    add_sites(model, SHAPE, only=["4", "10"])
    assert site_names(model) == ("4", "10")
    add_sites(model, SHAPE, only=["4", "*0"])
    assert site_names(model) == ("0", "4")


def test_its_own_dropout_gives_way():
    model = stranger()
    add_sites(model, SHAPE)
    assert (model[9].p, list(model[9].parameters()), list(model[9].children())) == (0.0, [], [])
    remove_sites(model)
    assert (type(model[9]), model[9].p, model[9].training) == (nn.Dropout, 0.5, True)


def test_again_replaces_and_remove_takes_away():
    model = stranger().train()
    add_sites(model, SHAPE, dropout=0.5)
    add_sites(model, SHAPE, tie="stage", dropout=0.0)
    first = model(images())
    assert torch.equal(model(images()), first)
    set_dropout(model, 0.5)
    remove_sites(model)
    assert site_names(model) == ("9",)
    set_dropout(model, 0.0)
    assert torch.equal(model(images()), first)
    remove_sites(model)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_sites_of_its_own(twin):
    model = stranger().eval()
    add_sites(model, SHAPE, dropout=0.5)
    other = twin(model)
    set_dropout(other, 0.0)
    assert get_dropout(model) == (0.5, 0.5, 0.5)
    model.train()
    other.train()
    assert torch.equal(other(images()), other(images()))
    assert not torch.equal(model(images()), model(images()))


def test_attention_returns_a_pair():
    model = Net(
        lambda self, x: self.fc(self.attention(*[x.flatten(2).mT] * 3)[0].mean(1)),
        attention=nn.MultiheadAttention(3, 1, batch_first=True),
        fc=nn.Linear(3, 10),
    )
    add_sites(model, SHAPE, dropout=0.5)
    assert site_names(model) == ("attention",)
    model.train()
    assert not torch.equal(model(images()), model(images()))


def test_a_block_without_a_place_is_warned_of():
    model = Net(
        lambda self, x: self.fc(nn.functional.conv2d(self.b(x), self.a.weight).mean((2, 3))),
        b=conv(3, 3),
        a=conv(),
        fc=nn.Linear(4, 10),
    )
    with pytest.warns(SiteWarning, match="1 of 2 blocks of Net have no site.*: a"):
        add_sites(model, SHAPE)
    assert site_names(model) == ("b",)


class Squeezing(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(192, 10))

    def forward(self, images):
        return images.flatten(1) @ self.weight


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (stranger, {"only": ["layer9.*"]}, r"'layer9.\*', which matches no block and no stage"),
        (stranger, {"only": ["stage4"]}, r"Did you mean stage2 or stage1\?"),
        (stranger, {"only": ["1*"]}, r"no stage but the last layer.*last: true"),
        (stranger, {"tie": "layer"}, "`model.sites.tie` to be one of block, stage.*'layer'"),
        (Squeezing, {}, "Squeezing has no place.*calls no convolution or linear layer"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), {}, r"\(1\) are the last ones"),
        (stranger, {"shape": (1, 8, 8)}, "Sequential cannot take images of 1×8×8"),
        (stranger, {"shape": (3, 9, 12)}, "Sequential cannot take images of 3×9×12"),
        (stranger, {"dropout": [0.1]}, "to have 3 rates"),
        (lambda: torch.jit.script(stranger()), {}, "TorchScript, which take no hooks"),
    ],
)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_bad_settings_are_named(model, settings, message):
    network = model().train()
    shape = settings.pop("shape", SHAPE)
    own = get_dropout(network) if site_names(network) else ()
    with pytest.raises(SettingError, match=message):
        add_sites(network, shape, **settings)
    assert network.training
    assert get_dropout(network) == own


@pytest.mark.parametrize(
    ("sites", "settings"),
    [
        ("stage", {"tie": "stage"}),
        (["a.*"], {"only": ["a.*"]}),
        ({"tie": "stage", "last": True}, {"tie": "stage", "last": True, "only": None}),
        ({"only": "a.*"}, {"only": ["a.*"]}),
        ([0, 3], {"only": ["0", "3"]}),
        ({"only": 0}, {"only": ["0"]}),
    ],
)
def test_the_settings_of_a_config(sites, settings):
    assert placement(sites) == settings


@pytest.mark.parametrize("sites", ["layers", 3, {"ties": "stage"}, []])
def test_other_settings_of_a_config(sites):
    with pytest.raises(SettingError, match=r"`model.sites` to be own, block, stage"):
        placement(sites)


@pytest.mark.parametrize("axis", [1, -1])
def test_maps_in_either_format(axis):
    drop = Drop(Site("conv", 0, 0.5), nn.Conv2d(3, 6, 1), axis)
    maps = torch.ones(200, 6, 3, 3).movedim(1, axis)
    out = drop(nn.ReLU(), (), maps).movedim(axis, 1).flatten(2)
    assert ((out == 0).all(2) | (out == 2).all(2)).all()
    assert 0.4 < (out == 0).float().mean() < 0.6


def test_a_part_that_is_frozen_does_not_drop():
    """And one whose norm alone is, does."""
    model = stranger().train()
    add_sites(model, SHAPE, only=["0"], dropout=0.5)
    model[1].eval()
    assert not torch.equal(model(images()), model(images()))
    model[0].eval()
    assert torch.equal(model(images()), model(images()))


def test_logits_that_fit():
    for count in (10, None):
        check_logits(stranger(), SHAPE, count)


def test_logits_that_are_none():
    with pytest.raises(SettingError, match=r"Net to give logits, a tensor, .* makes a dict"):
        check_logits(Net(lambda self, x: {"logits": x}), SHAPE, 10)


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        (SHAPE, 7, r"Sequential to give 7 logits.*makes \(2, 10\) of a batch of 2"),
        ((1, 8, 8), 10, "Sequential cannot take images of 1×8×8"),
    ],
)
def test_logits_that_do_not_fit(shape, classes, message):
    with pytest.raises(SettingError, match=message):
        check_logits(stranger(), shape, classes)


def test_a_network_that_reads_the_rate_of_its_own_dropout():
    """As attention does that hands it to a function."""
    model = Net(
        lambda self, x: self.fc(nn.functional.dropout(self.a(x), self.own.p).flatten(1)),
        a=conv(),
        own=nn.Dropout(0.5),
        fc=nn.Linear(256, 10),
    )
    add_sites(model, SHAPE)
    model.train()
    assert torch.equal(model(images()), model(images()))
    twin = copy.deepcopy(model)
    remove_sites(twin)
    assert get_dropout(twin) == (0.5,)


def test_lazy_layers_take_their_form_first():
    model = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )
    add_sites(model, SHAPE, dropout=0.5)
    assert site_names(model) == ("0",)


def test_sites_of_two_parts_are_not_mixed_up():
    parts = nn.ModuleDict({"one": stranger(), "two": stranger()})
    for part in parts.values():
        add_sites(part, SHAPE, dropout=0.2)
    assert get_dropout(parts["one"]) == (0.2, 0.2, 0.2)
    with pytest.raises(SettingError, match=r"two parts of ModuleDict.*\(0, 4, 7\)"):
        site_names(parts)


def test_names_that_a_config_reads_as_numbers():
    model = stranger()
    add_sites(model, SHAPE)
    set_dropout(model, {0: 0.2})
    assert get_dropout(model) == (0.2, 0.0, 0.0)
