import json
import math
import multiprocessing
import os
import random
import warnings

import pytest

from bayesft.bo.errors import JournalError, JournalWarning
from bayesft.bo.journal import Journal, check_space, write_journal
from bayesft.bo.space import Real, Space
from bayesft.bo.trial import Trial

SPACE = Space({"rate": Real(0, 0.8)})
HEADER = {"space": SPACE.to_json(), "direction": "maximize", "seed": 0}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.create(HEADER)
    return journal


def _fill(journal, count):
    for number in range(count):
        journal.record_ask(number, {"rate": number / 10}, job=number, started=100.0 + number)
        journal.record_tell(number, value=number / 3, stderr=0.01, seconds=0.0)


def test_what_was_recorded_is_replayed(journal):
    assert journal.exists
    asked = [journal.record_ask(number, {"rate": 0.1}, job=5, started=7.5) for number in (2, 0, 1)]
    told = journal.record_tell(
        0, value=0.5, stderr=0.1, seconds=3, folder="0/ö", extra={"sigmas": [0.1, None]}
    )
    failed = journal.record_fail(1, reason="out of\nmemory", seconds=2.0, folder="1")
    header, trials = Journal(journal.path).replay()
    assert header == HEADER
    assert trials == (told, failed, asked[0])
    assert told == Trial(
        0, {"rate": 0.1}, "finished", 0.5, 0.1, None, 7.5, 3.0, 5, "0/ö", {"sigmas": [0.1, None]}
    )
    assert (failed.state, failed.reason, failed.started) == ("failed", "out of\nmemory", 7.5)


def test_started_is_now_if_not_given(journal, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1234.5)
    assert journal.record_ask(0, {"rate": 0.1}).started == 1234.5


def test_floats_come_back_to_the_bit(journal):
    generator = random.Random(0)
    values = [math.ulp(0.0), -0.0, 1e308, 0.1 + 0.2, math.pi]
    values += [generator.uniform(-1, 1) * 10 ** generator.randint(-300, 300) for _ in range(30)]
    for number, value in enumerate(values):
        journal.record_ask(number, {"rate": value})
        journal.record_tell(number, value=value, stderr=abs(value))
    _, trials = journal.replay()
    assert [trial.value.hex() for trial in trials] == [value.hex() for value in values]
    assert [trial.params["rate"].hex() for trial in trials] == [value.hex() for value in values]


def test_a_failed_trial_can_be_asked_again_and_finish(journal):
    journal.record_ask(0, {"rate": 0.1}, job=0, started=1.0)
    journal.record_fail(0, reason="killed")
    again = journal.record_ask(0, {"rate": 0.1}, job=9, started=2.0)
    assert (again.state, again.job, again.started, again.reason) == ("running", 9, 2.0, None)
    journal.record_tell(0, value=1.0)
    assert journal.replay()[1][0].state == "finished"


def test_a_failure_that_can_be_put_right_is_told_from_others(journal):
    for number, repairable in enumerate((True, False, True)):
        journal.record_ask(number, {"rate": 0.1})
        failed = journal.record_fail(number, reason="x", repairable=repairable)
        assert failed.repairable is repairable
    assert [trial.repairable for trial in journal.replay()[1]] == [True, False, True]
    # A result, and another start, leave nothing of it.
    assert not journal.record_tell(0, value=0.5).repairable
    assert not journal.record_ask(2, {"rate": 0.1}).repairable
    assert [trial.repairable for trial in journal.replay()[1]] == [False] * 3


@pytest.mark.parametrize(("act", "message"), [
    (lambda j: j.record_tell(0, value=2.0), "trial 0 is already finished"),
    (lambda j: j.record_fail(0, reason="x"), "trial 0 is already finished"),
    (lambda j: j.record_ask(0, {"rate": 0.0}), "trial 0 is already finished"),
    (lambda j: j.record_tell(7, value=2.0), "trial 7 was never asked"),
    (lambda j: j.record_ask(1, {"rate": 0.2}), "asked before with {'rate': 0.1}, and now with"),
    (lambda j: j.record_ask(1, {"rate": True}), "asked before"),
    (lambda j: j.record_tell(1, value=math.nan), "finite numbers, but got"),
    (lambda j: j.record_tell(1, value=1.0, stderr=-1.0), "`stderr` to be at least 0"),
    (lambda j: j.record_tell(1, value="high"), "Expected a number, but got 'high'"),
    (lambda j: j.record_tell(1, value=1.0, extra={"a": math.inf}), "finite numbers"),
    (lambda j: j.record_tell(1, value=1.0, extra={"a": {1}}), "plain data"),
    (lambda j: j.record_fail(1, reason=""), "`reason`"),
    (lambda j: j.create(HEADER), "there is a file already"),
])  # fmt: skip
def test_what_cannot_happen_is_refused_and_not_written(journal, act, message):
    _fill(journal, 1)
    journal.record_ask(1, {"rate": 0.1})
    before = journal.path.read_bytes()
    with pytest.raises(JournalError, match=message):
        act(journal)
    assert journal.path.read_bytes() == before


def test_a_second_result_in_the_file_is_not_chosen_from_in_silence(journal):
    _fill(journal, 1)
    line = journal.path.read_bytes().splitlines()[-1]
    journal.path.write_bytes(journal.path.read_bytes() + line + b"\n")
    with pytest.raises(JournalError, match="line 4: trial 0 is already finished"):
        journal.replay()


def test_a_last_line_torn_at_any_byte_is_left_out_and_then_replaced(journal):
    _fill(journal, 2)
    whole = journal.path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start + 1, len(whole)):
        journal.path.write_bytes(whole[:end])
        with pytest.warns(JournalWarning, match=f"journal.jsonl: .* its {end - start} bytes"):
            _, trials = journal.replay()
        assert [trial.state for trial in trials] == ["finished", "running"]
        assert journal.path.read_bytes() == whole[:end], "a reader wrote"
        with pytest.warns(JournalWarning):
            journal.record_tell(1, value=1 / 3, stderr=0.01, seconds=0.0)
        assert journal.path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0\0\0\0\n", b'{"event": "te\xff\n', b"12\n", b"\n"])
def test_a_last_line_that_is_no_event_is_left_out(journal, tail):
    _fill(journal, 1)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + tail)
    with pytest.warns(JournalWarning, match=f"its {len(tail)} bytes"):
        assert len(journal.replay()[1]) == 1
    with pytest.warns(JournalWarning):
        journal.record_ask(1, {"rate": 0.1}, started=1.0)
    assert journal.path.read_bytes().startswith(whole + b'{"event": "ask"')


@pytest.mark.parametrize(("line", "message"), [
    ('{"event": "te', "line 3: expected one JSON object.* There stands: {\"event\": \"te"),
    ("[]", "line 3: expected one JSON object"),
    ("", "line 3: expected one JSON object"),
    ('{"event": "tell", "number": 0}', "line 3: expected the field 'value'"),
    ('{"event": "tell", "number": [0], "value": 1}', "line 3"),
    ('{"event": "tell", "number": 0, "value": NaN}', "line 3: .*finite number, but got nan"),
    ('{"event": "stop", "number": 0}', "line 3: expected the event ask, tell or fail.*'stop'"),
    ('{"number": 0}', "line 3: expected the field 'event'"),
    ("x" * 500, "There stands: x{77}\\.\\.\\.\n"),
])  # fmt: skip
def test_a_corrupt_line_in_the_middle_is_named(journal, line, message):
    _fill(journal, 2)
    lines = journal.path.read_text().splitlines()
    lines[2] = line
    journal.path.write_text("\n".join(lines) + "\n")
    for act in (journal.replay, lambda: journal.record_ask(5, {"rate": 0.1})):
        with pytest.raises(JournalError, match=message) as caught:
            act()
        assert "journal.jsonl" in str(caught.value)
        assert "Restore it from a copy, or delete that line" in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "first line is incomplete"),
    (b'{"event": "study"', "first line is incomplete.*Delete the file"),
    (b"no\n", "line 1: expected the study's description"),
    (b'{"event": "ask"}\n', "line 1: expected the study's description"),
    (b'{"event": "study", "version": 2}\n', "version 2, and this BayesFT reads version 1"),
    (b'{"event": "study"}\n', "version None"),
])  # fmt: skip
def test_a_file_that_is_no_journal_of_this_version_is_refused(tmp_path, content, message):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=message):
        Journal(path).replay()


def test_a_path_that_cannot_be_used_is_named(tmp_path):
    missing = Journal(tmp_path / "nowhere" / "journal.jsonl")
    assert not missing.exists
    for act in (
        missing.replay,
        lambda: missing.create(HEADER),
        lambda: missing.record_ask(0, {}),
        Journal(tmp_path).replay,
        lambda: Journal(tmp_path).record_ask(0, {}),
    ):
        with pytest.raises(JournalError, match=str(tmp_path)):
            act()


def _short_write(descriptor, line, write=os.write):
    return write(descriptor, line[: len(line) // 2])


def _full_disk(descriptor, line, write=os.write):
    write(descriptor, line[: len(line) // 2])
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", [_short_write, _full_disk])
def test_a_failed_write_leaves_the_journal_as_it_was(journal, monkeypatch, broken):
    _fill(journal, 1)
    before = journal.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.write", broken)
        with pytest.raises(JournalError, match=r"journal\.jsonl: cannot write the journal"):
            journal.record_ask(1, {"rate": 0.1})
    assert journal.path.read_bytes() == before
    journal.record_ask(1, {"rate": 0.1})
    assert len(journal.replay()[1]) == 2


def test_a_failed_creation_leaves_no_file(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: _full_disk(descriptor, b""))
        with pytest.raises(JournalError, match="No space left"):
            journal.create(HEADER)
    assert not list(tmp_path.iterdir())


def test_every_line_is_one_write_and_synced(journal, monkeypatch):
    calls = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr("os.write", lambda fd, line: calls.append(line) or write(fd, line))
    monkeypatch.setattr("os.fsync", lambda fd: calls.append("fsync") or fsync(fd))
    journal.record_ask(0, {"rate": 0.1})
    assert len(calls) == 2
    assert json.loads(calls[0])["number"] == 0
    assert calls[1] == "fsync"


def _append_many(path, first, count):
    journal = Journal(path)
    with warnings.catch_warnings():
        # A line that looked torn would be cut off: it must never look so.
        warnings.simplefilter("error")
        for number in range(first, first + count):
            journal.record_ask(number, {"rate": 0.1, "padding": "x" * 3000})
            journal.record_tell(number, value=float(number))


def test_several_processes_append_whole_lines(journal):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_append_many, args=(journal.path, 20 * index, 20))
        for index in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    _, trials = journal.replay()
    assert [trial.value for trial in trials] == [float(number) for number in range(80)]


def test_another_space_is_refused_with_the_difference():
    check_space(HEADER["space"], SPACE)
    check_space(SPACE, SPACE)
    with pytest.raises(JournalError) as caught:
        check_space(HEADER["space"], Space({"rate": Real(0, 0.5)}))
    message = str(caught.value)
    assert "rate: interval 0 to 0.5 here, interval 0 to 0.8 in the journal" in message
    assert "new sweep folder" in message
    with pytest.raises(JournalError, match="cannot be read: rate"):
        check_space({"rate": 3}, SPACE)


def test_a_journal_of_version_1_stays_readable(tmp_path):
    # Written out by hand: it must not follow the code that writes.
    (tmp_path / "old.jsonl").write_text(
        '{"event": "study", "version": 1, "space": {"rate": {"type": "real", "low": 0.0, '
        '"high": 0.8, "log": false}}, "direction": "maximize", "seed": 3}\n'
        '{"event": "ask", "number": 0, "params": {"rate": 0.25}, "job": 0, "time": 10.0}\n'
        '{"event": "ask", "number": 1, "params": {"rate": 0.5}, "job": 1, "time": 11.0}\n'
        '{"event": "fail", "number": 1, "reason": "nan", "seconds": 1.5, "folder": "1"}\n'
        '{"event": "tell", "number": 0, "value": 0.75, "stderr": null, "seconds": 2.0, '
        '"folder": "0", "extra": {}}\n'
    )
    header, trials = Journal(tmp_path / "old.jsonl").replay()
    assert Space.from_json(header["space"]).difference(SPACE) == []
    assert header["seed"] == 3
    assert trials == (
        Trial(0, {"rate": 0.25}, "finished", 0.75, None, None, 10.0, 2.0, 0, "0"),
        Trial(1, {"rate": 0.5}, "failed", None, None, "nan", 11.0, 1.5, 1, "1"),
    )


def test_a_journal_written_whole_is_the_one_that_was_written_line_by_line(journal, tmp_path):
    journal.record_ask(0, {"rate": 0.1}, job=3, worker="w", started=1.5, progress=0.25)
    journal.record_tell(0, value=0.5, stderr=0.1, seconds=2.0, folder=".", extra={"a": [1, None]})
    journal.record_ask(1, {"rate": 0.2}, started=2.5, progress=0.5)
    journal.record_fail(1, reason="undone", seconds=1.0, folder=".")
    journal.record_ask(3, {"rate": 0.4}, started=4.5, progress=1.0)
    journal.record_fail(3, reason="no file", repairable=True)
    journal.record_ask(2, {"rate": 0.3}, started=3.5, progress=0.75)
    header, trials = journal.replay()
    other = Journal(tmp_path / "other.jsonl")
    for _ in range(2):
        write_journal(other.path, header, trials)
        assert other.replay() == (header, trials)
    assert [path.name for path in tmp_path.iterdir() if "other" in path.name] == ["other.jsonl"]
    other.record_tell(2, value=1.0)
    write_journal(other.path, header, trials[:1])
    assert other.replay() == (header, trials[:1])


def test_a_journal_that_cannot_be_written_whole_stays_as_it_was(journal, monkeypatch):
    before = journal.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match="cannot write the journal: No space left"):
        write_journal(journal.path, HEADER, [Trial(0, {"rate": 0.1})])
    assert journal.path.read_bytes() == before
    assert [path.name for path in journal.path.parent.iterdir()] == [journal.path.name]
