"""What an evaluation under drift costs, against plain forward passes and a plain loop.

    python benchmarks/drift_evaluation.py --data-dir data --json ratios.json
    python benchmarks/drift_evaluation.py --data-dir data --device cuda

Everything is measured in this one run, side by side; ratios of medians are printed.

  a  plain forward passes of the same images, in the device's memory, without drift: the floor
  b  a plain loop: reload the state dict, multiply by exp(Normal.sample()), pass over
     the whole validation set; 20 draws
  c  `evaluate` at equal work: as many draws, images and sigmas as a has batches
  d  `evaluate` at equal standard error: `target_stderr` is what b has

and how often the 95 % interval of d holds the true mean, that of a huge run.
"""

import argparse
import json
import logging
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import pytorch_lightning as pl
import torch
import torchvision
from torch import Tensor, nn
from torch.distributions import Normal
from torch.utils.data import TensorDataset

from bayesft.data import MNISTDataModule
from bayesft.drift import LogNormalDrift
from bayesft.methods import ERM
from bayesft.models import MLP, LeNet5
from bayesft.robustness import Curve, evaluate
from bayesft.robustness.sampler import Requests, Sampler
from bayesft.tasks import Classification

DRIFT = LogNormalDrift()
SIGMA = 0.9
CURVE_SIGMAS = [round(0.1 * i, 1) for i in range(16)]
PASSES = 20
REPETITIONS = 200
HUGE = 20_000
# The fastest per image, for b as well.
BATCH = {"cpu": 100, "cuda": 10_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", default="data", help="holds MNIST, or will (torchvision's)")
    parser.add_argument("--device", default="cpu", choices=sorted(BATCH))
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(many workers|LeafSpec).*")
    device = torch.device(arguments.device)
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device), end=", ")
    print(f"{processor()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")

    data = MNISTDataModule(data_dir=arguments.data_dir, image_size=28, val_size=5000)
    data.prepare_data()
    data.setup()
    lenet5, mlp = (trained(network, data).to(device) for network in (LeNet5, MLP))
    resnet18 = torchvision.models.resnet18(num_classes=10)
    resnet18.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    resnet18.maxpool = nn.Identity()
    resnet18.to(device)
    pictures = TensorDataset(torch.rand(512, 3, 32, 32), torch.randint(0, 10, (512,)))

    ratios = {}
    # Images are in the device's memory for all alike.
    test_set, pictures = (
        TensorDataset(*(part.to(device) for part in each.tensors))
        for each in (data.test_set, pictures)
    )
    print("c over a, equal work")
    for name, network, images, draws, size, repeats in (
        ("lenet5", lenet5, test_set, 100, 100, 35),
        ("mlp", mlp, test_set, 100, 100, 25),
        ("resnet18", resnet18, pictures, 8, 64, 3),
    ):
        ratios[f"{name}_over_floor"] = over_floor(network, images, draws, size, repeats)
        print(f"  {name:9} {draws} draws x {size} images   {ratios[f'{name}_over_floor']:.3f}")
    ratios |= equal_error(lenet5, test_set)
    ratios |= coverage(lenet5, test_set)
    ratios |= whole_curve(lenet5, test_set)
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios, indent=1) + "\n")


def over_floor(
    network: nn.Module, images: TensorDataset, draws: int, size: int, repeats: int
) -> float:
    """Return c over a: the median of ratios of neighbours in time."""
    network.eval()
    device = device_of(network)
    shuffled = torch.randperm(len(images))
    batches = [images[shuffled[torch.arange(k * size, (k + 1) * size) % len(images)]][0]
               for k in range(draws)]  # fmt: skip
    plain = partial(forward_passes, network, batches)
    ratios = []
    plain()
    evaluate(network, images, DRIFT, [SIGMA], draws, images_per_draw=size)
    for seed in range(repeats):
        ours = partial(
            evaluate, network, images, DRIFT, [SIGMA], draws, images_per_draw=size, seed=seed
        )
        floor, taken = seconds(plain, device), seconds(ours, device)
        ratios.append(taken / floor)
    return statistics.median(ratios)


def equal_error(network: nn.Module, images: TensorDataset) -> dict[str, float]:
    """Return b over d: forward images, and wall time."""
    loops = [plain_loop(network, images, seed) for seed in range(3)]
    scores = torch.cat([scores for scores, _ in loops])
    target = float(scores.std()) / math.sqrt(PASSES)
    times, curves = [], []
    with counted_images() as counts:
        for seed in range(25):
            ours = partial(
                evaluate, network, images, DRIFT, [SIGMA], target_stderr=target, seed=seed
            )
            times.append(seconds(ours, device_of(network), curves))
    # The first one also builds what later ones find.
    times, means = times[1:], torch.tensor([curve.mean for curve in curves])
    loop_images, loop_time = PASSES * len(images), statistics.median(t for _, t in loops)
    our_images, our_time = sum(counts) / len(curves), statistics.median(times)
    print(f"\nb against d, LeNet-5, MNIST, sigma {SIGMA}, standard error {target:.4f}")
    print(f"  b  {loop_images:9,.0f} images  {loop_time:8.3f} s   mean {scores.mean():.3f}")
    print(f"  d  {our_images:9,.0f} images  {our_time:8.3f} s   mean {means.mean():.3f}, "
          f"spread of {len(curves)} runs {means.std():.4f}")  # fmt: skip
    ratios = {
        "lenet5_images_ratio": loop_images / our_images,
        "lenet5_walltime_ratio": loop_time / our_time,
    }
    print("  b/d" + "".join(f"  {name} {value:.0f}" for name, value in ratios.items()))
    return ratios


def coverage(network: nn.Module, images: TensorDataset) -> dict[str, float]:
    """Return how often the 95 % interval holds the mean of a huge run on other chips."""
    huge = evaluate(network, images, DRIFT, [SIGMA], HUGE, images_per_draw=50, seed=REPETITIONS)
    target = 0.02
    held = 0
    for seed in range(REPETITIONS):
        curve = evaluate(network, images, DRIFT, [SIGMA], target_stderr=target, seed=seed)
        low, high = curve.points[0].interval()
        held += low <= huge.mean <= high
    share = held / REPETITIONS
    print(f"\nthe 95 % interval, standard error {target}, holds the mean of {HUGE:,} draws, "
          f"{huge.mean:.4f} ± {huge.stderr:.4f},\n"
          f"  in {100 * share:.1f} % of {REPETITIONS} repetitions")  # fmt: skip
    return {"lenet5_coverage": share}


def whole_curve(network: nn.Module, images: TensorDataset) -> dict[str, float]:
    """Return the time of a curve of 16 sigmas over that of 20 plain passes."""
    device = device_of(network)
    batches = images.tensors[0].split(BATCH[device.type])
    forward_passes(network, batches)
    ratios, curves = [], []
    for seed in range(3):
        passes = seconds(partial(forward_passes, network, batches * PASSES), device)
        ours = partial(
            evaluate, network, images, DRIFT, CURVE_SIGMAS, target_stderr=0.01, seed=seed
        )
        ratios.append(seconds(ours, device, curves) / passes)
    points = curves[-1].points
    ratio = statistics.median(ratios)
    print(f"\na curve of {len(points)} sigmas, largest standard error "
          f"{max(point.stderr for point in points):.4f}, {sum(p.images for p in points):,} images "
          f"in {sum(p.draws for p in points):,} draws:\n"
          f"  {ratio:.2f} of the time of {PASSES} passes over {len(images):,} images")  # fmt: skip
    return {"lenet5_curve_over_passes": ratio}


def plain_loop(network: nn.Module, images: TensorDataset, seed: int) -> tuple[Tensor, float]:
    """Return the score of each of 20 draws on all images, and the seconds taken."""
    device = device_of(network)
    clean = {name: value.clone() for name, value in network.state_dict().items()}
    parts = [part.split(BATCH[device.type]) for part in images.tensors]
    batches = list(zip(*parts, strict=True))
    normal = Normal(torch.tensor(0.0, device=device), SIGMA)
    torch.manual_seed(seed)
    network.eval()
    scores = []
    forward_passes(network, parts[0])
    wait_for(device)
    started = time.perf_counter()
    with torch.no_grad():
        for _ in range(PASSES):
            network.load_state_dict(clean)
            for parameter in network.parameters():
                parameter.mul_(normal.sample(parameter.shape).exp())
            correct = [(network(x).argmax(1) == y).sum() for x, y in batches]
            scores.append(sum(correct) / len(images))
        network.load_state_dict(clean)
    wait_for(device)
    return torch.stack(scores).cpu(), time.perf_counter() - started


@torch.no_grad()
def forward_passes(network: nn.Module, batches: Sequence[Tensor]) -> None:
    for images in batches:
        network(images)


@contextmanager
def counted_images() -> Iterator[list[int]]:
    """Yield a list to which goes how many images are scored, a pilot's and at each sigma.

    A score could not count them, which is called once for many draws. What a GPU is tried on to
    choose a backend, once for a network, does not go there.
    """
    counts: list[int] = []
    sample = Sampler.__call__

    def counted(self: Sampler, requests: Sequence[Requests]) -> list[Tensor]:
        counts.extend(each.images.numel() * len(each.sigmas) for each in requests)
        return sample(self, requests)

    with mock.patch.object(Sampler, "__call__", counted):
        yield counts


def device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    work: Callable[[], Curve | None], device: torch.device, results: list | None = None
) -> float:
    wait_for(device)
    started = time.perf_counter()
    result = work()
    wait_for(device)
    taken = time.perf_counter() - started
    if results is not None:
        results.append(result)
    return taken


def trained(network: Callable[[], nn.Module], data: pl.LightningDataModule) -> nn.Module:
    torch.manual_seed(0)
    module = ERM(network(), task=Classification(10), optimizer=partial(torch.optim.Adam, lr=0.003))
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return module.model.eval()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
