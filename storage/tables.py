"""Parquet files: data frames to bytes and back, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segscale.storage.list_columns import ListColumns

ROW_GROUP_ROWS = 1 << 16


def encode_table(
    table: pa.Table,
    *,
    metadata: Mapping[str, str] | None = None,
    byte_stream_split: Sequence[str] = (),
    page_checksums: bool = False,
    dictionary: Sequence[str] | None = None,
    compression: str | Mapping[str, str] = "zstd",
    lists: ListColumns | None = None,
) -> bytes:
    """A Parquet file of an Arrow table, with `lists` as its last columns.

    `metadata` is added to the schema's own. `byte_stream_split` names integer columns that compress better when the
    bytes of their numbers are laid apart, `dictionary` those whose values are listed once, by default all others;
    `compression` may differ by column. `page_checksums` lets a reader of few columns notice a flipped bit in
    them without reading the whole file.
    """
    if metadata:
        known = table.schema.metadata or {}
        table = table.replace_schema_metadata(
            {**known, **{key.encode(): value.encode() for key, value in metadata.items()}}
        )
    split = set(byte_stream_split)
    schema = table.schema if lists is None else lists.added_to(table.schema)
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        use_dictionary=list(dictionary) if dictionary else [name for name in schema.names if name not in split],
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
        write_page_checksum=page_checksums,
    ) as writer:
        # Group by group, so that lists are laid in order for one of them at a time.
        for first in range(0, max(table.num_rows, 1), ROW_GROUP_ROWS):
            rows = table.slice(first, ROW_GROUP_ROWS)
            columns = [] if lists is None else lists.columns(first, rows.num_rows)
            writer.write_table(pa.table([*rows.columns, *columns], schema=schema), row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue()


def encode_frame(
    frame: pd.DataFrame,
    *,
    metadata: Mapping[str, str] | None = None,
    page_checksums: bool = False,
    lists: ListColumns | None = None,
) -> bytes:
    """A Parquet file of a data frame; the index is not part of it, pandas types (Int64 with nulls) are.

    With `lists` it is, to the byte, that of a frame that holds them as objects.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return encode_table(table, metadata=metadata, page_checksums=page_checksums, lists=lists)


def decode_frame(data: bytes) -> pd.DataFrame:
    """The data frame in the bytes of a Parquet file. Pages that carry checksums are held against them."""
    parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    # Arrow's threads may still let go of Python's memory while the interpreter ends, and abort it (apache/arrow issue
    # 34314): the last that commands do is to read what they have written.
    frame: pd.DataFrame = parquet.read(use_threads=False).to_pandas(use_threads=False)
    return frame


def frame_sha256(frame: pd.DataFrame) -> str:
    """The sha256 of the names and values of a data frame's columns, in their order; the index has no part in it.

    Texts count as texts, however they are held.
    """
    hashed = _Hashed()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.cast(pa.large_string()) if pa.types.is_string(column.type) else column
        # What lies under a null is anything.
        for part in (values.is_null(), values.drop_null()) if values.null_count else (values,):
            whole = pa.table({name: part}).combine_chunks()
            with pa.ipc.new_stream(pa.PythonFile(hashed, mode="w"), whole.schema) as stream:
                stream.write_table(whole)
    return hashed.sha256.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that keeps nothing but the hash of what is written: of a million images that is a gigabyte."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.sha256.update(data)
        return memoryview(data).nbytes


def note(data: bytes, key: str) -> str | None:
    """A text of the metadata in the bytes of a Parquet file, or None."""
    value = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(key.encode())
    return None if value is None else value.decode(errors="replace")
