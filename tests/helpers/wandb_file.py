"""Reading what W&B wrote offline: protobuf records in LevelDB's log format."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_FILE_HEADER = 7
_BLOCK = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_FULL, _LAST = 1, 4
_PATIENCE_SECONDS = 30.0


def read_run(path: Path) -> tuple[Any, dict[str, str], dict[str, str]]:
    """Return an ended run's record, its config and its last history values, as JSON by key."""
    records = _complete(path)
    run = next(each.run for each in records if each.WhichOneof("record_type") == "run")
    config = _by_key(u for each in records for u in [*each.run.config.update, *each.config.update])
    return run, config, _by_key(item for each in records for item in each.history.item)


def _complete(path: Path) -> list[Any]:
    """Wait for the record of the run's end: W&B's own process may write after `finish()`."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        records = list(read_records(path))
        if any(each.WhichOneof("record_type") == "exit" for each in records):
            return records
        time.sleep(0.05)
    raise AssertionError(f"no record of the run's end in {path} for {_PATIENCE_SECONDS:g} s")


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records that are wholly written."""
    content = path.read_bytes()
    position, parts = _FILE_HEADER, []
    while position < len(content):
        left = _BLOCK - position % _BLOCK
        if left < _CHUNK.size:
            position += left
            continue
        if position + _CHUNK.size > len(content):
            return
        _, length, kind = _CHUNK.unpack_from(content, position)
        position += _CHUNK.size
        if position + length > len(content):
            return
        parts.append(content[position : position + length])
        position += length
        if kind in (_FULL, _LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def _by_key(items: Any) -> dict[str, str]:
    return {item.key or "/".join(item.nested_key): item.value_json for item in items}
