"""Who counts as alive, on this machine and on others."""

import multiprocessing
import os
import time

import pytest

from bayesft.bo.worker import Worker


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def _work(path, names, ready):
    worker = Worker(path, heartbeat=60)
    with worker:
        names.put(worker.name)
        ready.wait(60)


@pytest.fixture
def other(path):
    """A process that works on the same journal, and its name."""
    context = multiprocessing.get_context("spawn")
    names, ready = context.Queue(), context.Event()
    process = context.Process(target=_work, args=(path, names, ready))
    process.start()
    yield process, names.get(timeout=60), ready
    process.kill()
    process.join()


def test_a_process_is_alive_until_it_leaves(path, other):
    process, name, ready = other
    with Worker(path, heartbeat=60) as worker:
        assert worker.is_alive(worker.name)
        assert worker.is_alive(name)
        ready.set()
        process.join(60)
        assert not worker.is_alive(name)
    assert not list(path.parent.iterdir())


def test_a_killed_process_of_this_machine_is_dead_at_once(path, other):
    process, name, _ = other
    with Worker(path, heartbeat=60) as worker:
        process.kill()
        process.join(60)
        assert not worker.is_alive(name)
        worker.bury()
        assert worker.is_alive(worker.name)
    assert not list(path.parent.iterdir())


def test_of_another_machine_the_file_tells(path):
    beat = path.with_name("journal.jsonl.elsewhere-1-0a1b2c3d.beat")
    beat.touch()
    with Worker(path, heartbeat=60) as worker:
        assert worker.is_alive("elsewhere-1-0a1b2c3d")
        before = time.time() - 61
        os.utime(beat, (before, before))
        assert not worker.is_alive("elsewhere-1-0a1b2c3d")


def test_a_process_that_hangs_is_dead_after_the_heartbeat(path, other):
    _, name, _ = other
    with Worker(path, heartbeat=60) as worker:
        before = time.time() - 61
        os.utime(path.with_name(f"journal.jsonl.{name}.beat"), (before, before))
        assert not worker.is_alive(name)


def test_a_process_gives_signs_of_life(path):
    with Worker(path, heartbeat=0.3) as worker:
        [beat] = path.parent.glob("*.beat")
        first = beat.stat().st_mtime_ns
        deadline = time.monotonic() + 20
        while beat.stat().st_mtime_ns == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert worker.is_alive(worker.name)


def test_taken_for_dead_it_comes_back_under_another_name(path):
    with Worker(path, heartbeat=60) as worker:
        name = worker.name
        worker.renew()
        assert worker.name == name
        with Worker(path, heartbeat=60) as other:
            before = time.time() - 61
            os.utime(path.with_name(f"journal.jsonl.{name}.beat"), (before, before))
            other.bury()
        worker.renew()
        assert worker.name != name
        assert worker.is_alive(worker.name)
    assert not list(path.parent.iterdir())
