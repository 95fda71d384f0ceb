"""Training histories as files: those of `segscale train`, and those that Keras and others write."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segscale.errors import HistoryError
from segscale.storage import tables
from segscale.storage.objects import ObjectStore
from segscale.tasks.training.diagnosis.course import TrainingFacts

HISTORY = "history.parquet"
KIND, SCHEMA_VERSION = "training-history", "1"
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".keras", ".log")
VALIDATION = "val_"
LEARNING_RATE = ("lr", "learning_rate")
PARQUET_MAGIC = b"PAR1"
ROUNDING = 1e-4
"""What float32 sums of heads may exceed the loss by."""


def is_history(path: str) -> bool:
    """Whether this is, by its name or by what lies there, a training history and not a report."""
    if PurePath(path).suffix in SUFFIXES or Path(path).is_file():
        return True
    folder = ObjectStore(path)
    return folder.exists(HISTORY) and not folder.exists("run.json")


def read_history(path: str) -> tuple[pd.DataFrame, TrainingFacts]:
    """A row per epoch and split in the columns of history.parquet, as far as they are known, and what was set.

    `path` is a folder with a history.parquet, such a file, the CSV of `keras.callbacks.CSVLogger`, or JSON: the dict of
    lists that is `History.history`, a list of dicts, or a dict per line. docs/compare-and-diagnose.md says how columns
    of others are taken. Raises HistoryError, a ConfigError, for anything else.
    """
    if PurePath(path).suffix == ".keras":
        raise HistoryError(
            f"{path}: a model has no history; of segscale train it lies in {path.removesuffix('.keras')}.training"
        )
    found = f"{path.rstrip('/')}/{HISTORY}" if PurePath(path).suffix not in SUFFIXES and _is_folder(path) else path
    data = _read(found)
    try:
        return _own(data) if data[:4] == PARQUET_MAGIC else _of_others(data)
    except HistoryError as error:
        raise HistoryError(f"{found} {' '.join(str(error).split())}") from None


def _is_folder(path: str) -> bool:
    return not Path(path).is_file()


def _read(path: str) -> bytes:
    folder, _, name = path.rpartition("/")
    try:
        data = ObjectStore(folder or ("/" if path.startswith("/") else ".")).read(name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise HistoryError(f"{path}: expected a training history, found none") from None
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror or error}") from None
    if not data.strip():
        raise HistoryError(f"{path} is empty: expected a training history")
    return data


def _own(data: bytes) -> tuple[pd.DataFrame, TrainingFacts]:
    try:
        kind, version, settings = (tables.note(data, key) for key in ("kind", "schema_version", "settings"))
        frame = tables.decode_frame(data)
    except (pa.ArrowException, OSError, ValueError):
        raise HistoryError("is damaged: expected Parquet") from None
    if kind != KIND:
        raise HistoryError(f"is no training history: expected a Parquet file of the kind {KIND}, got {kind}")
    if version != SCHEMA_VERSION:
        raise HistoryError(f"has schema version {version}, this Segscale reads {SCHEMA_VERSION}: update it")
    missing = sorted({"epoch", "split", "loss"} - set(frame))
    if missing or frame.empty:
        raise HistoryError(f"holds no epochs: columns {missing} are missing" if missing else "holds no epochs")
    return frame, _facts(settings)


def _facts(settings: str | None) -> TrainingFacts:
    """What the settings in the metadata say that a diagnosis can use; the others it does not know are left out."""
    try:
        given = dict(json.loads(settings or "{}"))
        names = {field.name for field in fields(TrainingFacts)} & set(given)
        # JSON has lists where the record has tuples.
        known: dict[str, Any] = {
            name: tuple(given[name]) if isinstance(given[name], list) else given[name] for name in names
        }
        return TrainingFacts(**known)
    except (ValueError, TypeError):
        raise HistoryError("is damaged: expected the settings of a training in its metadata") from None


def _of_others(data: bytes) -> tuple[pd.DataFrame, TrainingFacts]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HistoryError("is no training history: expected Parquet, CSV or JSON, got other bytes") from None
    table = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text)
    numbers = _numbers(table)
    if "loss" not in numbers or numbers.empty:
        raise HistoryError(f"is no training history: expected a column loss, got {_shown(table.columns)}")
    if {"epoch", "split"} <= set(table):
        return numbers.assign(split=table["split"], epoch=numbers["epoch"].astype(np.int64)), TrainingFacts()
    heads = _heads(numbers)
    names = {f"{head}_loss": f"head_{place}_loss" for place, head in enumerate(heads, 1)}
    splits = [_parts(_split(numbers, split).rename(columns=names), len(heads)) for split in ("training", "validation")]
    frame = pd.concat([rows for rows in splits if len(rows)])
    order = frame["split"].map({"training": 0, "validation": 1})
    frame = frame.assign(_order=order).sort_values(["epoch", "_order"], kind="stable").drop(columns="_order")
    return frame.reset_index(drop=True), TrainingFacts(head_names=tuple(heads) or None)


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of numbers, float64; a loss that is NaN from the first epoch is one."""
    found = {str(name): pd.to_numeric(table[name], errors="coerce") for name in table}
    kept = {
        name: column for name, column in found.items()
        if column.notna().any() or pd.api.types.is_numeric_dtype(table[name])
    }  # fmt: skip
    return pd.DataFrame(kept, index=table.index).astype(np.float64)


def _from_csv(text: str) -> pd.DataFrame:
    header = text.lstrip().splitlines()[0]
    separator = max(",;\t", key=header.count)
    try:
        # Python's parser names the line that has too many fields.
        return pd.read_csv(io.StringIO(text), sep=separator, skipinitialspace=True, engine="python")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise HistoryError(f"is damaged: expected CSV; {error}") from None


def _from_json(text: str) -> pd.DataFrame:
    """A dict of lists, a list of dicts, or a dict per line."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise HistoryError(f"is damaged: expected JSON; {error}") from None
    if isinstance(found, dict) and isinstance(found.get("history"), dict):
        found = found["history"]
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        return pd.DataFrame(found)
    if isinstance(found, dict) and any(isinstance(values, list) for values in found.values()):
        return _from_lists({str(name): values for name, values in found.items() if isinstance(values, list)})
    if isinstance(found, dict):
        return pd.DataFrame([found])
    raise HistoryError("is no training history: expected a list for each column, or a row for each epoch")


def _from_lists(lists: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Shorter lists are of every k-th epoch, as `fit(validation_freq=k)` leaves them."""
    n_epochs = max(len(values) for values in lists.values())
    columns = {}
    for name, values in lists.items():
        every = n_epochs // len(values) if values else 0
        if every and n_epochs // every != len(values):
            raise HistoryError(f"is damaged: {name} has {len(values)} values for {n_epochs} epochs")
        column: list[Any] = [None] * n_epochs
        if every:
            column[every - 1 :: every] = values
        columns[name] = column
    return pd.DataFrame(columns)


def _heads(numbers: pd.DataFrame) -> list[str]:
    """The outputs of a network of several: `<output>_loss`, in order. One such column is a metric like any other."""
    found = [re.fullmatch(r"(?!val_)(.+)_loss", str(name)) for name in numbers]
    heads = [one[1] for one in found if one]
    return heads if len(heads) > 1 else []


def _split(numbers: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split under the names without `val_`; the learning rate is that of training."""
    is_validation = split == "validation"
    names = {
        str(name): str(name).removeprefix(VALIDATION)
        for name in numbers
        if str(name).startswith(VALIDATION) == is_validation and name != "epoch"
    }
    rate = next((name for name in LEARNING_RATE if name in names), None)
    rows = numbers[list(names)].rename(columns={**names, **({rate: "learning_rate"} if rate else {})})
    if "loss" not in rows:
        rows["loss"] = math.nan
    rows.insert(0, "epoch", _epochs(numbers))
    rows.insert(1, "split", split)
    # Rows without a value are epochs that were not validated.
    return rows[rows.drop(columns=["epoch", "split"]).notna().any(axis="columns")] if is_validation else rows


def _epochs(numbers: pd.DataFrame) -> pd.Series[int]:
    """Epochs from 1. Keras counts from 0; a file that several trainings were appended to is counted through."""
    counted = pd.Series(np.arange(1, len(numbers) + 1), index=numbers.index)
    if "epoch" not in numbers:
        return counted
    given = numbers["epoch"]
    if given.isna().any() or (given.diff().dropna() <= 0).any() or given.iloc[0] < 0:
        return counted
    return (given + (1 if given.iloc[0] == 0 else 0)).astype(np.int64)


def _parts(rows: pd.DataFrame, n_heads: int) -> pd.DataFrame:
    """Of several heads, what the loss is above their sum is regularization.

    Only if their weights are 1, as they are unless given: a sum above the loss says that they are not.
    """
    losses = [f"head_{place}_loss" for place in range(1, n_heads + 1)]
    if not losses or not set(losses) <= set(rows):
        return rows
    left = rows["loss"] - rows[losses].sum(axis="columns")
    if (left < -ROUNDING * rows["loss"].abs().clip(lower=1)).any():
        return rows
    weights = {f"head_{place}_weight": 1.0 for place in range(1, n_heads + 1)}
    return rows.assign(regularization=left.clip(lower=0), **weights)


def _shown(columns: pd.Index[Any]) -> str:
    names = [str(name)[:30] for name in columns[:6]]
    return ", ".join(names) + (", ..." if len(columns) > len(names) else "")
