"""Parquet files: data frames to bytes and back, the same bytes for the same rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 16


def encode_table(
    table: pa.Table,
    *,
    metadata: Mapping[str, str] | None = None,
    byte_stream_split: Sequence[str] = (),
    page_checksums: bool = False,
) -> bytes:
    """A Parquet file of an Arrow table.

    `metadata` is added to the schema's own. `byte_stream_split` names integer columns that compress better when the
    bytes of their numbers are laid apart. `page_checksums` lets a reader of few columns notice a flipped bit in
    them without reading the whole file.
    """
    if metadata:
        known = table.schema.metadata or {}
        table = table.replace_schema_metadata(
            {**known, **{key.encode(): value.encode() for key, value in metadata.items()}}
        )
    split = set(byte_stream_split)
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[name for name in table.column_names if name not in split],
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
        write_page_checksum=page_checksums,
    )
    return sink.getvalue()


def encode_frame(
    frame: pd.DataFrame, *, metadata: Mapping[str, str] | None = None, page_checksums: bool = False
) -> bytes:
    """A Parquet file of a data frame; the index is not part of it, pandas types (Int64 with nulls) are."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return encode_table(table, metadata=metadata, page_checksums=page_checksums)


def decode_frame(data: bytes) -> pd.DataFrame:
    """The data frame in the bytes of a Parquet file. Pages that carry checksums are held against them."""
    frame: pd.DataFrame = pq.read_table(io.BytesIO(data), page_checksum_verification=True).to_pandas()
    return frame


def note(data: bytes, key: str) -> str | None:
    """A text of the metadata in the bytes of a Parquet file, or None."""
    value = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(key.encode())
    return None if value is None else value.decode(errors="replace")
