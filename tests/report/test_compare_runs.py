"""The folder of a comparison, whole or in pieces."""

import sys

import pytest

from bayesft.errors import SettingError
from bayesft.report.__main__ import main
from bayesft.report.compare import Plan, is_comparison, report_comparison
from bayesft.report.compare.fair import kept_weights
from bayesft.report.compare.runs import read_comparison
from bayesft.report.cost import Cost
from bayesft.report.runs import Failure, write_failure
from tests.helpers.comparisons import add


def test_runs_are_sorted_into_contenders_and_seeds(tmp_path):
    for seed in (1, 0):
        add(tmp_path, "sam", seed, 0.6)
        add(tmp_path, "erm", seed, 0.5)
    found = read_comparison(tmp_path)
    assert found.comparison.contenders == ["erm", "sam"]
    assert found.comparison.mean("sam").value == pytest.approx(0.6)
    assert [run.seed for run in found.runs["sam"]] == [0, 1]
    assert (found.missing, found.left_out, found.notes) == ((), (), ())


def test_the_order_is_the_plan_s(tmp_path):
    Plan(("sam", "erm", "awp"), (0,)).write(tmp_path)
    for name in ("awp", "erm", "ftna", "sam"):
        add(tmp_path, name)
    assert read_comparison(tmp_path).comparison.contenders == ["erm", "sam", "awp", "ftna"]


def test_plans_join(tmp_path):
    assert Plan.read(tmp_path) == Plan()
    Plan(("erm", "sam"), (0, 1)).joined(Plan(("awp", "sam"), (1, 2))).write(tmp_path)
    assert Plan.read(tmp_path) == Plan(("erm", "sam", "awp"), (0, 1, 2))


def test_what_is_missing_is_told_with_its_reason(tmp_path):
    Plan(("erm", "sam", "awp"), (0, 1)).write(tmp_path)
    add(tmp_path, "erm", 0)
    add(tmp_path, "erm", 1)
    add(tmp_path, "sam", 0, None)
    failed = tmp_path / "sam" / "seed-1"
    failed.mkdir()
    of = {"comparison": {"contender": "sam", "baseline": "erm"}}
    write_failure(failed, Failure(of, 1, "RuntimeError: no memory"))
    found = read_comparison(tmp_path)
    assert found.missing == (
        "sam, seed 0: stopped before its end",
        "sam, seed 1: RuntimeError: no memory",
        "awp, seeds 0, 1: not started",
    )
    assert found.comparison.contenders == ["erm"]


def test_a_damaged_curve_is_missing_and_a_damaged_cost_is_not_shown(tmp_path):
    (add(tmp_path, "erm") / "cost.json").write_text("{")
    (add(tmp_path, "sam") / "test_curve.json").write_text("{")
    found = read_comparison(tmp_path)
    [line] = found.missing
    assert "is not a curve that BayesFT wrote" in line
    assert found.runs["erm"][0].cost is None


def test_without_the_baseline_there_are_curves_and_no_differences(tmp_path, capsys):
    add(tmp_path, "sam")
    add(tmp_path, "erm", score=None)
    report_comparison(tmp_path)
    shown = capsys.readouterr().out
    assert "Note: There is no finished run of erm" in shown
    assert "Missing: erm, seed 0: stopped before its end" in shown


def test_nothing_finished_is_one_message(tmp_path):
    add(tmp_path, "erm", score=None)
    with pytest.raises(SettingError, match=r"no finished run.*\n  erm, seed 0: stopped"):
        read_comparison(tmp_path)


def test_mixed_scores_are_refused(tmp_path):
    add(tmp_path, "erm", task={"name": "map_50", "title": "mAP@.5"})
    add(tmp_path, "sam", task={"name": "map", "title": "mAP@[.5:.95]"})
    with pytest.raises(SettingError, match=r"task\.name: map_50 in erm/seed-0, map in sam/seed-0"):
        read_comparison(tmp_path)


def test_mixed_data_sets_are_refused(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "awp")
    other = {"_target_": "bayesft.data.MNISTDataModule", "data_dir": "here"}
    add(tmp_path / "more", "sam", data=other)
    with pytest.raises(SettingError, match="are not of one comparison") as error:
        read_comparison(tmp_path)
    text = str(error.value)
    assert "data._target_: bayesft.data.DigitsDataModule in awp/seed-0 and 1 more, " in text
    assert "bayesft.data.MNISTDataModule in more/sam/seed-0\n" in text
    assert "Give the folder of one multirun" in text
    assert not (tmp_path / "comparison.html").exists()


@pytest.mark.parametrize(
    ("part", "setting"),
    [
        ("data", {"split_seed": 1}),
        ("evaluation", {"test": {"seed": 4}}),
        ("drift", {"target": "crossbar"}),
        ("model", {"_target_": "bayesft.models.LeNet5"}),
    ],
)
def test_other_data_chips_and_networks_too(tmp_path, part, setting):
    add(tmp_path, "erm")
    add(tmp_path, "sam", **{part: setting})
    with pytest.raises(SettingError, match=rf"not of one comparison.*\n  {part}\."):
        read_comparison(tmp_path)


def test_a_stopped_run_on_other_data_does_not_spoil_the_rest(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "sam", score=None, data={"split_seed": 1})
    assert read_comparison(tmp_path).missing == ("sam, seed 0: stopped before its end",)


def test_seeds_of_another_recipe_are_left_out(tmp_path):
    add(tmp_path, "erm", 0)
    add(tmp_path, "erm", 1, method={"_target_": "bayesft.methods.SAM"})
    found = read_comparison(tmp_path)
    [line] = found.left_out
    assert line == (
        "erm/seed-1: another erm than in erm/seed-0, and one contender has one way to train "
        "(method._target_: bayesft.methods.SAM, not bayesft.methods.ERM). Give it a name of its "
        "own: comparison.contender=<name>"
    )
    assert found.comparison.seeds("erm") == [0]


def test_a_second_run_of_the_same_is_left_out(tmp_path):
    add(tmp_path / "a", "erm", score=0.5)
    add(tmp_path / "b", "erm", score=0.6)
    found = read_comparison(tmp_path)
    assert found.comparison.mean("erm").value == pytest.approx(0.5)
    assert found.left_out == ("b/erm/seed-0: a second run of erm, seed 0",)


def test_runs_that_differ_in_the_same_are_one_line(tmp_path):
    add(tmp_path / "a", "noise_injection", 0, method={"sigma": 0.6})
    for seed in (1, 2):
        add(tmp_path / "b", "noise_injection", seed, method={"sigma": 0.9})
    [line] = read_comparison(tmp_path).left_out
    assert line.startswith(
        "b/noise_injection/seed-1 and 1 more: another noise_injection than in a/"
    )
    assert "(method.sigma: 0.9, not 0.6)" in line


def test_another_network_is_told(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "wide", model={"hidden": [64], "dropout": 0.3, "sites": "block"})
    [note] = read_comparison(tmp_path).notes
    assert note.startswith("Not the same for all: model.hidden is [8] for erm, [64] for wide.")
    assert "in the differences too" in note


def test_who_was_chosen_by_a_training_that_is_compared_is_told(tmp_path):
    for seed in (0, 1):
        add(tmp_path, "erm", seed)
        add(tmp_path, "lucky", seed, found={"folder": "s", "objective_seed": 2, "seed": 1})
        add(tmp_path, "fair", seed, found={"folder": "s", "objective_seed": 2, "seed": 7})
    [note] = read_comparison(tmp_path).notes
    assert note.startswith("lucky was chosen by its training with seed 1, which is one of these")


def test_what_a_search_found_on_the_test_s_chips_is_left_out(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "fair", found={"folder": "s", "objective_seed": 2})
    add(tmp_path, "spoilt", found={"folder": "s", "objective_seed": 3})
    found = read_comparison(tmp_path)
    assert found.comparison.contenders == ["erm", "fair"]
    [line] = found.left_out
    assert line.startswith("spoilt/seed-0: found.objective_seed is 3, as evaluation.test.seed")


@pytest.mark.parametrize("content", ["{", "", "seed: 0\nmodel: {_target_: bayesft.mod}\n", "- 1\n"])
def test_a_run_whose_config_was_cut_is_told_and_the_others_are_reported(tmp_path, capsys, content):
    add(tmp_path, "erm", 0, 0.5)
    add(tmp_path, "erm", 1, 0.6)
    add(tmp_path, "sam", 0, 0.6)
    (add(tmp_path, "sam", 1, 0.7) / "config.yaml").write_text(content)
    found = report_comparison(tmp_path)
    assert found.comparison.seeds("sam") == [0]
    assert found.missing == ("sam, seed 1: its config.yaml cannot be read",)
    [line] = found.left_out
    assert line.startswith(f"sam/seed-1: {tmp_path / 'sam' / 'seed-1' / 'config.yaml'} ")
    assert "cannot be read" in line or "is not whole: it lacks" in line
    assert "\n" not in line
    assert "Left out: sam/seed-1" in capsys.readouterr().out


def test_what_others_keep_beside_the_runs_is_no_run(tmp_path):
    for part in ("wandb/run-1/files", ".hydra"):
        folder = add(tmp_path, "erm", seed=len(part)) / part
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("comparison: {value: {contender: erm}}\n")
    found = read_comparison(tmp_path)
    assert len(found.runs["erm"]) == 2
    assert found.left_out == ()


def test_a_failure_that_cannot_be_read_is_a_run_that_was_stopped(tmp_path):
    add(tmp_path, "erm")
    (add(tmp_path, "sam", score=None) / "failure.yaml").write_text("{")
    assert read_comparison(tmp_path).missing == ("sam, seed 0: stopped before its end",)


def test_a_run_that_was_tuned_on_the_test_s_chips_is_left_out(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "bayesft", callbacks={"dropout_search": {"seed": 3}})
    found = read_comparison(tmp_path)
    assert found.comparison.contenders == ["erm"]
    [line] = found.left_out
    assert "callbacks.dropout_search.seed is 3, as evaluation.test.seed" in line


def test_another_length_of_training_is_noted(tmp_path):
    add(tmp_path, "erm")
    add(tmp_path, "sam", trainer={"max_epochs": 20})
    [line] = read_comparison(tmp_path).notes
    assert line == "Not the same for all: trainer.max_epochs is 10 for erm, 20 for sam."


def test_other_seeds_are_noted(tmp_path):
    add(tmp_path, "erm", 0)
    add(tmp_path, "erm", 1)
    add(tmp_path, "sam", 0)
    found = read_comparison(tmp_path)
    assert found.missing == ("sam, seed 1: not started",)
    [line] = found.notes
    assert "same seeds" in line


def test_times_of_different_machines_are_noted(tmp_path):
    add(tmp_path, "erm")
    run = add(tmp_path, "sam")
    Cost(10, 2, 3.0, "a faster machine", 8).write(run)
    [line] = read_comparison(tmp_path).notes
    assert line.endswith("different machines: a machine, 1 threads; a faster machine, 8 threads.")


def test_which_weights_were_tested():
    last = {"callbacks": {"model_checkpoint": {"monitor": None, "mode": "max"}}}
    best = {"callbacks": {"model_checkpoint": {"monitor": "val/loss", "mode": "min"}}}
    assert kept_weights(last) == kept_weights({"callbacks": None}) == "the last epoch's"
    assert kept_weights(best) == "those of the epoch with the lowest val/loss"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: folder.rmdir(), "There is no folder"),
        (lambda folder: None, "holds no run of a comparison or a factor study. Expected"),
        (lambda f: (f / "optimization_results.yaml").write_text("{}"), "is the folder of a search"),
        (lambda f: (f / "config.yaml").write_text("{"), r"holds no run.*\n  .*cannot be read"),
    ],
)
def test_the_command_says_what_a_folder_lacks(tmp_path, monkeypatch, prepare, words):
    folder = tmp_path / "f"
    folder.mkdir()
    prepare(folder)
    monkeypatch.setattr(sys, "argv", ["report", str(folder)])
    with pytest.raises(SystemExit, match=words):
        main()


def test_the_command_writes_everything(tmp_path, monkeypatch, capsys):
    add(tmp_path, "erm")
    add(tmp_path, "sam")
    assert is_comparison(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path)])
    main()
    names = {path.name for path in tmp_path.glob("comparison*")}
    assert names == {
        "comparison.html", "comparison.png", "comparison.csv", "comparison_runs.csv",
    }  # fmt: skip
    assert "MLP on Digits: 2 ways to train" in capsys.readouterr().out
