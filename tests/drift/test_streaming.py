"""A large network's drift is streamed: in windows of codes, and the same to the bit."""

import pytest
import torch
from torch import nn

from bayesft.drift import Chip, DriftingWeights, LogNormalDrift, apply, drifted, standard_normals
from bayesft.drift import stream as streaming
from bayesft.drift.noise import BLOCK
from bayesft.drift.quantiles import quantiles
from bayesft.drift.stream import Reader

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("either_way")


class Whole(LogNormalDrift):
    """Drifts by the largest weight of the layer."""

    elementwise = False

    def __call__(self, weight, normal, sigma):
        return (weight + weight.abs().max() * sigma * normal).to(weight.dtype)


class Tied(nn.Module):
    """Two names for one weight, and one more that looks at it the other way round."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(600, 600)
        self.second = nn.Linear(600, 600)
        self.second.weight = self.first.weight
        self.third = nn.Linear(600, 600)
        self.third.weight = nn.Parameter(torch.randn(600, 600).t())


def network(change: str) -> nn.Module:
    """Return a network whose parameters lie across the borders of blocks."""
    torch.manual_seed(0)
    if change == "tied":
        return Tied().eval()
    layers = [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 7000, 3), nn.Linear(350, 1600)]
    model = nn.Sequential(*layers).eval()
    if change == "channels_last":
        model.to(memory_format=torch.channels_last)
    if change == "several types":
        model[2].to(torch.bfloat16)
        model[3].to(torch.float64)
    return model


def kept(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def alike(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(
        torch.equal(x, y) and (x.dtype, x.stride()) == (y.dtype, y.stride())
        for x, y in zip(a, b, strict=True)
    )


def stream_all(monkeypatch, size: int = BLOCK) -> None:
    monkeypatch.setattr(apply, "LARGE", 0)
    monkeypatch.setattr(streaming, "WINDOW", size)


CHANGES = ["none", "channels_last", "several types", "tied"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("drift", [LogNormalDrift(), Whole(), LogNormalDrift(target="crossbar")])
@pytest.mark.parametrize("size", [BLOCK, 16 * BLOCK])
def test_the_weights_are_the_same_to_the_bit(monkeypatch, change, drift, size):
    model = network(change)
    clean, weights = kept(model), drift.parameters(model)
    normals = Chip(3, 5).normals(weights)
    with torch.no_grad():
        alone = {name: drift(weight, normals[name], 0.7) for name, weight in weights.items()}
    with drifted(model, drift, 0.7, Chip(3, 5)):
        expected = kept(model)
    stream_all(monkeypatch, size)
    with drifted(model, drift, 0.7, Chip(3, 5)):
        assert alike(kept(model), expected)
        assert all(torch.equal(weight, alone[name]) for name, weight in weights.items())
    assert alike(kept(model), clean)
    assert not alike(clean, expected)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("drift", [LogNormalDrift(), Whole()])
def test_draws_and_rows_are_the_same_to_the_bit(monkeypatch, change, drift):
    """Several chips at several sigmas, one after the other and together."""
    model, chips, sigmas = network(change), [Chip(0, 3), Chip(1, 0)], [0.0, 0.3, 0.9]

    def both():
        with DriftingWeights(model, drift) as weights:
            draws = [kept(model) for _ in weights.draws(chips, sigmas)]
            together = [(chip, sigma) for sigma in sigmas for chip in chips]
            # At one sigma some of the chips, in another order, and one of them twice.
            others = [*together[:3], (chips[1], 0.3), (chips[0], 0.3), (chips[1], 0.3)]
            rows = [
                [values.clone() for values in weights.stacked(weights.rows(asked)).values()]
                for asked in (together, others)
            ]
            expected = [draws[k] for k in (0, 1, 2, 3, 2, 3)]
            assert all(map(torch.equal, rows[1], map(torch.stack, zip(*expected, strict=True))))
        return weights.streamed, draws, rows

    before, draws, rows = both()
    stream_all(monkeypatch)
    after, draws_streamed, rows_streamed = both()
    assert (before, after) == (False, True)
    assert len(draws) == len(draws_streamed) == 6
    assert all(map(alike, draws, draws_streamed))
    assert all(map(alike, rows, rows_streamed))


def test_a_draw_is_read_again_after_another(monkeypatch):
    """The codes of a sigma are made anew, and no draw leaves anything to the next."""
    stream_all(monkeypatch)
    model, chips = network("none"), [Chip(0, 0), Chip(0, 1)]
    with DriftingWeights(model, LogNormalDrift()) as weights:
        draws = [kept(model) for _ in weights.draws(chips, [0.5, 0.5])]
    assert alike(draws[0], draws[2])
    assert alike(draws[1], draws[3])
    assert not alike(draws[0], draws[1])


def test_a_small_networks_codes_serve_every_sigma(monkeypatch, by_pytorch):
    """Of a small network they cost more than the rest."""
    made, fill = [], streaming.fill_codes

    def counted(rows, chips):
        made.append(len(chips))
        fill(rows, chips)

    monkeypatch.setattr(streaming, "fill_codes", counted)
    with DriftingWeights(nn.Linear(3, 2), LogNormalDrift()) as weights:
        assert not weights.streamed
        assert len(list(weights.draws([Chip(0, 0), Chip(0, 1)], [0.3, 0.6, 0.9]))) == 6
    assert made == [2]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_weights_come_back_to_the_bit(monkeypatch, error):
    stream_all(monkeypatch)
    model = network("channels_last")
    clean, pointers = kept(model), [parameter.data_ptr() for parameter in model.parameters()]

    def fail():
        assert not alike(kept(model), clean)
        raise error

    with pytest.raises(error), drifted(model, LogNormalDrift(), 0.9, Chip(0, 0)):
        fail()
    assert alike(kept(model), clean)
    assert [parameter.data_ptr() for parameter in model.parameters()] == pointers


def test_weights_come_back_after_a_drift_that_fails_in_the_middle(monkeypatch):
    class Failing(Whole):
        def __call__(self, weight, normal, sigma):
            if weight.shape == (7000, 5, 3, 3):
                raise ValueError("as if")
            return super().__call__(weight, normal, sigma)

    stream_all(monkeypatch)
    model = network("none")
    clean = kept(model)
    with pytest.raises(ValueError, match="as if"), drifted(model, Failing(), 0.9, Chip(0, 0)):
        pass
    assert alike(kept(model), clean)


@pytest.mark.parametrize("drift", [LogNormalDrift(), Whole()])
def test_under_inference_mode(monkeypatch, drift):
    model = network("none")
    with drifted(model, drift, 0.5, Chip(0, 0)):
        expected = kept(model)
    with torch.inference_mode(), drifted(model, drift, 0.5, Chip(0, 0)):
        assert alike(kept(model), expected)
    stream_all(monkeypatch)
    with torch.inference_mode(), drifted(model, drift, 0.5, Chip(0, 0)):
        assert alike(kept(model), expected)


@pytest.mark.parametrize("count", [1, 1000, BLOCK, 2 * BLOCK + 5, 5 * BLOCK])
def test_windows_are_the_chips_codes(monkeypatch, count):
    monkeypatch.setattr(streaming, "WINDOW", 2 * BLOCK)
    parts = [part.clone() for part in Reader(Chip(7, 11), count, CPU).pieces(count)]
    assert max(map(len, parts)) <= 2 * BLOCK
    normals = quantiles(CPU)[torch.cat(parts).long()]
    assert torch.equal(normals, standard_normals(7, [11], count)[0])


@pytest.mark.parametrize("made", [False, True])
def test_a_reader_gives_every_code_once_and_in_order(monkeypatch, made):
    """And makes none that were left out, but for a few beside those that were not."""
    chip = Chip(7, 11)
    expected = streaming.all_codes([chip], 101, CPU)[0]
    filled, fill = [], streaming.fill_codes

    def counted(codes, chips, *, start):
        filled.append((start, codes.shape[1]))
        fill(codes, chips, start=start)

    monkeypatch.setattr(streaming, "WINDOW", 8)
    monkeypatch.setattr(streaming, "fill_codes", counted)
    reader, found = Reader(chip, 101, CPU, made=expected if made else None), []
    for count in (3, 0, 7, 4, 25, 1):
        found.append(reader.read(count).clone())
        assert len(found[-1]) == count
    reader.skip(0)
    left_out, position = expected[40:62], reader.position
    reader.skip(len(left_out))
    assert (position, reader.position) == (40, 62)
    pieces = [piece.clone() for piece in reader.pieces(39)]
    assert torch.equal(torch.cat([*found, left_out, *pieces]), expected)
    with pytest.raises(IndexError, match="101 of 101 codes are read, not 1 more"):
        reader.read(1)
    if made:
        assert not filled
    else:
        assert [start for start, _ in filled if 40 <= start < 60] == []
        assert filled[-1] == (100, 1)
