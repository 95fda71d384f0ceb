"""TensorBoard event files of a history, written without TensorBoard and TensorFlow.

An event file is a TFRecord of protocol buffers `Event`. Of these a scalar needs five fields:

    Event          1 wall_time (double)   2 step (int64)   3 file_version (string)   5 summary (Summary)
    Summary.Value  1 tag (string)         2 simple_value (float)

and a record is framed by its length and two masked CRC-32C (tensorflow/core/util/event.proto, lib/io/record_writer.h).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd

SPLITS = ("training", "validation")
FILE = "events.out.tfevents.0.segscale"
"""One per split. TensorBoard looks for `tfevents` in the name."""
_GROUPS = {
    "loss": r"loss|regularization|head_\d+_(loss|weight)",
    "dice": r"dice_.*",
    "tversky": r"tversky_.*",
    "soft_dice": r"soft_dice_.*|smoothed_dice_.*",
    "time": r"learning_rate|seconds|waiting_seconds",
}
_NO_SCALARS = ("training_id", "dataset", "epoch", "split")
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


def write_event_log(history: pd.DataFrame, folder: Path) -> None:
    """Bring the event files under `folder` (one in `training`, one in `validation`) to what the history holds.

    Every column of numbers becomes a scalar `<group>/<column>` with the epoch as its step; NaN is left out. A file that
    is the beginning of what is to be written is appended to, so that TensorBoard can read along; any other is
    replaced. So there are no doubled steps after a resume.

    Times are the seconds of training so far, since 1970: the same history gives the same bytes, and "relative" time
    in TensorBoard is that of the training.
    """
    timed = history.assign(wall_time=history["seconds"].cumsum())
    for split in SPLITS:
        rows = timed[timed["split"] == split]
        if len(rows):
            _bring_to(folder / split / FILE, b"".join(_records(rows)))


def _bring_to(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.read_bytes() if path.exists() else b""
    if data.startswith(written):
        with path.open("ab") as file:
            file.write(data[len(written) :])
        return
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(data)
    temporary.replace(path)


def _records(rows: pd.DataFrame) -> Iterator[bytes]:
    names = [str(name) for name in rows.select_dtypes("number") if name not in (*_NO_SCALARS, "wall_time")]
    scalars = rows[names].to_numpy(np.float64, na_value=np.nan)
    yield _record(_number(1, 0.0) + _text(3, b"brain.Event:2"))
    for wall_time, epoch, values in zip(rows["wall_time"], rows["epoch"], scalars, strict=True):
        summary = b"".join(_text(1, _value(name, value)) for name, value in zip(names, values, strict=True)
                           if not np.isnan(value))  # fmt: skip
        yield _record(_number(1, float(wall_time)) + _key(2, _VARINT) + _varint(int(epoch)) + _text(5, summary))


def _value(name: str, value: float) -> bytes:
    tag = f"{_group(name)}/{name}".encode()
    with np.errstate(over="ignore"):
        return _text(1, tag) + _key(2, _FLOAT) + np.float32(value).tobytes()


def _group(name: str) -> str:
    """What the scalar is shown under; TensorBoard makes a group of what stands before the slash."""
    return next((group for group, pattern in _GROUPS.items() if re.fullmatch(pattern, name)), "statistics")


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _number(field: int, value: float) -> bytes:
    return _key(field, _DOUBLE) + struct.pack("<d", value)


def _text(field: int, data: bytes) -> bytes:
    """A string, or a message within another."""
    return _key(field, _BYTES) + _varint(len(data)) + data


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Seven bits in each byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
