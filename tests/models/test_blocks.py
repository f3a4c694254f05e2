"""Where the blocks of a network end, on networks small enough to know it by hand."""

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bayesft.models.blocks import find_blocks


class Net(nn.Module):
    """A network from a function: its modules are the keyword arguments."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, images):
        return self._forward(self, images)


def conv(inputs=3, outputs=4, **settings):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **settings)


def blocks(model, size=8):
    return {block.path: block for block in find_blocks(model.eval(), torch.zeros(2, 3, size, size))}


def host(model, path):
    """Return the name of the module that block `path` is taken at, and on which side."""
    found = blocks(model)[path].host
    names = {module: name for name, module in model.named_modules()}
    return ("before " if found.before else "after ") + names[found.module]


def head(features=4):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 10))


def test_a_block_ends_behind_its_activation():
    model = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), head())
    assert list(blocks(model)) == ["0", "4.2"]
    assert host(model, "0") == "after 2"


def test_an_activation_before_the_norm_ends_the_block():
    model = nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(4), head())
    assert host(model, "0") == "after 1"


def test_without_norm_or_activation_it_ends_at_the_weights():
    assert host(nn.Sequential(conv(), conv(4), head()), "0") == "after 0"


def test_a_shared_relu_is_left_alone_and_the_next_layer_taken():
    model = Net(
        lambda self, x: self.head(self.relu(self.b(self.relu(self.a(x))))),
        a=conv(),
        b=conv(4),
        relu=nn.ReLU(),
        head=nn.Sequential(nn.Flatten(), nn.Linear(256, 10)),
    )
    assert host(model, "a") == "before b"
    assert host(model, "b") == "before head.0"


def test_a_functional_relu_in_a_module_of_its_own():
    model = Net(
        lambda self, x: self.head(self.part(x)),
        part=Net(lambda self, x: F.relu(self.conv(x), inplace=True), conv=conv()),
        head=head(),
    )
    assert host(model, "part.conv") == "after part"


def test_a_functional_relu_before_a_layer():
    model = Net(
        lambda self, x: self.head(self.b(F.relu(self.a(x)))), a=conv(), b=conv(4), head=head()
    )
    assert host(model, "a") == "before b"


def test_a_functional_relu_before_a_function():
    """Nothing shows the value behind the ReLU; before it, dropping is the same."""
    model = Net(
        lambda self, x: self.fc(F.relu(self.a(x)).mean((2, 3))), a=conv(), fc=nn.Linear(4, 10)
    )
    assert host(model, "a") == "after a"


def test_a_residual_branch_ends_before_the_sum():
    model = Net(
        lambda self, x: self.head(self.relu(self.norm(self.b(x)) + x)),
        b=conv(3, 3),
        norm=nn.BatchNorm2d(3),
        relu=nn.ReLU(),
        head=head(3),
    )
    assert host(model, "b") == "after norm"


def test_a_gate_is_no_block():
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
    model = Net(
        lambda self, x: self.head(self.scale(self.gate, self.a(x))),
        a=conv(),
        gate=gate,
        head=head(),
    )
    model.scale = lambda gate, maps: maps * gate(maps)
    assert list(blocks(model)) == ["a", "head.2"]


def test_a_layer_called_twice_is_one_block():
    model = Net(lambda self, x: self.head(self.a(self.a(x))), a=conv(3, 3), head=head(3))
    assert list(blocks(model)) == ["a", "head.2"]
    assert host(model, "a") == "after a"


def test_a_layer_called_twice_with_norms_of_their_own_ends_at_itself():
    """Behind the norm of the first call, the second would not drop."""
    model = Net(
        lambda self, x: self.head(self.n2(self.a(self.n1(self.a(x))))),
        a=conv(3, 3),
        n1=nn.BatchNorm2d(3),
        n2=nn.BatchNorm2d(3),
        head=head(3),
    )
    assert host(model, "a") == "after a"


@pytest.mark.parametrize("shortcut", [nn.Identity, nn.Sequential, nn.Dropout])
@pytest.mark.parametrize("first", ["branch", "shortcut"])
def test_a_shortcut_that_hands_its_input_through_made_nothing(shortcut, first):
    """Or the shortcut would be dropped, and not the value that both take."""

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        if first == "shortcut":
            kept = self.shortcut(x)
            return self.head(self.branch(x) + kept)
        return self.head(self.branch(x) + self.shortcut(x))

    model = Net(
        forward, stem=conv(), norm=nn.BatchNorm2d(4), branch=conv(4), shortcut=shortcut(),
        head=head(),
    )  # fmt: skip
    assert host(model, "stem") == "after norm"


def test_a_value_that_is_not_the_first_argument_is_not_taken_there():
    model = Net(
        lambda self, x: self.two(x.flatten(1), F.relu(self.a(x.flatten(1)))),
        a=nn.Linear(192, 6),
        two=nn.Bilinear(192, 6, 10),
    )
    assert host(model, "a") == "after a"


def test_nor_is_one_that_is_given_by_keyword():
    model = Net(
        lambda self, x: self.head(self.b(input=F.relu(self.a(x)))), a=conv(), b=conv(4), head=head()
    )
    assert host(model, "a") == "after a"


def test_a_module_that_returns_anything_but_tensors_is_no_host():
    class Output(NamedTuple):
        out: torch.Tensor

    for wrap, unwrap in ((Output, lambda v: v.out), (lambda v: {"v": v}, lambda v: v["v"])):
        part = Net(lambda self, x, wrap=wrap: wrap(F.relu(self.conv(x))), conv=conv())
        model = Net(
            lambda self, x, unwrap=unwrap: self.head(unwrap(self.part(x))), part=part, head=head()
        )
        assert host(model, "part.conv") == "before head.0"


def test_a_sigmoid_that_multiplies_nothing_is_an_activation():
    model = nn.Sequential(conv(), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    assert host(model, "0") == "after 1"


def test_weights_used_without_calling_their_layer_have_no_host():
    model = Net(
        lambda self, x: self.head(F.conv2d(x, self.a.weight, padding=1)), a=conv(), head=head()
    )
    assert host(model, "a") == "before head.0"
    model = Net(
        lambda self, x: self.fc(F.conv2d(x, self.a.weight).mean((2, 3))),
        a=conv(),
        fc=nn.Linear(4, 10),
    )
    assert blocks(model)["a"].host is None


def test_every_output_has_a_last_layer():
    model = Net(
        lambda self, x: (self.one(x.flatten(1)), {"two": self.two(self.mid(x.flatten(1)))}),
        one=nn.Linear(192, 2),
        mid=nn.Linear(192, 5),
        two=nn.Linear(5, 2),
    )
    last = {path: block.last for path, block in blocks(model).items()}
    assert last == {"one": True, "mid": False, "two": True}


def test_which_axis_holds_the_channels():
    model = Net(
        lambda self, x: self.fc(
            self.tokens(self.maps(self.conv(x).permute(0, 2, 3, 1)).flatten(1, 2)).mean(1)
        ),
        conv=conv(),
        maps=nn.Linear(4, 5),
        tokens=nn.Linear(5, 6),
        fc=nn.Linear(6, 10),
    )
    axes = {path: block.channel_axis for path, block in blocks(model).items()}
    assert axes == {"conv": 1, "maps": -1, "tokens": None, "fc": None}


def test_stages_are_the_sizes_of_feature_maps():
    squeeze = Net(
        lambda self, x: x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True))))),
        down=nn.Conv2d(4, 2, 1),
        up=nn.Conv2d(2, 4, 1),
    )
    model = nn.Sequential(
        conv(), squeeze, conv(4, 4, stride=2), conv(4, 4, stride=2), nn.Flatten(),
        nn.Linear(16, 12), nn.Linear(12, 10),
    )  # fmt: skip
    stages = {path: block.stage for path, block in blocks(model).items()}
    assert stages == {
        "0": "stage1",
        "1.down": "stage1",
        "2": "stage2",
        "3": "stage3",
        "5": "head",
        "6": "head",
    }


def test_maps_of_one_place_at_the_end_are_a_stage():
    """As the last stage of a ResNet is on 32 pixels."""
    model = nn.Sequential(conv(stride=8), conv(4), nn.Flatten(), nn.Linear(4, 10))
    stages = {path: block.stage for path, block in blocks(model).items()}
    assert stages == {"0": "stage1", "1": "stage1", "3": "head"}
