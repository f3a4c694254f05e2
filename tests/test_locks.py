"""Locks between processes, and where there are none."""

import errno
import multiprocessing

import pytest

from bayesft.bo import Journal
from bayesft.locks import Lock


def _hold(path, held, go):
    with Lock(path):
        held.set()
        go.wait(60)


@pytest.fixture
def holder(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "lock", held, go))
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


def test_it_is_free_as_soon_as_its_holder_is_killed(tmp_path, holder):
    lock = Lock(tmp_path / "lock")
    assert not lock.is_free()
    holder.kill()
    holder.join()
    assert lock.is_free()


def test_who_is_in_may_enter_again(tmp_path):
    lock = Lock(tmp_path / "lock")
    with lock:
        with lock:
            pass
        assert not Lock(tmp_path / "lock").is_free()
    assert Lock(tmp_path / "lock").is_free()


def refusing(number):
    def refuse(*arguments):
        raise OSError(number, "refused")

    return refuse


def test_a_file_system_without_locks_keeps_a_journal_of_one_writer(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", refusing(errno.ENOLCK))
    journal = Journal(tmp_path / "journal.jsonl")
    with journal.lock:
        journal.create({"space": {}, "direction": "maximize", "seed": 0})
    journal.record_ask(0, {"x": 0.5})
    assert journal.record_tell(0, value=1.0).state == "finished"
    assert not Lock(tmp_path / "lock").is_free()


def test_any_other_failure_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", refusing(errno.EIO))
    with pytest.raises(OSError, match="refused"), Lock(tmp_path / "lock"):
        pass
