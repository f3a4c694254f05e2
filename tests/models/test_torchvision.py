"""Classifiers of torchvision: their weights, and what else is done with a network with sites."""

import copy
import pickle

import pytest
import torch
import torchvision
from torch.nn.parallel import DistributedDataParallel

from bayesft.errors import SettingError
from bayesft.models import add_sites, get_dropout, set_dropout, site_names, torchvision_model

TEN = {
    "alexnet": 64,
    "vgg11": 32,
    "resnet18": 32,
    "resnet50": 32,
    "mobilenet_v3_small": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "vit_b_16": 32,
    "densenet121": 32,
    "shufflenet_v2_x0_5": 64,
}
# The others take minutes together.
TABLE = [
    pytest.param(name, size, marks=() if name == "resnet18" else pytest.mark.slow)
    for name, size in TEN.items()
]


def with_sites(name, size, *, tie="block"):
    torch.manual_seed(0)
    model = torchvision_model(name, num_classes=10, image_size=size)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            # The last layer of a vision transformer, behind which all is the same.
            torch.nn.init.normal_(parameter)
    add_sites(model, (3, size, size), tie=tie, dropout=0.3)
    return model


def images(size, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "size"), TABLE)
def test_weights_go_both_ways_with_the_untouched_network(name, size):
    settings = {"image_size": size} if name == "vit_b_16" else {}
    untouched = torchvision.models.get_model(name, num_classes=10, **settings).eval()
    model = with_sites(name, size).eval()
    assert not torch.equal(untouched(images(size)), model(images(size)))
    untouched.load_state_dict(model.state_dict())
    assert torch.equal(untouched(images(size)), model(images(size)))
    model.load_state_dict(untouched.state_dict())


@pytest.mark.parametrize(("name", "size"), TABLE)
def test_copies(name, size):
    model = with_sites(name, size).eval()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert site_names(twin) == site_names(model)
        assert torch.equal(twin(images(size)), model(images(size)))
        set_dropout(twin, 0.1)
        assert set(get_dropout(model)) == {0.3}


@pytest.mark.parametrize(("name", "size"), TABLE)
def test_export(name, size):
    model = with_sites(name, size).eval()
    exported = torch.export.export(model, (images(size),)).module()
    torch.testing.assert_close(exported(images(size)), model(images(size)))


@pytest.mark.parametrize(("name", "size"), TABLE)
def test_compile(name, size):
    """One graph, and new rates are seen. The eager backend needs no C++ compiler."""
    torch.compiler.reset()
    model = with_sites(name, size).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images(size)), model(images(size)))
    model.train()
    set_dropout(model, 0.0)
    torch.manual_seed(0)
    plain = compiled(images(size))
    set_dropout(model, 0.6)
    torch.manual_seed(0)
    assert not torch.allclose(compiled(images(size)), plain)


@pytest.fixture(scope="module")
def _one_process():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# Of the depthwise convolutions' gradients, with sites or without.
@pytest.mark.filterwarnings("ignore:Grad strides do not match")
@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(("name", "size"), TABLE)
def test_ddp(name, size):
    model = with_sites(name, size).train()
    wrapped = DistributedDataParallel(model)
    wrapped(images(size)).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert site_names(wrapped) == site_names(model)


def test_weights_from_a_file(tmp_path):
    trained = torchvision.models.shufflenet_v2_x0_5()
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    whole = torchvision_model("shufflenet_v2_x0_5", weights=weights).eval()
    assert torch.equal(whole(images(64)), trained.eval()(images(64)))
    other = torchvision_model("shufflenet_v2_x0_5", weights=weights, num_classes=7)
    assert torch.equal(other.conv1[0].weight, trained.conv1[0].weight)
    assert other.fc.weight.shape == (7, 1024)


def test_weights_are_downloaded_by_name(monkeypatch):
    trained = torchvision.models.shufflenet_v2_x0_5()
    asked = []

    def download(url, **settings):
        asked.append(url)
        return trained.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    model = torchvision_model("shufflenet_v2_x0_5", weights="DEFAULT", num_classes=3)
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    assert asked == [weights.url]
    assert torch.equal(model.conv1[0].weight, trained.conv1[0].weight)


def test_no_network(monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", refused)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = r"`model.weights=DEFAULT` could not be downloaded.*https://.*resnet18.*checkpoints"
    with pytest.raises(SettingError, match=message):
        torchvision_model("resnet18", weights="DEFAULT")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet19", {}, "'resnet19', which is no classifier.*Did you mean resnet18"),
        ("fasterrcnn_resnet50_fpn", {}, "no classifier of torchvision"),
        ("resnet18", {"weights": "IMAGENET"}, "'IMAGENET', which is neither.*IMAGENET1K_V1, DEF"),
        ("vit_b_16", {"image_size": 40}, "vit_b_16 cannot be made.*image_size=40"),
        ("resnet18", {"widht": 3}, r"resnet18 cannot be made.*widht=3.*TypeError"),
    ],
)
def test_bad_settings_are_named(name, settings, message):
    with pytest.raises(SettingError, match=message):
        torchvision_model(name, **settings)


def test_weights_of_a_checkpoint(tmp_path):
    trained = torchvision.models.shufflenet_v2_x0_5(num_classes=10)
    state = {f"model.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"state_dict": state | {"coded": torch.ones(2)}}, tmp_path / "last.ckpt")
    weights = str(tmp_path / "last.ckpt")
    model = torchvision_model("shufflenet_v2_x0_5", weights=weights, num_classes=10)
    assert torch.equal(model.fc.weight, trained.fc.weight)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a text", "cannot be read"), ([1, 2], "no weights by name, but list"), ({"a": 3}, "no weig")],
)
def test_a_file_that_holds_no_weights(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, str):
        path.write_text(content)
    else:
        torch.save(content, path)
    with pytest.raises(SettingError, match=message):
        torchvision_model("resnet18", weights=str(path))


def test_weights_that_do_not_fit(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "a.pth")
    with pytest.raises(SettingError, match=r"do not fit .* and missing in the weights"):
        torchvision_model("resnet34", weights=str(tmp_path / "a.pth"))
    # A vision transformer of another image size has other position embeddings.
    state = torchvision_model("vit_b_16", image_size=64).state_dict()
    torch.save(state, tmp_path / "b.pth")
    message = r"pos_embedding is \(1, 5, 768\) in the network and \(1, 17, 768\) in the weights"
    with pytest.raises(SettingError, match=message):
        torchvision_model("vit_b_16", image_size=32, weights=str(tmp_path / "b.pth"))
