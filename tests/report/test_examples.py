import numpy as np
import pytest
import torch
from torch import nn

from bayesft.drift import Chip, LogNormalDrift
from bayesft.errors import SettingError
from bayesft.report.compare import report_comparison
from bayesft.report.examples import FILE, Boxes, Examples, examples_of
from bayesft.report.examples_figure import PICTURE, draw_examples, right
from tests.helpers.comparisons import add

BOX = [10.0, 10.0, 30.0, 30.0]
ELSEWHERE = [50.0, 50.0, 60.0, 60.0]


class Scaled(nn.Module):
    """Finds a box at 10 times its weight, and one that it is not sure of."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        corner = 10 * self.weight
        box = torch.stack([corner, corner, corner + 20, corner + 20], dim=1)
        found = {
            "boxes": torch.cat([box, box + 5]),
            "labels": torch.tensor([1, 2]),
            "scores": torch.tensor([0.9, 0.1]),
        }
        return [found for _ in images]


def boxes(*rows, labels=None):
    array = np.array(rows, dtype=np.float32).reshape(-1, 4)
    return Boxes(array, np.array(labels or [1] * len(rows)))


@pytest.fixture
def examples():
    target = {"boxes": torch.tensor([BOX]), "labels": torch.tensor([1])}
    batch = [torch.rand(1, 64, 64), torch.rand(1, 64, 48)], [target, target]
    model = Scaled()
    found = examples_of(model, batch, LogNormalDrift(), [0.0, 0.6], Chip(3, 0))
    assert model.weight.item() == 1.0
    return found


def test_what_is_found_drifts_on_one_chip(examples):
    clean, drifted = examples.found[0.0][0], examples.found[0.6][0]
    # The one that it is sure of alone.
    assert clean.boxes.tolist() == [BOX]
    factor = (0.6 * Chip(3, 0).normals({"weight": torch.ones(1)})["weight"]).exp().item()
    assert drifted.boxes[0, 0] == pytest.approx(10 * factor, rel=1e-5)


def test_they_come_back_from_their_file(examples, tmp_path):
    examples.save(tmp_path / "examples.npz")
    back = Examples.load(tmp_path / "examples.npz")
    assert list(back.found) == [0.0, 0.6]
    assert [image.shape for image in back.images] == [(64, 64, 1), (64, 48, 1)]
    for mine, its in zip(examples.found[0.6] + examples.truth, back.found[0.6] + back.truth,
                         strict=True):  # fmt: skip
        assert np.array_equal(mine.boxes, its.boxes)
        assert np.array_equal(mine.labels, its.labels)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04torn"])
def test_another_file_is_told(tmp_path, content):
    (tmp_path / "examples.npz").write_bytes(content)
    with pytest.raises(SettingError, match=r"examples\.npz holds no examples"):
        Examples.load(tmp_path / "examples.npz")


def test_the_picture_has_a_row_for_each_image_of_each_detector(examples, tmp_path):
    sizes = []
    both = {"ERM": examples, "BayesFT": examples}
    for number, settings in enumerate(({}, {"each": 1}, {"beside": True})):
        name = f"{number}.png"
        draw_examples(both, tmp_path / name, **settings)
        sizes.append((tmp_path / name).read_bytes()[20:24])
    heights = [int.from_bytes(size, "big") for size in sizes]
    # 1.9 inches a row and .6 for the rest, 150 dots each; versions of Matplotlib round otherwise.
    assert heights == pytest.approx([(rows * 1.9 + 0.6) * 150 for rows in (4, 2, 2)], abs=1)


def test_columns_are_what_all_have(examples, tmp_path):
    other = Examples(examples.images, examples.truth, {0.6: examples.found[0.6], 0.9: ()})
    draw_examples({"ERM": examples, "BayesFT": other}, tmp_path / "one.png")
    width = int.from_bytes((tmp_path / "one.png").read_bytes()[16:20], "big")
    assert width == round((1.9 + 0.4) * 150)
    nothing = Examples(examples.images, examples.truth, {})
    with pytest.raises(SettingError, match="ERM, other have no image or no sigma in common"):
        draw_examples({"ERM": examples, "other": nothing}, tmp_path / "none.png")


@pytest.mark.parametrize("content", [b"PK\x03\x04torn", None])
def test_a_comparison_without_a_picture_of_one(examples, tmp_path, capsys, content):
    """Its numbers are there all the same."""
    for name in ("erm", "sam"):
        examples.save(add(tmp_path, name) / FILE)
    if content is None:
        Examples(examples.images, examples.truth, {}).save(tmp_path / "sam" / "seed-0" / FILE)
    else:
        (tmp_path / "sam" / "seed-0" / FILE).write_bytes(content)
    report_comparison(tmp_path)
    shown = capsys.readouterr().out
    assert ("Note: There is nothing to draw" if content is None else "holds no examples") in shown
    assert (tmp_path / "comparison.html").exists()
    assert (tmp_path / PICTURE).exists() == (content is not None)


def test_what_is_right():
    truth = boxes(BOX, ELSEWHERE, labels=[1, 2])
    assert right(boxes(BOX, BOX, ELSEWHERE, labels=[1, 1, 2]), truth) == [True, False, True]
    # Another class; an overlap of less than half.
    assert right(boxes(BOX, labels=[2]), truth) == [False]
    assert right(boxes([20.0, 10.0, 40.0, 30.0], labels=[1]), truth) == [False]
    assert right(boxes(), truth) == []
    assert right(boxes(BOX), boxes()) == [False]
