"""The sweeper over a foreign application: what runs, what is written, what is refused."""

import errno
import json
import math
import pickle
import subprocess
import sys

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException

from bayesft.bo import SurrogateError
from bayesft.bo.optimizer import Optimizer
from hydra_plugins.bayesft_sweeper import _insight, _outcome
from tests.helpers.sweeps import CONFIG, events, results, sweep

X = "x=interval(0,1)"


class Task:
    """A parabola with its top at 0.3 that remembers what it was called with."""

    def __init__(self, result=None):
        self.result = result
        self.seen = []

    def __call__(self, cfg):
        self.seen.append(cfg.x)
        return -((cfg.x - 0.3) ** 2) if self.result is None else self.result(cfg)


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
    settings = [X, "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=10"]
    sweep(tmp_path / "s", Task(lambda cfg: (cfg.x - 0.3) ** 2), *settings)
    found = results(tmp_path / "s")
    assert found["best_value"] == min(e["value"] for e in events(tmp_path / "s", "tell"))
    assert found["best_params"]["x"] == pytest.approx(0.3, abs=0.05)


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: fail(ValueError("too\nlarge")), "ValueError: too large"),
        (lambda: math.nan, "nan"),
        (lambda: None, "None"),
        (lambda: "good", "'good'"),
    ],
)
def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path, bad, reason):
    task = Task(lambda cfg: bad() if len(task.seen) == 2 else cfg.x)
    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_trials=5")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["number"] == 1
    assert reason in failed["reason"]
    found = results(tmp_path / "s")
    assert (found["num_trials"], found["num_failed"]) == (5, 1)
    assert len(task.seen) == 5


class OfTwoArgumentsError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first}, not {second}")


def test_an_exception_that_cannot_be_pickled_takes_no_batch_with_it(tmp_path, monkeypatch):
    def in_other_processes(launch, job_overrides, initial_job_idx):
        jobs = []
        for i, overrides in enumerate(job_overrides):
            jobs += pickle.loads(pickle.dumps(launch([overrides], initial_job_idx + i)))
        return jobs

    def task(cfg):
        return fail(OfTwoArgumentsError("this", "that")) if cfg.x == 0.5 else cfg.x

    wrap_launcher(monkeypatch, in_other_processes)
    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_jobs=4", "hydra.sweeper.n_trials=4")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["reason"] == "OfTwoArgumentsError: this, not that"
    assert len(events(tmp_path / "s", "tell")) == 3


def test_a_failure_is_told_with_its_traceback_in_the_jobs_log(tmp_path):
    def task(cfg):
        if HydraConfig.get().job.num == 1:
            raise ValueError("too deep")
        return cfg.x

    sweep(tmp_path / "s", task, X, "hydra.sweeper.n_trials=4")
    text = (tmp_path / "s" / "1" / "app.log").read_text()
    assert "This trial failed: ValueError: too deep" in text
    assert "Traceback" in text
    assert "in task" in text


def test_a_full_disk_in_a_jobs_folder_costs_no_result(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_outcome.json, "dump", full)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=2")
    assert results(tmp_path / "s")["num_failed"] == 0
    assert len(events(tmp_path / "s", "tell")) == 2
    assert not list((tmp_path / "s" / "0").glob(".outcome*"))


def test_too_many_failures_end_the_search(tmp_path):
    task = Task(lambda cfg: fail(ValueError("always")))
    settings = [X, "hydra.sweeper.n_trials=10", "hydra.sweeper.max_failure_rate=0.25"]
    with pytest.raises(HydraException, match=r"max_failure_rate=0.25.*ValueError: always"):
        sweep(tmp_path / "s", task, *settings)
    assert len(task.seen) == 3
    assert results(tmp_path / "s")["best_value"] is None


def test_the_results_say_which_keys_matter(tmp_path, capsys):
    def task(cfg):
        return math.sin(4 * cfg.x) + 0.01 * cfg.width, 0.01

    settings = ["hydra.sweeper.n_trials=12", "hydra.sweeper.n_initial=4"]
    sweep(tmp_path / "s", task, X, "width=int(interval(1,4))", *settings)
    insight = results(tmp_path / "s")["insight"]
    assert list(insight["dimensions"]) == ["x", "width"]
    x, width = insight["dimensions"].values()
    assert list(x) == ["importance", "interval", "effect", "effect_sd"]
    assert x["interval"][0] < x["importance"] < x["interval"][1]
    assert x["importance"] > 2 * width["importance"]
    assert x["effect"] > 1 > 0.2 > width["effect"]
    assert insight["readable"] is True
    assert insight["verdict"].startswith("can be read")
    fit = insight["left_out"]
    assert fit["trials"] == 12
    assert fit["r2"] > 0.7
    assert fit["rank_correlation"] > fit["rank_correlation_by_chance"] > 0
    assert 0 <= fit["within_95_percent"] <= 1
    assert "effect on the value" in capsys.readouterr().out
    assert (tmp_path / "s" / "insight.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("function", "count", "reason"),
    [
        (lambda cfg: cfg.x, 3, "3 finished trials, at least 8 are needed"),
        (lambda cfg: 0.5, 9, "all 9 finished trials have the same value"),
        (lambda cfg: fail(ValueError("no")) if cfg.x < 0.4 else cfg.x, 9, "at least 8 are needed"),
    ],
)
def test_a_search_that_has_learnt_nothing_says_why(tmp_path, function, count, reason):
    settings = [f"hydra.sweeper.n_trials={count}", "hydra.sweeper.max_failure_rate=1"]
    sweep(tmp_path / "s", Task(function), X, *settings)
    insight = results(tmp_path / "s")["insight"]
    assert insight["readable"] is False
    assert insight["verdict"].startswith("none: ")
    assert reason in insight["verdict"]
    assert not (tmp_path / "s" / "insight.png").exists()


def test_a_figure_that_cannot_be_drawn_does_not_fail_the_search(tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(_insight, "draw_insight", full)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=5", "hydra.sweeper.n_initial=4")
    assert "insight.png could not be drawn: OSError: No space left" in capsys.readouterr().out
    assert results(tmp_path / "s")["insight"]["dimensions"]["x"]["importance"] > 0


@pytest.mark.parametrize("error", [SurrogateError("singular"), RuntimeError("singular")])
def test_a_look_that_fails_does_not_cost_the_results(tmp_path, monkeypatch, error):
    monkeypatch.setattr(Optimizer, "insight", lambda self: fail(error))
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_trials=2")
    found = results(tmp_path / "s")
    assert found["num_trials"] == 2
    assert found["insight"]["verdict"].startswith("none: ")
    assert found["insight"]["verdict"].endswith("singular")


def wrap_launcher(monkeypatch, wrapper):
    """Put `wrapper` between the sweeper and whatever launcher is configured."""
    instantiate = Plugins.instantiate_launcher

    def wrapped(self, **settings):
        launcher = instantiate(self, **settings)
        launch = launcher.launch
        launcher.launch = lambda job_overrides, initial_job_idx: wrapper(
            launch, job_overrides, initial_job_idx
        )
        return launcher

    monkeypatch.setattr(Plugins, "instantiate_launcher", wrapped)


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


def test_a_launcher_that_dies_costs_the_jobs_that_had_not_ended(tmp_path, monkeypatch):
    def dies(launch, job_overrides, initial_job_idx):
        if initial_job_idx == 2:
            launch(job_overrides[:1], initial_job_idx)
            raise RuntimeError("worker was killed")
        return launch(job_overrides, initial_job_idx)

    wrap_launcher(monkeypatch, dies)
    sweep(tmp_path / "s", Task(), X, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=6")
    [failed] = events(tmp_path / "s", "fail")
    assert failed["number"] == 3
    assert "the launcher failed: RuntimeError: worker was killed" in failed["reason"]
    assert sorted(e["number"] for e in events(tmp_path / "s", "tell")) == [0, 1, 2, 4, 5]


def test_ctrl_c_leaves_a_trial_that_is_run_again_at_its_point(tmp_path):
    interrupted = Task(
        lambda cfg: fail(KeyboardInterrupt()) if len(interrupted.seen) == 3 else cfg.x
    )
    with pytest.raises(SystemExit) as stop:
        sweep(tmp_path / "s", interrupted, X, "hydra.sweeper.n_trials=4")
    assert stop.value.code == 130
    again = Task()
    sweep(tmp_path / "s", again, X, "hydra.sweeper.n_trials=4")
    assert again.seen[0] == interrupted.seen[2]
    assert len(again.seen) == 2
    assert [e["job"] for e in events(tmp_path / "s", "ask")] == [0, 1, 2, 3, 4]  # a fresh folder
    assert results(tmp_path / "s")["num_trials"] == 4


def test_an_outcome_that_nobody_collected_counts(tmp_path):
    """Killed between a job's end and the journal: the job is not run again."""
    folder = tmp_path / "s"
    sweep(folder, Task(), X, "hydra.sweeper.n_trials=3")
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:-1]))
    again = Task()
    sweep(folder, again, X, "hydra.sweeper.n_trials=3")
    assert not again.seen
    assert [e["value"] for e in events(folder, "tell")] == [
        json.loads((folder / str(i) / "outcome.json").read_text())["value"] for i in range(3)
    ]


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


def test_storage_elsewhere(tmp_path):
    storage = tmp_path / "elsewhere" / "j.jsonl"
    setting = f"hydra.sweeper.storage='{storage}'"
    sweep(tmp_path / "s", Task(), X, setting, "hydra.sweeper.n_trials=2")
    assert storage.exists()
    assert not (tmp_path / "s" / "journal.jsonl").exists()


def test_job_folders_may_be_named_after_their_overrides(tmp_path):
    subdir = "hydra.sweep.subdir='job-${hydra.job.num}-${hydra.job.override_dirname}'"
    sweep(tmp_path / "s", Task(), X, subdir, "hydra.sweeper.n_trials=3")
    folder = results(tmp_path / "s")["best_folder"]
    assert folder.startswith("job-")
    assert (tmp_path / "s" / folder / "outcome.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["nowhere=interval(0,1)"], "nowhere"),
        ([X, "nowhere=3"], "nowhere"),
        ([X, "hydra.sweeper.n_trials=0"], r"n_trials to be an integer of at least 1, but got 0"),
        ([X, "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs"),
        ([X, "hydra.sweeper.n_initial=0"], "n_initial"),
        ([X, "hydra.sweeper.direction=up"], "direction.*up"),
        ([X, "hydra.sweeper.max_failure_rate=2"], r"max_failure_rate to be in \[0, 1\], but got 2"),
        ([X, "hydra.sweeper.typo=1"], "typo"),
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
