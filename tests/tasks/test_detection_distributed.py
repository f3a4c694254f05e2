"""A draw's precision is that of its own images and chip, whatever other processes score."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from bayesft.drift import LogNormalDrift
from bayesft.robustness import Curve, evaluate
from bayesft.tasks import Detection
from tests.helpers.processes import free_port

TASK = Detection(2)
IMAGES = 7


class Shifted(nn.Module):
    """Finds a box whose place is its weight, surer of it on images of a higher number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 10.0))

    def forward(self, images):
        corner = self.weight
        box = torch.stack([corner, corner, corner + 20, corner + 20], dim=1)
        label = torch.tensor([1])
        return [{"boxes": box, "labels": label, "scores": image[0, 0, :1]} for image in images]


def batches():
    """The box is there on every other image."""
    for i in range(IMAGES):
        place = 10.0 if i % 2 else 15.0
        box = torch.tensor([[place, place, place + 20, place + 20]])
        target = {"boxes": box, "labels": torch.tensor([1])}
        yield [torch.full((1, 4, 4), (i + 1) / 10)], [target]


def curve(*, distributed: bool) -> Curve:
    torch.set_num_threads(1)
    return evaluate(
        Shifted(), batches(), LogNormalDrift(), [0.0, 0.2], 5, images_per_draw=3,
        score=TASK.score, distributed=distributed,
    )  # fmt: skip


def work(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        curve(distributed=True).to_json(folder / f"{rank}.json")
        if rank == 0:
            # The other process scores nothing meanwhile.
            (folder / "clean").write_text(str(TASK.clean(Shifted(), batches())))
        dist.barrier()
    finally:
        dist.destroy_process_group()


def test_two_processes_give_the_curve_of_one(tmp_path):
    threads = torch.get_num_threads()
    try:
        expected = curve(distributed=False)
        clean = TASK.clean(Shifted(), batches())
    finally:
        torch.set_num_threads(threads)
    assert len(set(expected.scores[1])) > 2
    mp.start_processes(work, (free_port(), tmp_path), nprocs=2, start_method="spawn")
    for rank in (0, 1):
        assert Curve.from_json(tmp_path / f"{rank}.json").scores == expected.scores
    assert float((tmp_path / "clean").read_text()) == clean
