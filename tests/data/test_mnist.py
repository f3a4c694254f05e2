"""MNIST as torchvision lays it out, from archives that the test writes."""

import pytest
import torch

from bayesft.data import MNISTDataModule
from bayesft.errors import DataError
from tests.helpers.archives import write_mnist


def mnist(folder) -> MNISTDataModule:
    return MNISTDataModule(data_dir=folder, image_size=28, val_size=10)


def test_an_existing_folder_is_used_as_it_is(tmp_path):
    write_mnist(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    before = {path.name: path.stat().st_mtime_ns for path in raw.iterdir()}
    data = mnist(tmp_path)
    data.prepare_data()
    data.setup()
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (30, 10, 12)
    torch.testing.assert_close(data.test_set.tensors[0][:, 0, 3, 5] * 255, 100 + torch.arange(12.0))
    assert data.test_set.tensors[1].tolist() == [i % 10 for i in range(12)]
    assert {path.name: path.stat().st_mtime_ns for path in raw.iterdir()} == before


def test_no_data_and_no_network(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(DataError, match=r"not usable in .*paths.data_dir=.*data=digits"):
        mnist(tmp_path / "nothing").prepare_data()


@pytest.mark.parametrize("keep", [0, 3, 1000])
def test_a_truncated_file_is_told(tmp_path, keep):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="MNIST is not usable"):
        mnist(tmp_path).setup("fit")
