"""What is kept beside the rows of a shard: read as it was written, and refused where it is something else."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import pytest

from segscale.errors import DamagedStoreError
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.shards import commit_shard
from segscale.storage.side_parts import LESIONS, SLICES, SURFACES, SidePart
from segscale.storage.store_paths import judge

VALUES = {pa.string(): "a", pa.int16(): 7, pa.int32(): 3, pa.int64(): 2**40, pa.float64(): 0.25, pa.bool_(): True}


def _row(part: SidePart) -> dict[str, Any]:
    return {
        field.name: [VALUES[field.type.value_type]] if pa.types.is_list(field.type) else VALUES[field.type]
        for field in part.schema
    }


def _committed(part: SidePart, data: bytes) -> tuple[ObjectStore, Entry]:
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    return store, commit_shard(store, "score", "ab" * 32, arrays={}, rows=b"", facts={}, beside={part.name: data})


@pytest.mark.parametrize("part", [SLICES, SURFACES, LESIONS], ids=lambda part: part.what)
def test_rows_are_read_as_they_were_written(part: SidePart) -> None:
    rows = [_row(part), _row(part)]
    data = part.encode(rows)
    assert data == part.encode(rows), "equal rows, equal bytes"
    assert part.read(*_committed(part, data)).to_pylist() == rows
    assert part.read(*_committed(part, part.encode([]))).num_rows == 0


@pytest.mark.parametrize("part", [SLICES, SURFACES, LESIONS], ids=lambda part: part.what)
def test_it_belongs_to_its_shard(part: SidePart) -> None:
    _, entry = _committed(part, b"")
    path = judge(f"{entry.path}/{part.name}")
    assert (path.kind, path.attempt) == ("attempt", entry.path), "verify would call it foreign, and clean leave it"


def test_what_is_not_known_is_null_where_it_may_be() -> None:
    named = {"image_id": "a", "head": "", "class_index": 1, "distance_unit": "px", "worst_distance": 2.0}
    (row,) = SURFACES.read(*_committed(SURFACES, SURFACES.encode([named]))).to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == named


def test_another_table_is_refused_by_its_columns() -> None:
    store, entry = _committed(LESIONS, SLICES.encode([]))
    with pytest.raises(DamagedStoreError, match=r"lesions score/abababababab: expected the columns \['image_id'"):
        LESIONS.read(store, entry)
