"""DriftEvaluation serves any LightningModule: its batches, its hooks, its score."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesft.errors import SettingError
from tests.callbacks.test_drift_evaluation import drift_evaluation
from tests.helpers.trainings import trainer


class Stranger(pl.LightningModule):
    """Knows nothing of BayesFT: dictionaries for batches, a regression, BatchNorm."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self.net(batch["x"]), batch["y"])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        self.x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return {"x": self.x[index], "y": self.x[index].sum(0, keepdim=True)}


def negative_error(module, batch):
    return -(module.net(batch["x"]) - batch["y"]).square().mean(dim=1)


def test_it_serves_a_strangers_module_with_a_score_of_its_own(tmp_path):
    evaluation = drift_evaluation(score=negative_error, name="drift_mse")
    run = trainer(tmp_path, evaluation, max_epochs=2)
    module = Stranger()
    run.fit(module, DataLoader(Rows(), batch_size=20), DataLoader(Rows(), batch_size=20))
    assert run.callback_metrics["val/drift_mse"] < 0
    assert module.net[1].num_batches_tracked == 6  # the training's batches alone


def test_several_loaders_are_refused(tmp_path):
    class Two(Stranger):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            pass

    loaders = [DataLoader(Rows()), DataLoader(Rows())]
    with pytest.raises(SettingError, match="one validation loader, but got 2"):
        trainer(tmp_path, drift_evaluation()).validate(Two(), loaders, verbose=False)


def test_a_list_of_one_loader_is_one_loader(tmp_path):
    evaluation = drift_evaluation(score=negative_error)
    trainer(tmp_path, evaluation).validate(Stranger(), [DataLoader(Rows())], verbose=False)
    assert evaluation.val_curve is not None


def test_a_batch_that_accuracy_cannot_read(tmp_path):
    with pytest.raises(SettingError, match=r"\(images, labels\), but got a dict"):
        trainer(tmp_path, drift_evaluation()).validate(
            Stranger(), DataLoader(Rows()), verbose=False
        )


class Hooked(Stranger):
    """Prepares its batches where Lightning says."""

    def on_before_batch_transfer(self, batch, dataloader_idx):
        return batch | {"x": batch["x"] + 1000}

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch | {"x": batch["x"] * 0}


def test_a_batch_goes_through_the_modules_hooks(tmp_path):
    seen = []

    def score(module, batch):
        seen.append(batch["x"])
        return negative_error(module, batch)

    loader = DataLoader(Rows(), batch_size=20)
    trainer(tmp_path, drift_evaluation(score=score)).validate(Hooked(), loader, verbose=False)
    assert torch.cat(seen).abs().max() == 0


def test_tensors_on_their_own_are_images_to_a_score(tmp_path):
    loader = DataLoader(TensorDataset(torch.randn(30, 2)), batch_size=10)
    evaluation = drift_evaluation(score=lambda module, batch: module.net(batch[0])[:, 0])
    trainer(tmp_path, evaluation).validate(Stranger(), loader, verbose=False)
    assert evaluation.val_curve.points[0].images == 80
