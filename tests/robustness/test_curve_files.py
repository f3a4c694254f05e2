"""Curves of earlier formats stay readable; and so is one that is printed."""

import math

import pytest

from bayesft.errors import SettingError
from bayesft.robustness import Curve, CurvePoint

# As BayesFT wrote it before curves had folds, a target, and a quantile's interval.
FORMAT_1 = """{
 "format": 1, "seed": 3,
 "points": [
  {"sigma": 0.3, "mean": 0.75, "stderr": 0.25, "std": 0.3535533905932738, "quantile05": 0.525,
   "draws": 2, "images": 20, "nonfinite": 0}
 ],
 "scores": [[0.5, 1.0]]
}"""


def test_a_curve_is_printed_without_its_scores():
    points = [CurvePoint.from_scores(sigma, (0.5, 1.0), images=20) for sigma in (0.3, 1.5)]
    curve = Curve(tuple(points), ((0.5, 1.0), (0.5, 1.0)))
    assert str(curve).splitlines() == [
        "sigma  score",
        "  0.3  0.7500 ± 0.2500  2 draws",
        "  1.5  0.7500 ± 0.2500  2 draws",
        " mean  0.7500 ± 0.2500",
    ]
    assert "scores" not in repr(curve)


def test_format_1(tmp_path):
    (tmp_path / "c.json").write_text(FORMAT_1)
    curve = Curve.from_json(tmp_path / "c.json")
    assert (curve.mean, curve.stderr, curve.strata, curve.reached) == (0.75, 0.25, 1, True)
    assert math.isnan(curve.points[0].quantile05_low)


def test_format_1_as_csv(tmp_path):
    header = "sigma,mean,stderr,std,quantile05,draws,images,nonfinite"
    (tmp_path / "c.csv").write_text(f"{header}\n0.3,0.75,0.25,0.35,0.525,2,20,0\n")
    assert Curve.from_csv(tmp_path / "c.csv").points[0].mean == 0.75


def test_a_target_that_was_missed_is_missed_in_a_spreadsheet_too(tmp_path):
    points = (CurvePoint.from_scores(0.3, [0.4, 0.6] * 8, images=160, strata=8),)
    curve = Curve(points, strata=8, target_stderr=0.01)
    curve.to_csv(tmp_path / "c.csv")
    back = Curve.from_csv(tmp_path / "c.csv")
    assert not back.reached
    assert (back.target_stderr, back.strata) == (0.01, 8)


def test_what_had_another_name_is_read_by_it(tmp_path):
    point = CurvePoint.from_scores(0.3, [0.4, 0.6], images=20, image_variance=0.01)
    Curve((point,)).to_json(tmp_path / "c.json")
    Curve((point,)).to_csv(tmp_path / "c.csv")
    for name, read in (("c.json", Curve.from_json), ("c.csv", Curve.from_csv)):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("image_variance", "noise"))
        assert read(tmp_path / name).points[0].image_variance == 0.01


@pytest.mark.parametrize("read", [Curve.from_json, Curve.from_csv])
def test_a_file_that_is_not_there_is_told(tmp_path, read):
    with pytest.raises(SettingError, match=r"none.*No such file"):
        read(tmp_path / "none")


def test_a_folder_is_no_file_to_write_to(tmp_path):
    with pytest.raises(SettingError, match=r"is a folder\. Name a file"):
        Curve((CurvePoint.from_scores(0.3, [0.4, 0.6], images=20),)).to_csv(tmp_path)


@pytest.mark.parametrize(
    "content", ['{"points": ["a"], "scores": null, "seed": 1}', "[]", "{}", ""]
)
def test_what_is_no_curve_is_told(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(SettingError, match="is not a curve that BayesFT wrote"):
        Curve.from_json(tmp_path / "c.json")


@pytest.mark.parametrize("write", [Curve.to_json, Curve.to_csv])
def test_a_curve_is_written_whole_or_not_at_all(tmp_path, monkeypatch, write):
    curve = Curve((CurvePoint.from_scores(0.3, [0.4, 0.6], images=20),), scores=((0.4, 0.6),))
    path = tmp_path / "c"
    path.write_text("what was there")

    def cut(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bayesft.folders.os.replace", cut)
        with pytest.raises(KeyboardInterrupt):
            write(curve, path)
    assert [each.name for each in tmp_path.iterdir()] == ["c"]
    assert path.read_text() == "what was there"
    with pytest.raises(SettingError, match=r"no folder .*missing to write c to\. Make it first"):
        write(curve, tmp_path / "missing" / "c")
