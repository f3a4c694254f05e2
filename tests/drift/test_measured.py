"""Measured cells: weights err as the cells did."""

import itertools
import math

import numpy as np
import pytest
import torch

from bayesft.drift import AdditiveDrift, LogNormalDrift, MeasuredDrift, standard_normals
from bayesft.drift.cells import _levels, sha256_of
from bayesft.drift.measured import _BLOCK
from bayesft.errors import SettingError

COUNT = 200_000


def normals(count: int = COUNT, seed: int = 0) -> torch.Tensor:
    return standard_normals(seed, [0], count)[0]


def evenly(count: int) -> torch.Tensor:
    """Return standard normals that are the quantiles of their distribution."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def measured(drift, sigma: float, *, levels: int = 10, cells: int = 2000) -> MeasuredDrift:
    """Return what is measured on cells that drift so, of some levels from 1/levels to 1."""
    written = torch.arange(1, levels + 1, dtype=torch.float64).repeat_interleave(cells) / levels
    read = drift(written, evenly(cells).repeat(levels), sigma)
    return MeasuredDrift(7 * written, 7 * read)


def test_a_weight_errs_as_the_cells_of_its_size_did():
    """Three levels, each with errors of its own: a normal one, one of two values, none."""
    written = torch.tensor([0.0, 50.0, 100.0]).repeat_interleave(1000)
    read = written.clone()
    read[:1000] += 4 * evenly(1000)
    read[1250:2000] -= 20
    drift = MeasuredDrift(written, read)
    weight = torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(COUNT)
    idle, half, full = (drift(weight, normals(3 * COUNT), 1.0) - weight).view(3, -1)
    assert idle.mean().item() == pytest.approx(0, abs=4 * 0.04 / math.sqrt(COUNT))
    assert idle.std().item() == pytest.approx(0.04, rel=0.01)
    # Between two normals one value goes over into the other.
    assert (half == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert ((half + 0.2).abs() < 1e-6).float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert (full == 0).all()


def test_normal_errors_come_back_to_the_digit():
    """They are straight lines of the normal, as far out as there were cells."""
    normal = normals()
    normal = normal[normal.abs() < 3]
    weight = torch.linspace(-1, 1, len(normal))
    expected = AdditiveDrift()(weight, normal, 0.1)
    found = measured(AdditiveDrift(), 0.1, cells=20_000)(weight, normal, 1.0)
    # The sign of a negative weight's error is that of its size.
    expected = torch.where(weight < 0, 2 * weight - expected, expected)
    assert (found - expected).abs().max() < 2e-4


@pytest.mark.parametrize("part", [0.1, 0.45, 1.0])
def test_log_normal_cells_make_log_normal_weights(part):
    """Within a level, between two, and for the largest; moments to 2 % of the weight."""
    drift = measured(LogNormalDrift(), 0.5)
    weight = torch.cat([torch.ones(1), torch.full((COUNT,), -part)])
    found = drift(weight, normals(COUNT + 1), 1.0)[1:] / -part
    assert found.mean().item() == pytest.approx(math.exp(0.125), abs=0.02)
    assert found.std().item() == pytest.approx(
        math.sqrt(math.expm1(0.25) * math.exp(0.25)), abs=0.02
    )
    assert found.median().item() == pytest.approx(1, abs=0.02)


def test_sigma_is_how_many_times_the_errors_there_are():
    drift, weight, normal = (
        measured(LogNormalDrift(), 0.5),
        torch.linspace(-1, 1, 1000),
        normals(1000),
    )
    once = drift(weight, normal, 1.0) - weight
    for sigma in (0.5, 2.0):
        torch.testing.assert_close(drift(weight, normal, sigma) - weight, sigma * once)


def test_no_weight_errs_by_more_than_the_cells_of_its_level():
    written = torch.tensor([0.5, 1.0]).repeat_interleave(2500)
    errors = 0.1 * torch.randn(5000, generator=torch.Generator().manual_seed(0))
    drift = MeasuredDrift(written, written + errors)
    found = drift(torch.ones(COUNT), normals(), 1.0) - 1
    # The farthest of 2500 normals are about 3.5 standard deviations off, of 200,000 more.
    assert found.min().item() == pytest.approx(errors[2500:].min().item(), abs=1e-6)
    assert found.max().item() == pytest.approx(errors[2500:].max().item(), abs=1e-6)


@pytest.mark.parametrize("jitter", [0.0, 1e-8, 1e-4, 5e-3])
def test_cells_that_were_not_written_exactly_say_the_same_of_small_weights(jitter):
    """Eight levels from an eighth on; below the first errors are those of the first."""
    luck = torch.Generator().manual_seed(0)
    level = torch.arange(1, 9, dtype=torch.float64).repeat_interleave(1000) / 8
    written = level + jitter * torch.randn(8000, generator=luck, dtype=torch.float64)
    read = written + 0.05 * torch.randn(8000, generator=luck, dtype=torch.float64)
    weight = torch.cat([torch.ones(1), torch.zeros(COUNT)])
    errors = MeasuredDrift(written, read)(weight, normals(COUNT + 1), 1.0)[1:]
    # Of the 200 cells or more of a level the mean errs by .05 / sqrt(200).
    assert errors.mean().item() == pytest.approx(0, abs=4 * 0.05 / math.sqrt(200))
    assert errors.std().item() == pytest.approx(0.05, rel=4 / math.sqrt(400))


def test_many_cells_of_one_value_all_count():
    """Whatever their order: 4000 of a spread of .1, then 1000 of none, beside others."""
    luck = torch.Generator().manual_seed(0)
    written = torch.cat([torch.zeros(5000), torch.linspace(0, 1, 5000)])
    errors = torch.zeros(10_000)
    errors[:4000] = 0.1 * torch.randn(4000, generator=luck)
    weight = torch.cat([torch.ones(1), torch.zeros(COUNT)])
    found = MeasuredDrift(written, written + errors)(weight, normals(COUNT + 1), 1.0)[1:]
    assert found.std().item() == pytest.approx(0.1 * math.sqrt(0.8), rel=0.05)


def test_a_cell_alone_is_no_level():
    """One of 4001 that was written to more than the others, and lost all of it."""
    written = torch.cat([torch.arange(1, 9).repeat_interleave(500) / 8, torch.tensor([1.1])])
    read = torch.cat([written[:-1], torch.zeros(1)])
    found = MeasuredDrift(written, read)(torch.ones(COUNT), normals(), 1.0)
    assert (found < 0.5).float().mean() < 0.01


def test_what_is_written_to_pairs_of_cells_has_signs():
    """An error is positive where it makes a cell larger, so both signs say the same."""
    written = torch.linspace(0.01, 1, 400)
    up = MeasuredDrift(written, 0.8 * written)
    both = torch.where(torch.arange(400) % 2 == 0, 1.0, -1.0)
    down = MeasuredDrift(both * written, both * 0.8 * written)
    assert repr(up) == repr(down)


def test_the_gain_is_the_mean_over_the_weight():
    drift = measured(LogNormalDrift(), 0.5)
    weight = torch.linspace(-1, 1, COUNT)
    found = drift(weight, normals(), 2.0)
    mean = ((found * weight).sum() / weight.square().sum()).item()
    # The middles of 2000 cells miss a little of the tail.
    assert drift.gain(2.0) == pytest.approx(mean, abs=0.01)
    assert drift.gain(2.0) == pytest.approx(1 + 2 * math.expm1(0.125), abs=0.01)


def test_large_layers_are_the_same_as_their_parts():
    drift = measured(LogNormalDrift(), 0.5)
    weight, normal = torch.linspace(-1, 1, _BLOCK + 1000), normals(_BLOCK + 1000)
    whole = drift(weight, normal, 1.0)
    ends = torch.cat([weight[:1], weight[-999:]]), torch.cat([normal[:1], normal[-999:]])
    assert torch.equal(drift(*ends, 1.0)[1:], whole[-999:])


def test_gradients_pass_as_if_nothing_had_drifted():
    weight = torch.linspace(-1, 1, 30, requires_grad=True)
    measured(LogNormalDrift(), 0.5)(weight, normals(30), 1.0).sum().backward()
    assert torch.equal(weight.grad, torch.ones(30))


def test_other_cells_are_another_drift():
    """By the text that curves are paired by."""
    texts = {repr(measured(LogNormalDrift(), sigma)) for sigma in (0.5, 0.5, 0.51)}
    assert len(texts) == 2


def test_cells_come_from_a_file(tmp_path):
    """With a mark of its encoding, as spreadsheets write it, and other columns."""
    path = tmp_path / "cells.csv"
    rows = [f"{k / 10},{k},ok,{k / 10 + 0.01}" for k in range(30)]
    path.write_text("\ufeffwritten, cell,state, read \n" + "\n".join(rows) + "\n", encoding="utf-8")
    expected = MeasuredDrift([k / 10 for k in range(30)], [k / 10 + 0.01 for k in range(30)])
    found = MeasuredDrift.from_csv(path, pairs=False, target="crossbar")
    assert found.target == "crossbar"
    found.target = "all"
    assert repr(found) == repr(expected)


def test_how_cells_hold_a_weight_is_to_be_said(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("written,read\n" + "1,2\n" * 20)
    with pytest.raises(SettingError, match=r"cells.csv: .*drift.pairs=true.*or drift.pairs=false"):
        MeasuredDrift.from_csv(path)
    path.write_text("written,read\n" + "-1,2\n" * 20)
    assert not MeasuredDrift.from_csv(path).pairs
    with pytest.raises(SettingError, match=r"drift.pairs=true.*negative.*drift.pairs=false"):
        MeasuredDrift.from_csv(path, pairs=True)


def test_a_weight_of_a_pair_errs_as_both_of_its_cells():
    """Conductances are not below 0: an idle cell errs to one side, the pair of two to both."""
    written = torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(COUNT // 10)
    cells = (written + 0.2 * evenly(COUNT // 10).repeat(3)).clamp(min=0)
    drift = MeasuredDrift(written, cells, pairs=True)
    generator = torch.Generator().manual_seed(0)
    for weight in (0.0, 0.5, -1.0):
        # The first makes it the largest of its layer 1.
        found = drift(
            torch.cat([torch.ones(1), torch.full((COUNT,), weight)]), normals(COUNT + 1), 1
        )
        noise = 0.2 * torch.randn(2, COUNT, generator=generator)
        held = torch.tensor([[max(weight, 0.0)], [max(-weight, 0.0)]])
        pair = (held + noise).clamp(min=0)
        expected = pair[0] - pair[1]
        error = 4 * expected.std().item() / math.sqrt(COUNT)
        assert found[1:].mean().item() == pytest.approx(expected.mean().item(), abs=2 * error)
        assert found[1:].std().item() == pytest.approx(expected.std().item(), rel=0.02)
        for level in (0.05, 0.5, 0.95):
            there, here = expected.quantile(level).item(), found[1:].quantile(level).item()
            assert here == pytest.approx(there, abs=0.01)


def test_the_mean_of_a_pair_is_that_of_both_cells():
    written = torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(20)
    read = torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(20)
    weight, normal = torch.tensor([0.0, 0.5, 1.0, -1.0]), torch.zeros(4)
    pairs, single = (MeasuredDrift(written, read, pairs=each) for each in (True, False))
    torch.testing.assert_close(pairs(weight, normal, 1.0), 0.8 * weight)
    assert pairs.gain(1.0) == pytest.approx(0.8)
    expected = torch.tensor([0.1, 0.5, 0.9, -0.9])
    torch.testing.assert_close(single(weight, normal, 1.0), expected)
    assert single.gain(1.0) == pytest.approx(0.92)


def test_a_file_that_was_changed_is_told(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("written,read\n" + "1,2\n" * 20)
    kept = sha256_of(path)
    assert MeasuredDrift.from_csv(path, pairs=True, sha256=kept).cells == 20
    path.write_text("written,read\n" + "1,2\n" * 21)
    with pytest.raises(SettingError, match=rf"was changed.*drift.sha256={kept}.*another file"):
        MeasuredDrift.from_csv(path, sha256=kept)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "`drift.file` to be a CSV file.*cells.csv cannot be read: .*No such file"),
        ("", "columns `written` and `read` in its first line, but got nothing"),
        ("set,got\n1,2\n", "columns `written` and `read`.*but got set, got"),
        ("written,read\n" + "1,2\n" * 19, r"cells.csv: .*at least 20 cells, but got 19 .* and 19 "),
        ("written,read\n" + "1,2\n" * 20 + "1,much\n", "`read` to hold finite.*cell 21 is 'much'"),
        ("written,read\n" + "1,2\n" * 20 + "nan,1\n", "`written` to hold finite.*cell 21 is 'nan'"),
        ("written,read\n" + "1,2\n" * 20 + "1\n", "`read` to hold finite.*cell 21 is None"),
        ("written,read\n" + "0,2\n" * 20, "all of 20 values of `written` are 0"),
        (b"written,read\n\xff\xfe\n", "cells.csv cannot be read: .*Save it as UTF-8"),
        ("written,read".encode("utf-16"), "cells.csv cannot be read: .*Save it as UTF-8"),
        ("written;read\n1;2\n", "but got written;read. Its columns are apart by ';': save it with"),
        ("written\tread\n1\t2\n", "columns are apart by .*save it with commas"),
        ("written,read,read\n1,2,3\n", "one column `read`, but got 2. Give the others other"),
        ("written,read\n" + "1,2\n" * 20 + '1,"0,5"\n', "is '0,5'. Write 0.5 for 0,5"),
    ],
)
def test_files_that_hold_no_cells_are_told(tmp_path, text, message):
    path = tmp_path / "cells.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingError, match=message):
        MeasuredDrift.from_csv(path)


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (np.repeat(np.arange(1, 33) / 32, 20), [20] * 32),
        (np.repeat(np.arange(1, 33) / 32, 19), [76] * 8),
        (np.repeat(np.arange(10, 0, -1) / 10, 300), [300] * 10),
        (np.linspace(1, 0, 257).repeat(100), [900] * 27 + [1400]),
    ],
)
def test_cells_are_sorted_by_a_few_values_or_into_equal_numbers(parts, sizes):
    groups = _levels(parts)
    assert [len(group) for group in groups] == sizes
    ends = [(parts[group].min(), parts[group].max()) for group in groups]
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ends))


def test_as_many_are_read_as_were_written():
    with pytest.raises(SettingError, match="got 20 values that were written and 21"):
        MeasuredDrift([1.0] * 20, [1.0] * 21)
    with pytest.raises(SettingError, match="`written` to be a list of numbers, but got None"):
        MeasuredDrift(None, None)
    with pytest.raises(SettingError, match=r"up to 1e\+300 times it.*in one unit"):
        MeasuredDrift([1.0] * 20, [1e300] * 20)
