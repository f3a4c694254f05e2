"""The score without drift."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesft.errors import SettingError
from bayesft.robustness import clean_score


def test_every_image_counts_once_and_nothing_changes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).train()
    images, labels = torch.randn(37, 4), torch.randint(0, 3, (37,))
    loader = DataLoader(TensorDataset(images, labels), batch_size=10)
    state = torch.get_rng_state()
    found = clean_score(model, loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    expected = (model[0](images).argmax(1) == labels).double().mean()
    assert found == pytest.approx(float(expected))


def test_a_score_of_a_whole_batch_counts_for_its_images():
    batches = [torch.zeros(1, 1), torch.ones(3, 1)]
    assert clean_score(nn.Linear(1, 1), batches, score=lambda model, batch: batch.mean()) == 0.75


def test_no_images_are_told():
    with pytest.raises(SettingError, match="was given no images"):
        clean_score(nn.Linear(1, 1), [])
