"""The sweeper over a foreign application: what runs, what is written, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException

from tests.helpers.sweeps import CONFIG, Task, X, events, results, sweep, wrap_launcher


def test_a_search_finds_the_top_and_writes_everything_down(tmp_path):
    task, folder = Task(), tmp_path / "s"
    returned = sweep(folder, task, X, "hydra.sweeper.n_trials=12", "hydra.sweeper.n_initial=4")
    found = results(folder)
    assert found["name"] == "bayesft"
    assert found["best_params"]["x"] == pytest.approx(0.3, abs=0.02)
    assert found["best_value"] == max(event["value"] for event in events(folder, "tell"))
    assert (found["num_trials"], found["num_failed"], found["best_stderr"]) == (12, 0, None)
    assert task.seen == [event["params"]["x"] for event in events(folder, "ask")]
    assert task.seen[0] == 0.5  # the application's own value is tried first
    assert [job.return_value for batch in returned for job in batch] == [
        event["value"] for event in events(folder, "tell")
    ]
    for number in range(12):
        outcome = json.loads((folder / str(number) / "outcome.json").read_text())
        assert outcome["value"] == events(folder, "tell")[number]["value"]


def test_a_swept_config_group_starts_with_the_choice_of_the_defaults(tmp_path):
    (tmp_path / "conf" / "solver").mkdir(parents=True)
    for name in ("adam", "rprop", "sgd"):
        (tmp_path / "conf" / "solver" / f"{name}.yaml").write_text(f"name: {name}")
    seen = []

    def task(cfg):
        seen.append(cfg.solver.name)
        return 0.0

    searchpath = f"hydra:\n  searchpath: ['file://{tmp_path / 'conf'}']\n"
    config = CONFIG.replace("hydra:\n", searchpath)
    config = config.replace("defaults:", "defaults:\n  - solver: rprop")
    sweep(tmp_path / "s", task, "solver=adam,rprop,sgd", "hydra.sweeper.n_trials=1", config=config)
    assert seen == ["rprop"]


def test_a_sweep_returns_its_jobs_and_saves_its_config(tmp_path):
    batches = sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=3", "act=elu")
    jobs = [job for batch in batches for job in batch]
    assert [job.return_value for job in jobs] == [
        e["value"] for e in events(tmp_path / "s", "tell")
    ]
    assert all(job.cfg.act == "elu" for job in jobs)
    saved = yaml.safe_load((tmp_path / "s" / "multirun.yaml").read_text())
    assert saved["hydra"]["sweeper"]["n_trials"] == 3


def test_only_the_missing_trials_run(tmp_path):
    first, second, third = Task(), Task(), Task()
    sweep(tmp_path / "s", first, X, "hydra.sweeper.n_trials=3")
    sweep(tmp_path / "s", second, X, "hydra.sweeper.n_trials=5")
    assert (len(first.seen), len(second.seen)) == (3, 2)
    before = (tmp_path / "s" / "journal.jsonl").read_bytes()
    sweep(tmp_path / "s", third, X, "hydra.sweeper.n_trials=5")
    assert not third.seen
    assert (tmp_path / "s" / "journal.jsonl").read_bytes() == before
    assert [e["job"] for e in events(tmp_path / "s", "ask")] == [0, 1, 2, 3, 4]


def test_a_search_in_pieces_asks_what_one_search_asks(tmp_path):
    settings = [X, "act=relu,elu", "hydra.sweeper.n_initial=3"]
    sweep(tmp_path / "whole", Task(), *settings, "hydra.sweeper.n_trials=6")
    for trials in (2, 4, 6):
        sweep(tmp_path / "pieces", Task(), *settings, f"hydra.sweeper.n_trials={trials}")
    asked = [[e["params"] for e in events(tmp_path / f, "ask")] for f in ("whole", "pieces")]
    assert asked[0] == asked[1]


def test_the_seed_is_the_searchs(tmp_path):
    for seed in (0, 1):
        sweep(
            tmp_path / str(seed),
            Task(),
            X,
            "hydra.sweeper.n_trials=3",
            f"hydra.sweeper.seed={seed}",
        )
    asked = [[e["params"] for e in events(tmp_path / s, "ask")] for s in ("0", "1")]
    assert asked[0][0] == asked[1][0]
    assert asked[0][1:] != asked[1][1:]


def test_types_and_fixed_overrides_reach_the_task(tmp_path):
    seen = []

    def task(cfg):
        seen.append(dict(cfg))
        return cfg.x

    sweep(
        tmp_path / "s",
        task,
        X,
        "width=int(interval(1,9))",
        "act=relu,elu",
        "label='a, b'",
        "+extra=[1,null]",
        "~rates",
        "hydra.sweeper.n_trials=4",
    )
    for cfg in seen:
        assert type(cfg["width"]) is int
        assert 1 <= cfg["width"] <= 9
        assert cfg["act"] in ("relu", "elu")
        assert (cfg["label"], cfg["extra"]) == ("a, b", [1, None])
        assert "rates" not in cfg
    assert seen[0]["width"] == 4
    assert type(results(tmp_path / "s")["best_params"]["width"]) is int


PARAMS = "{x: 'interval(0,1)', width: 'range(1,4)', act: 'relu,elu'}"


def test_params_of_a_config_file_are_swept_and_the_command_line_wins(tmp_path):
    task, config = Task(), CONFIG + f"  sweeper: {{params: {PARAMS}}}\n"
    sweep(tmp_path / "s", task, "x=0.25", "hydra.sweeper.n_trials=3", config=config)
    assert task.seen == [0.25] * 3
    assert set(events(tmp_path / "s", "study")[0]["space"]) == {"width", "act"}


def test_params_of_the_command_line(tmp_path):
    params = "+hydra.sweeper.params={x:'interval(0,1)',width:'range(1,4)'}"
    sweep(tmp_path / "s", Task(), params, "hydra.sweeper.n_trials=3")
    assert set(events(tmp_path / "s", "study")[0]["space"]) == {"x", "width"}


def test_a_mean_with_its_error(tmp_path):
    sweep(tmp_path / "s", Task(lambda cfg: (cfg.x, 0.125)), X, "hydra.sweeper.n_trials=2")
    assert [e["stderr"] for e in events(tmp_path / "s", "tell")] == [0.125, 0.125]
    assert results(tmp_path / "s")["best_stderr"] == 0.125


def test_minimize(tmp_path):
    settings = [X, "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=7"]
    sweep(tmp_path / "s", Task(lambda cfg: (cfg.x - 0.3) ** 2), *settings)
    found = results(tmp_path / "s")
    assert found["best_value"] == min(e["value"] for e in events(tmp_path / "s", "tell"))
    assert found["best_params"]["x"] == pytest.approx(0.3, abs=0.05)


def test_batches_of_n_jobs(tmp_path, monkeypatch):
    sizes = []

    def counted(launch, job_overrides, initial_job_idx):
        sizes.append((len(job_overrides), initial_job_idx))
        return launch(job_overrides, initial_job_idx)

    wrap_launcher(monkeypatch, counted)
    settings = [
        X,
        "hydra.sweeper.n_jobs=3",
        "hydra.sweeper.n_trials=7",
        "hydra.sweeper.n_initial=3",
    ]
    sweep(tmp_path / "s", Task(), *settings)
    assert sizes == [(3, 0), (3, 3), (1, 6)]
    points = [e["params"]["x"] for e in events(tmp_path / "s", "ask")]
    assert len(set(points)) == 7


def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path):
    folder = tmp_path / "s"
    sweep(folder, Task(), X, "hydra.sweeper.n_trials=3")
    with open(folder / "journal.jsonl", "a") as journal:
        journal.write('{"event": "ask", "num')
    again = Task()
    with pytest.warns(UserWarning, match="journal"):
        sweep(folder, again, X, "hydra.sweeper.n_trials=4")
    assert len(again.seen) == 1
    assert len(events(folder, "tell")) == 4


def test_a_damaged_line_in_the_middle_is_refused_and_left(tmp_path):
    folder = tmp_path / "s"
    sweep(folder, Task(), X, "hydra.sweeper.n_trials=3")
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    lines[2] = lines[2][:20] + "\n"
    (folder / "journal.jsonl").write_text("".join(lines))
    before, again = (folder / "journal.jsonl").read_bytes(), Task()
    with pytest.raises(HydraException, match=r"journal.jsonl.*line 3"):
        sweep(folder, again, X, "hydra.sweeper.n_trials=4")
    assert not again.seen
    assert (folder / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["x=interval(0,2)"], r"interval|space|x"),
        ([X, "width=range(1,5)"], "width"),
        ([X, "hydra.sweeper.direction=minimize"], r"direction is minimize.*begun with maximize"),
    ],
)
def test_another_searchs_journal_is_refused_and_left(tmp_path, overrides, message):
    folder = tmp_path / "s"
    sweep(folder, Task(), X, "hydra.sweeper.n_trials=2")
    before, again = (folder / "journal.jsonl").read_bytes(), Task()
    with pytest.raises(HydraException, match=message):
        sweep(folder, again, *overrides, "hydra.sweeper.n_trials=4")
    assert not again.seen
    assert (folder / "journal.jsonl").read_bytes() == before


def test_another_seed_is_said_and_leaves_what_was_tried(tmp_path, capsys):
    for seed, n_trials in ((1, 2), (2, 3)):
        sweep(tmp_path, Task(), X, f"hydra.sweeper.seed={seed}",
              f"hydra.sweeper.n_trials={n_trials}")  # fmt: skip
    assert "hydra.sweeper.seed=2, but the journal" in capsys.readouterr().out
    assert results(tmp_path)["num_trials"] == 3


def test_other_fixed_overrides_are_said(tmp_path, capsys):
    sweep(tmp_path, Task(), X, "width=2", "hydra.sweeper.n_trials=2")
    sweep(tmp_path, Task(), X, "width=2", "hydra.sweeper.n_trials=3")
    assert "was begun with" not in capsys.readouterr().out
    sweep(tmp_path, Task(), X, "hydra.sweeper.n_trials=4")
    out = capsys.readouterr().out
    assert "This run has no overrides but those that are swept; the journal" in out
    assert "was begun with width=2" in out


def test_storage_elsewhere(tmp_path):
    storage = tmp_path / "elsewhere" / "j.jsonl"
    setting = f"hydra.sweeper.storage='{storage}'"
    sweep(tmp_path / "s", Task(), X, setting, "hydra.sweeper.n_trials=2")
    assert storage.exists()
    assert not (tmp_path / "s" / "journal.jsonl").exists()
    # A run in another folder goes on, and names each trial's own.
    sweep(tmp_path / "t", Task(), X, setting, "hydra.sweeper.n_trials=4")
    told = [json.loads(line) for line in storage.read_text().splitlines()]
    folders = [Path(event["folder"]) for event in told if event["event"] == "tell"]
    assert [folder.parent.name for folder in folders] == ["s", "s", "t", "t"]
    for name in ("best_folder", "first_folder"):
        assert (tmp_path / "t" / results(tmp_path / "t")[name] / "outcome.json").exists()


def test_job_folders_may_be_named_after_their_overrides(tmp_path):
    subdir = "hydra.sweep.subdir='job-${hydra.job.num}-${hydra.job.override_dirname}'"
    sweep(tmp_path / "s", Task(), X, subdir, "hydra.sweeper.n_trials=3")
    folder = results(tmp_path / "s")["best_folder"]
    assert folder.startswith("job-")
    assert (tmp_path / "s" / folder / "outcome.json").exists()


@pytest.mark.parametrize(
    ("n_trials", "first"), [(5, 2), pytest.param(17, 5, marks=pytest.mark.slow)]
)
def test_short_searches_ask_the_gaussian_process_too(tmp_path, n_trials, first):
    """What they ask differs from a search of Sobol points alone from the first such trial on."""
    asked = []
    for name, n_initial in (("half", "null"), ("none", n_trials)):
        settings = [f"hydra.sweeper.n_trials={n_trials}", f"hydra.sweeper.n_initial={n_initial}"]
        sweep(tmp_path / name, Task(), X, "act=relu,elu", *settings)
        asked.append([event["params"] for event in events(tmp_path / name, "ask")])
    same = [ours == theirs for ours, theirs in zip(*asked, strict=False)]
    assert same[:first] == [True] * first
    assert not same[first]


@pytest.mark.slow
def test_a_longer_run_asks_the_gaussian_process_from_the_same_trial_on(tmp_path):
    """So do processes that share a study: what it began with stands in the journal."""
    for folder, others in (("kept", []), ("said", ["hydra.sweeper.n_initial=5"])):
        for n_trials in (4, 6):
            settings = [f"hydra.sweeper.n_trials={n_trials}", *others]
            sweep(tmp_path / folder, Task(), X, "act=relu,elu", *settings)
    sweep(tmp_path / "two", Task(), X, "act=relu,elu", "hydra.sweeper.n_trials=6",
          "hydra.sweeper.n_initial=2")  # fmt: skip
    asked = {
        folder: [event["params"] for event in events(tmp_path / folder, "ask")]
        for folder in ("kept", "said", "two")
    }
    assert asked["kept"] == asked["two"]
    assert asked["said"] != asked["two"]


def test_a_search_that_never_asks_the_gaussian_process_says_so(tmp_path, capsys):
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_initial=3")
    assert (
        "n_trials=3: the first 3 are spread over the space (hydra.sweeper.n_initial)"
        in capsys.readouterr().out
    )
    sweep(tmp_path / "j", Task(), X, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=3")
    assert "hydra.sweeper.n_jobs=3 begins all before one has ended" in capsys.readouterr().out
    # What goes on has trials to learn from, and what is done asks for none.
    for n_trials in (4, 5, 5):
        sweep(tmp_path / "on", Task(), X, f"hydra.sweeper.n_trials={n_trials}",
              f"hydra.sweeper.n_jobs={1 if n_trials == 4 else 5}")  # fmt: skip
        assert "spread over the space" not in capsys.readouterr().out
    # Two trials leave nothing to choose.
    sweep(tmp_path / "t", Task(), X, "hydra.sweeper.n_trials=2")
    assert "spread over the space" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["nowhere=interval(0,1)"], "nowhere"),
        ([X, "nowhere=3"], "nowhere"),
        ([X, "hydra.sweeper.n_trials=0"], r"n_trials to be an integer of at least 1, but got 0"),
        ([X, "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs"),
        ([X, "hydra.sweeper.n_initial=0"], "n_initial"),
        ([X, "hydra.sweeper.direction=up"], r"hydra\.sweeper\.direction to be max.*got 'up'"),
        ([X, "hydra.sweeper.max_failure_rate=2"], r"max_failure_rate to be in \[0, 1\], but got 2"),
        ([X, "hydra.sweeper.typo=1"], "typo"),
        ([X, "+hydra.sweeper.typo=1"], "Expected under hydra.sweeper .*n_trials.*, but got typo"),
        ([X, "hydra.sweeper.warm_start=true"], "hydra.sweeper.warm_start gives each job"),
        (["x=interval(0"], "interval"),
        (["x=interval(1,0)"], "x"),
        (["x=tag(log,interval(0,1))"], "log"),
        ([], "something to choose, but got no dimension"),
    ],
)
def test_what_cannot_run_is_told_before_anything_does(tmp_path, overrides, message):
    task = Task()
    with pytest.raises(HydraException, match=message):
        sweep(tmp_path / "s", task, *overrides)
    assert not task.seen


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    task = Task()
    with pytest.raises(HydraException, match=r"cannot be written to.*hydra.sweep.dir"):
        sweep(tmp_path / "file" / "s", task, X)
    assert not task.seen


def test_hydra_imports_the_shell_without_the_weight():
    code = """
import sys, hydra_plugins.bayesft_sweeper.sweeper
sys.exit(", ".join({"torch", "gpytorch", "botorch", "bayesft"} & set(sys.modules)) or None)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
