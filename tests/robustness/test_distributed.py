"""Draws divided over two processes: the same curve as one process's."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import TensorDataset

from bayesft.drift import LogNormalDrift
from bayesft.models import LeNet5
from bayesft.robustness import Curve, evaluate
from tests.helpers.processes import free_port

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "fixed": {"draws": 13, "images_per_draw": 10},
    "fewer draws than processes": {"draws": 1, "images_per_draw": 10},
    "target": {"target_stderr": 0.02, "images_per_draw": 10},
}


def confidence(model, batch):
    """In which any bit of a logit shows."""
    return model(batch[0]).softmax(1).gather(1, batch[1][:, None])[:, 0]


def curves(distributed: bool) -> dict[str, Curve]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LeNet5(image_size=12)
    data = TensorDataset(torch.rand(60, 1, 12, 12), torch.randint(0, 10, (60,)))
    return {
        name: evaluate(
            model, data, LogNormalDrift(), [0.0, 0.6], score=confidence, distributed=distributed,
            **each,
        )
        for name, each in SETTINGS.items()
    }  # fmt: skip


def work(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        for name, curve in curves(distributed=True).items():
            curve.to_json(folder / f"{name} {rank}.json")
    finally:
        dist.destroy_process_group()


def test_two_processes_give_the_curve_of_one_to_the_bit(tmp_path):
    threads = torch.get_num_threads()
    try:
        expected = curves(distributed=False)
    finally:
        torch.set_num_threads(threads)
    mp.start_processes(work, (free_port(), tmp_path), nprocs=2, start_method="spawn")
    for name, curve in expected.items():
        for rank in (0, 1):
            found = Curve.from_json(tmp_path / f"{name} {rank}.json")
            assert found.scores == curve.scores, (name, rank)
            assert repr(found.points) == repr(curve.points)


SCRIPT = """
import sys, torch
from callbacks import DriftEvaluation
from bayesft.drift import LogNormalDrift
from tests.helpers.trainings import digits, erm, trainer

torch.set_num_threads(1)
folder, devices = sys.argv[1], int(sys.argv[2])
many = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
evaluation = DriftEvaluation(LogNormalDrift(), [0.5], draws=9)
run = trainer(folder, evaluation, **many)
[logged] = run.validate(erm(), datamodule=digits(), verbose=False)
assert logged["val/drift_acc"] == torch.tensor(evaluation.val_curve.mean).item()
evaluation.val_curve.to_json(f"{folder}/val{run.global_rank}.json")
"""


def test_in_lightning_on_two_devices(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    found = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), str(folder), str(devices)],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=200,
        )
        found.append([Curve.from_json(path).scores for path in sorted(folder.glob("val*.json"))])
    [[alone], both] = found
    assert both == [alone, alone]
