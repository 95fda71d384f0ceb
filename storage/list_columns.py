"""List columns: those of a large table whose values are lists, kept as they were read until they are written.

In a data frame each list is an object of a hundred bytes and its values, and to lay all of them in another order takes
them twice. Here they stay in the pieces in which they came, and are laid in order for some rows at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

_OF_PANDAS = b"pandas"
"""Under which Arrow's schemas tell of the data frame that a table was."""


@dataclass(frozen=True, slots=True, eq=False)
class ListColumns:
    """The lists of each row of a table."""

    schema: pa.Schema
    """Their names, and the types that are written."""
    pieces: Sequence[pa.RecordBatch]
    """These columns, of types that can be cast to those."""
    rows: NDArray[np.int64]
    """(n,): of each row of the table which row of all pieces it is; -1 for one that has nulls."""

    def at(self, rows: NDArray[np.int64]) -> ListColumns:
        """Of a table whose rows are these of this one; -1 for those that have nulls."""
        found, known = np.full(rows.shape, -1, np.int64), rows >= 0
        found[known] = self.rows[rows[known]]
        return ListColumns(self.schema, self.pieces, found)

    def columns(self, first: int, n_rows: int) -> list[pa.ChunkedArray]:
        """Those of some rows of the table."""
        rows = self.rows[first : first + n_rows]
        known = np.flatnonzero(rows >= 0)
        if self._is_null() or not known.size:
            return [pa.chunked_array([pa.nulls(len(rows), field.type)]) for field in self._written()]
        order = known[np.argsort(rows[known], kind="stable")]
        starts = np.cumsum([0, *(len(piece) for piece in self.pieces)])
        cuts = np.searchsorted(rows[order], starts)
        parts = [
            (piece, pa.array(rows[order[low:high]] - start))
            for piece, start, low, high in zip(self.pieces, starts, cuts, cuts[1:], strict=False)
            if low < high
        ]
        places = np.zeros(len(rows), np.int64)
        places[order] = np.arange(len(order))
        back = pa.array(places, mask=rows < 0)
        return [
            pa.chunked_array([pa.concat_arrays([piece.column(field.name).take(chosen) for piece, chosen in parts])])
            .take(back)
            .cast(field.type)
            for field in self.schema
        ]

    def added_to(self, schema: pa.Schema) -> pa.Schema:
        """The schema of a table with these as its last columns, in which pandas finds objects."""
        metadata = dict(schema.metadata or {})
        told = json.loads(metadata[_OF_PANDAS])
        for field in self._written():
            value = None if pa.types.is_null(field.type) else np.zeros(1, field.type.value_type.to_pandas_dtype())
            one = pa.Table.from_pandas(pd.DataFrame({field.name: [value]}), preserve_index=False)
            told["columns"] += json.loads(one.schema.metadata[_OF_PANDAS])["columns"]
        metadata[_OF_PANDAS] = json.dumps(told).encode()
        return pa.schema([*schema, *self._written()], metadata=metadata)

    def _written(self) -> pa.Schema:
        """A column of nulls alone has no type in a data frame."""
        return pa.schema([pa.field(name, pa.null()) for name in self.schema.names]) if self._is_null() else self.schema

    def _is_null(self) -> bool:
        known = np.concatenate(
            [np.zeros(0, bool), *(piece.column(0).is_valid().to_numpy(False) for piece in self.pieces)]
        )
        return not known[self.rows[self.rows >= 0]].any()
