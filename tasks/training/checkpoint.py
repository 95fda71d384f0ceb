"""Checkpoints: all that a training needs to go on after an epoch as if nothing had happened, in one file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import DataError

Arrays = tuple[NDArray[Any], ...]

_FACTS = "facts.json"
_GROUPS = ("network", "optimizer", "best")


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The epoch with the best per-sample Dice of the validation images."""

    epoch: int
    score: float
    weights: Arrays
    """As `keras.Model.get_weights` gives them."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state after an epoch."""

    training_id: str
    """Of the training that it belongs to: no other can go on from it."""
    epoch: int
    """The last one that is finished."""
    rows: tuple[Mapping[str, Any], ...]
    """The history so far."""
    network: Arrays
    """The values of all variables of the network: weights, moving averages, the states of random numbers."""
    optimizer: Arrays
    """Likewise of the optimizer."""
    best: Best | None
    """None before the first epoch with validation images."""

    def encode(self) -> bytes:
        """The bytes of a file: a zip of .npy arrays and of one JSON text. NaN in rows survives."""
        facts = {
            "training_id": self.training_id,
            "epoch": self.epoch,
            "rows": [dict(row) for row in self.rows],
            "best": None if self.best is None else {"epoch": self.best.epoch, "score": self.best.score},
        }
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_FACTS, json.dumps(facts))
            groups = (self.network, self.optimizer, self.best.weights if self.best else ())
            for name, arrays in zip(_GROUPS, groups, strict=True):
                for place, array in enumerate(arrays):
                    with archive.open(f"{name}/{place:05d}.npy", "w") as file:
                        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        return sink.getvalue()


def decode_checkpoint(data: bytes) -> Checkpoint:
    """The checkpoint in the bytes of a file. Raises ValueError in one sentence for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            facts = json.loads(archive.read(_FACTS))
            network, optimizer, weights = (_arrays(archive, name) for name in _GROUPS)
        best = facts["best"] and Best(**facts["best"], weights=weights)
        return Checkpoint(facts["training_id"], facts["epoch"], tuple(facts["rows"]), network, optimizer, best)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise DataError("is damaged, or no checkpoint of a training") from error


def _arrays(archive: zipfile.ZipFile, group: str) -> Arrays:
    # A zip names its files in the order in which they were written.
    names = [name for name in archive.namelist() if name.startswith(f"{group}/")]
    return tuple(np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False) for name in names)
