"""The comparison of contenders, from the command line's overrides to its report."""

import csv
import shlex

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from bayesft.app.build import build_data, build_module
from bayesft.app.train import train
from bayesft.report.compare import Plan
from bayesft.report.cost import Cost
from bayesft.report.recipe import difference, recipe
from bayesft.report.scores import read_scores
from bayesft.robustness import Curve
from tests.helpers.app import CONF, ROOT, SMALL, composed, train_many

CONTENDERS = sorted(path.stem for path in (ROOT / "conf" / "contender").glob("*.yaml"))

# Besides `method`, which is what a contender is.
MOVES = {
    "dropout": {"model.dropout"},
    "bayesft": {"callbacks.dropout_search", "callbacks.model_checkpoint.monitor"},
    "bayesft_noise": {"callbacks.dropout_search", "callbacks.model_checkpoint.monitor"},
    "reram_v": {"callbacks.model_checkpoint.monitor"},
    "rescue": {"callbacks.model_checkpoint.monitor"},
}


def contender(folder, name: str, *overrides: str):
    """Return the config of one run of a comparison."""
    named = ("experiment=compare", f"contender={name}", f"comparison.contender={name}")
    return composed(folder, *named, *overrides)


def sweep(folder, *overrides: str) -> None:
    """Run `train.py -m experiment=compare` with `overrides`, the report at its end included."""
    train_many(folder, *SMALL, "experiment=compare", *overrides)


def test_all_contenders_are_compared():
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("train", overrides=["experiment=compare"], return_hydra_config=True)
    params = cfg.hydra.sweeper.params
    assert sorted(params.contender.split(",")) == CONTENDERS
    # A comparison that is stopped has whole seeds.
    assert [*params] == ["seed", "contender"]


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("extra", [(), ("model=lenet5", "data=mnist")])
def test_contenders_differ_in_nothing_but_the_way_to_train(tmp_path, name, extra):
    ours, erm = (
        OmegaConf.to_container(contender(tmp_path, each, *extra), resolve=True)
        for each in (name, "erm")
    )
    keys = [line.split(":")[0] for line in difference(recipe(ours), recipe(erm))]
    allowed = ("method.", *MOVES.get(name, ()))
    assert [key for key in keys if not key.startswith(allowed)] == []
    assert bool(keys) == (name != "erm")
    optimizers = [{**each["method"]["optimizer"]} for each in (ours, erm)]
    assert optimizers[0] == optimizers[1]
    assert ours["seed"] == erm["seed"]


def test_a_search_tests_the_last_weights_and_the_others_the_best(tmp_path):
    monitors = {
        name: contender(tmp_path, name).callbacks.model_checkpoint.monitor for name in CONTENDERS
    }
    last = {name for name, monitor in monitors.items() if monitor is None}
    assert last == {"bayesft", "bayesft_noise"}
    # What is made for one chip is chosen there; on others it would be chosen unmade.
    own = {name for name, monitor in monitors.items() if monitor == "val/own_chip_acc"}
    assert own == {"reram_v", "rescue"}
    others = {monitor for name, monitor in monitors.items() if name not in last | own}
    assert others == {"val/drift_acc"}


def test_what_is_tuned_on_is_not_what_is_tested_on(tmp_path):
    cfg = contender(tmp_path, "bayesft")
    evaluation, callbacks = cfg.evaluation, cfg.callbacks
    assert callbacks.drift_evaluation.test_seed == evaluation.test.seed
    tuned = {callbacks.dropout_search.seed, callbacks.drift_evaluation.seed}
    assert evaluation.test.seed not in tuned


@pytest.mark.parametrize("name", CONTENDERS)
def test_the_same_initial_weights_and_batches(tmp_path, name):
    parts = []
    for each in (name, "erm"):
        cfg = contender(tmp_path, each, "seed=3")
        pl.seed_everything(cfg.seed, verbose=False)
        data, module = build_data(cfg), build_module(cfg)
        data.setup("fit")
        images = torch.cat([images for images, _ in data.train_dataloader()])
        parts.append((module.model.state_dict(), images))
    (ours, our_images), (theirs, their_images) = parts
    assert torch.equal(our_images, their_images)
    for key, weight in theirs.items():
        # FTNA's last layer has more outputs, behind those of the others.
        assert torch.equal(ours[key][: len(weight)], weight)
        assert ours[key].shape == weight.shape or name == "ftna"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """A finished comparison of two contenders and two seeds."""
    folder = tmp_path_factory.mktemp("finished") / "comparison"
    sweep(folder, "contender=erm,sam", "seed=0,1")
    return folder


def test_a_comparison_ends_with_page_figure_and_tables(comparison):
    for name in ("erm", "sam"):
        for seed in (0, 1):
            run = comparison / name / f"seed-{seed}"
            config = OmegaConf.load(run / "config.yaml")
            assert (config.comparison.contender, config.seed) == (name, seed)
            assert Curve.from_json(run / "test_curve.json").seed == config.evaluation.test.seed
    assert (comparison / "comparison.png").stat().st_size > 10_000
    page = (comparison / "comparison.html").read_text(encoding="utf-8")
    assert "<h1>MLP on Digits: 2 ways to train</h1>" in page
    assert "Read with care" not in page
    with open(comparison / "comparison.csv", newline="") as file:
        erm, sam = csv.DictReader(file)
    assert (erm["passes_per_step"], sam["passes_per_step"]) == ("1", "2")
    assert (erm["epochs"], sam["epochs"], sam["seeds"]) == ("2", "2", "0 1")
    assert float(sam["difference"])
    assert Plan.read(comparison) == Plan(("erm", "sam"), (0, 1))


def test_more_seeds_and_contenders_join_what_is_there(tmp_path, capsys):
    folder = tmp_path / "c"
    sweep(folder, "contender=erm,sam", "seed=0")
    curves = {name: folder / name / "seed-0" / "test_curve.json" for name in ("erm", "sam")}
    before = {name: curve.read_text() for name, curve in curves.items()}
    cost = Cost.read(curves["sam"].parent)
    curves["sam"].unlink()
    capsys.readouterr()
    sweep(folder, "contender=erm,sam,ftna", "seed=0,1")
    shown = capsys.readouterr().out
    assert shown.count("has been trained already") == 1
    assert "MLP on Digits: 3 ways to train" in shown
    assert "Missing" not in shown
    assert Plan.read(folder) == Plan(("erm", "sam", "ftna"), (0, 1))
    # Finished, or gone on from the last checkpoint, it is the curve that it was.
    assert {name: curve.read_text() for name, curve in curves.items()} == before
    again = Cost.read(curves["sam"].parent)
    assert (again.epochs, again.passes) == (cost.epochs, cost.passes)
    assert 0 < again.seconds <= cost.seconds


def test_a_contender_that_there_is_not_is_no_part_of_the_plan(tmp_path):
    with pytest.raises(HydraException, match="nothere"):
        sweep(tmp_path / "c", "contender=erm,nothere", "seed=0")
    assert Plan.read(tmp_path / "c") == Plan()


def test_the_command_it_prints_makes_what_is_missing(tmp_path, capsys):
    """Also where the command before it asked for other runs."""
    folder = tmp_path / "c"
    sweep(folder, "contender=erm", "seed=0,1")
    capsys.readouterr()
    sweep(folder, "contender=sam", "seed=0")
    shown = capsys.readouterr().out
    assert "Missing: sam, seed 1: not started" in " ".join(shown.split())
    [command] = [line for line in shown.splitlines() if "python train.py -m" in line]
    words = shlex.split(command)
    assert words[-3:] == ["contender=sam", "seed=1", f"hydra.sweep.dir={folder}"]
    train_many(tmp_path / "elsewhere", *words[3:])
    shown = capsys.readouterr().out
    assert "2 ways to train" in shown
    assert "Missing" not in shown


def test_the_commands_have_what_each_contender_was_asked_for_with(tmp_path, capsys):
    """One of its own name, one of an own setting, and one that failed before them."""
    folder = tmp_path / "c"
    half = ("contender=dropout", "comparison.contender=half", "model.dropout=0.5")
    sweep(folder, "contender=erm", "seed=0")
    with pytest.raises(SystemExit):
        sweep(folder, *half, "seed=0", "optimizer.lr=-1")
    sweep(folder, *half, "seed=0")
    capsys.readouterr()
    sweep(folder, "contender=sam,samson", "++method.rho=0.1", "seed=0,1")
    plan = Plan.read(folder)
    common = [*SMALL, "experiment=compare"]
    runs = [("half", 1), ("erm", 1), ("sam", 1), ("samson", 0), ("sam", 0), ("old", 3)]
    assert plan.commands(runs) == [
        [*common, *half, "seed=1"],
        [*common, "contender=erm", "seed=1"],
        [*common, "++method.rho=0.1", "contender=sam,samson", "seed=1,0"],
        ["experiment=compare", "contender=old", "seed=3"],
    ]
    shown = " ".join(capsys.readouterr().out.split())
    for expected in plan.commands([("half", 1), ("erm", 1)]):
        assert shlex.join(["python", "train.py", "-m", *expected]) in shown


@pytest.mark.parametrize(
    "asked", [("contender=erm", "seed=4"), ("contender=glob(er*)", "seed=range(4,5)")]
)
def test_the_plan_is_what_was_asked_for(tmp_path, asked):
    sweep(tmp_path / "c", *asked)
    assert Plan.read(tmp_path / "c") == Plan(("erm",), (4,))


def test_a_contender_of_other_settings_joins_by_a_name_of_its_own(tmp_path, capsys):
    folder = tmp_path / "c"
    sweep(folder, "contender=dropout", "seed=4")
    capsys.readouterr()
    sweep(
        folder, "contender=dropout", "comparison.contender=half", "model.dropout=0.5", "seed=4"
    )  # fmt: skip
    assert Plan.read(folder) == Plan(("dropout", "half"), (4,))
    shown = capsys.readouterr().out
    assert "2 ways to train" in shown
    assert "Left out" not in shown
    assert "Missing" not in shown


def test_what_is_made_for_one_chip_leaves_its_accuracy_there(tmp_path, capsys):
    folder = tmp_path / "c"
    sweep(folder, "contender=erm,reram_v", "seed=0")
    own, erm = (read_scores(folder / name / "seed-0") for name in ("reram_v", "erm"))
    assert 0 < own["test/own_chip_acc"] <= 1
    assert "test/own_chip_acc" not in erm
    assert erm["test/drift_acc"] == pytest.approx(
        Curve.from_json(folder / "erm" / "seed-0" / "test_curve.json")
        .at(composed(tmp_path).evaluation.sigmas)
        .mean
    )
    assert "(reram_v at σ = 0.9)" in " ".join(capsys.readouterr().out.split())


def test_a_contender_that_searches_shows_no_tables_of_its_own(tmp_path, capfd):
    folder = tmp_path / "c"
    sweep(
        folder, "contender=bayesft", "seed=0", "trainer.max_epochs=20",
        "callbacks.dropout_search.trials=3",
    )  # fmt: skip
    run = folder / "bayesft" / "seed-0"
    shown = "".join(capfd.readouterr())
    assert "MLP on Digits: 1 ways to train" in shown
    for words in ("Test accuracy under drift", "Train it again", "trial   0", "Results:"):
        assert words not in shown
    # It is all in the run's folder.
    assert (run / "curves.png").exists()
    assert "trial   0" in (run / "train.log").read_text()


def test_a_run_whose_config_was_cut_is_told_and_not_trained_over(tmp_path, capsys):
    folder = tmp_path / "c"
    sweep(folder, "contender=erm", "seed=0,1")
    (folder / "erm" / "seed-1" / "config.yaml").write_text("")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sweep(folder, "contender=erm", "seed=0,1")
    shown = capsys.readouterr().out
    assert f"{folder / 'erm' / 'seed-1' / 'config.yaml'} cannot be read or is not whole" in shown
    assert "Missing: erm, seed 1: SettingError" in shown or "erm, seed 1: CommandError" in shown
    assert (folder / "comparison.html").exists()


def test_a_folder_of_other_data_is_refused_and_nothing_is_written(tmp_path, capsys):
    folder = tmp_path / "c"
    sweep(folder, "contender=erm", "seed=0")
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        sweep(folder, "contender=sam", "seed=0", "data.split_seed=1")
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "data.split_seed: 0 in erm/seed-0, 1 in sam/seed-0" in shown
    assert "The same command" not in shown
    assert (folder / "comparison.html").read_text(encoding="utf-8") == page


def test_a_contender_that_fails_leaves_the_others_and_the_report(tmp_path, capsys, monkeypatch):
    def fail(*args):
        raise RuntimeError("it is steep")

    monkeypatch.setattr("bayesft.methods.SAM.offsets", fail)
    folder = tmp_path / "c"
    with pytest.raises(SystemExit) as end:
        sweep(folder, "contender=erm,sam", "seed=0", f"hydra.searchpath=[file://{tmp_path}]")
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "Missing: sam, seed 0: RuntimeError: it is steep" in shown
    assert f"train.py -m 'hydra.searchpath=[file://{tmp_path}]' " in shown
    assert f"hydra.sweep.dir={folder}" in shown
    assert "it is steep" in (folder / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("method", "passes"), [("erm", 1), ("sam", 2), ("noise_injection", 1)])
def test_a_run_tells_what_it_cost(tmp_path, method, passes):
    train(composed(tmp_path, *SMALL, f"method={method}"))
    cost = Cost.read(tmp_path)
    assert (cost.epochs, cost.passes, cost.threads) == (2, passes, torch.get_num_threads())
    assert 0 < cost.seconds < 60
    assert cost.device


def test_the_time_of_a_training_that_was_cut_adds_up(tmp_path, monkeypatch):
    settings = (*SMALL, "resume=true", "trainer.max_epochs=4")
    clock = iter(range(0, 100_000, 1000))
    monkeypatch.setattr("bayesft.app.cost.time.monotonic", lambda: float(next(clock)))

    def stop(module):
        if module.current_epoch == 2:
            raise RuntimeError("the power is off")

    with monkeypatch.context() as patch:
        patch.setattr("bayesft.methods.ERM.on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="power"):
            train(composed(tmp_path, *settings))
    assert Cost.read(tmp_path) is None
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    before = state["callbacks"]["TrainingCost"]["seconds"]
    used = next(clock)
    train(composed(tmp_path, *settings))
    cost = Cost.read(tmp_path)
    # What ticked since, and not what was lost between the last checkpoint and the cut.
    assert before > 0
    assert before < cost.seconds <= before + next(clock) - used
    assert (cost.epochs, cost.passes) == (4, 1)
