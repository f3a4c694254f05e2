"""The folder of a factor study, whole or in pieces."""

import pytest
import yaml

from bayesft.errors import SettingError
from bayesft.report.factors import is_study, report_factors
from bayesft.report.factors.runs import read_study
from bayesft.report.recipe import difference, recipe
from bayesft.report.runs import Failure, write_failure
from bayesft.robustness import Curve, CurvePoint

BASE = {"norm": "none", "depth": 3}


def add(folder, seed: int = 0, score: float | None = 0.5, *, epochs: int = 10, **factor):
    """Write a run with the levels `factor`; without a score it was stopped."""
    run = folder / "-".join(map(str, (seed, *factor.values(), epochs)))
    run.mkdir(parents=True)
    levels = {**factor, **{name: factor.get(name, BASE[name]) for name in BASE}}
    config = {
        "seed": seed,
        "baseline": BASE,
        "factor": levels,
        "model": {"_target_": "MLP", "hidden": [8], **levels},
        "data": {"data_dir": str(run), "shuffle_seed": seed, "batch_size": 64},
        "evaluation": {"sigmas": [0.6]},
        "trainer": {"max_epochs": epochs},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if score is not None:
        Curve((CurvePoint.from_scores(0.6, [score, score], images=9),), ((score, score),)).to_json(
            run / "test_curve.json"
        )
    return run


def test_runs_are_sorted_into_settings_and_seeds(tmp_path):
    for seed in (0, 1):
        add(tmp_path, seed, 0.5)
        add(tmp_path, seed, 0.6, norm="batch")
        add(tmp_path, seed, 0.7, norm="batch", depth=6)
    found = read_study(tmp_path)
    both = (("norm", "batch"), ("depth", 6))
    assert found.study.curves.keys() == {(), (("norm", "batch"),), both}
    assert found.study.scores(both) == {0: pytest.approx(0.7), 1: pytest.approx(0.7)}
    assert found.study.baseline == BASE
    assert (found.missing, found.left_out) == ((), ())
    assert found.study.combined == [both]


def test_what_is_missing_is_told_with_its_reason(tmp_path):
    for seed in (0, 1, 2):
        add(tmp_path, seed)
    add(tmp_path, 0, None, norm="batch")
    add(tmp_path, 1, norm="batch")
    failed = tmp_path / "failed"
    failed.mkdir()
    levels = {"factor": BASE | {"depth": 6}, "baseline": BASE}
    write_failure(failed, Failure(levels, 0, "RuntimeError: no memory"))
    found = read_study(tmp_path)
    assert sorted(found.missing) == [
        "depth=6, seed 0: RuntimeError: no memory",
        "depth=6, seed 1: not started",
        "depth=6, seed 2: not started",
        "norm=batch, seed 0: stopped before its end",
        "norm=batch, seed 2: not started",
    ]
    assert found.study.factors == ["norm"]


def test_a_damaged_curve_is_missing(tmp_path):
    add(tmp_path)
    (add(tmp_path, norm="batch") / "test_curve.json").write_text("{")
    [line] = read_study(tmp_path).missing
    assert "is not a curve that BayesFT wrote" in line


def test_runs_of_another_recipe_are_left_out(tmp_path):
    add(tmp_path)
    add(tmp_path, norm="batch", epochs=20)
    found = read_study(tmp_path)
    [line] = found.left_out
    assert line.endswith("trainer.max_epochs: 20, not 10")
    assert not found.study.factors


def test_a_second_run_of_the_same_is_left_out(tmp_path):
    add(tmp_path / "a", score=0.5)
    add(tmp_path / "b", score=0.6)
    found = read_study(tmp_path)
    assert found.study.scores(()) == {0: 0.5}
    [line] = found.left_out
    assert line.endswith("a second run of baseline, seed 0")


def test_without_a_baseline_there_is_no_study(tmp_path):
    add(tmp_path, norm="batch")
    add(tmp_path, score=None)
    with pytest.raises(SettingError, match=r"no finished run.*\n  baseline, seed 0: stopped"):
        read_study(tmp_path)


def test_a_run_whose_config_was_cut_is_told_and_the_others_are_reported(tmp_path):
    add(tmp_path)
    run = add(tmp_path, norm="batch")
    (run / "config.yaml").write_text("seed: 0\nfactor: {norm: batch}\n")
    found = read_study(tmp_path)
    [line] = found.left_out
    assert line.startswith(f"{run}: ")
    assert line.endswith("is not whole: it lacks model, data, evaluation, trainer.")


def test_other_folders_are_no_study(tmp_path):
    assert not is_study(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert not is_study(tmp_path)
    add(tmp_path)
    assert is_study(tmp_path)


def test_one_run_alone_is_reported(tmp_path, capsys):
    add(tmp_path)
    report_factors(tmp_path)
    assert "One level alone, and so no panel: norm, depth." in capsys.readouterr().out
    assert not (tmp_path / "factors.png").exists()


def test_the_score_goes_by_its_title(tmp_path, capsys):
    run = add(tmp_path)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"] = {"name": "map_50", "title": "mAP@.5"}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    report_factors(tmp_path)
    assert "Test mAP@.5, its mean over" in capsys.readouterr().out
    assert ",mAP@.5_0.6," in (tmp_path / "factors.csv").read_text()


def test_what_decides_a_result():
    config = {"seed": 0, "logger": {}, "trainer": {"max_epochs": 3, "enable_progress_bar": True}}
    assert recipe(config) == {"trainer.max_epochs": 3}
    evaluated = config | {"evaluation": {"sigmas": [0.3], "trial": {"draws": 50}, "typical": 0.6}}
    assert recipe(evaluated) == {"trainer.max_epochs": 3, "evaluation.sigmas": [0.3]}
    # Other data of one's own is another result, and so are other weights to start from.
    data = {"data": {"filename": "a.npz", "data_dir": "d", "backend": "x", "title": "t"}}
    assert set(recipe(data)) == {"data.filename", "data.backend", "data.title"}
    warm = {"folder": None, "epochs": 0.4}
    assert recipe({"warm_start": warm}) == {}
    assert recipe({"warm_start": warm | {"folder": "3"}})["warm_start.folder"] == "3"
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [
        "b: 2, not 3", "c: unset, not 4",
    ]  # fmt: skip
