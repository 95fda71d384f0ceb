"""Table files: Parquet files of which single columns are read, and no more bytes than theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segscale.errors import DamagedFileError
from segscale.storage.local_files import is_local
from segscale.storage.locations import located
from segscale.storage.objects import ObjectStore

DAMAGE = (pa.ArrowException, OSError, TypeError, ValueError, LookupError, AttributeError)
"""What pyarrow and pandas raise for bytes and footers that say what cannot be, such as a type that nobody knows."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """An open Parquet file. What is read of it is checked page by page where pages carry checksums."""

    parquet: pq.ParquetFile
    size_bytes: int
    footer_sha256: str
    """As `footer_sha256` says it: no page checksum guards the names, types and places of the columns."""

    @property
    def names(self) -> list[str]:
        """The columns, in order."""
        return list(self.parquet.schema_arrow.names)

    def note(self, key: str) -> str | None:
        """A text of the file's own metadata, or None."""
        value = (self.parquet.schema_arrow.metadata or {}).get(key.encode())
        return None if value is None else value.decode(errors="replace")

    def read(self, columns: Sequence[str], where: pc.Expression | None = None) -> pd.DataFrame:
        """The columns in the order given, with the types that pandas wrote. Raises DamagedFileError.

        where: which rows; of the others no more than a row group is in memory at once.
        """
        try:
            # Without threads: see `tables.decode_frame`.
            if where is None:
                table = self.parquet.read(columns=list(columns), use_threads=False)
            else:
                groups = range(self.parquet.num_row_groups)
                read = (self.parquet.read_row_group(one, list(columns), use_threads=False) for one in groups)
                table = pa.concat_tables([group.filter(where) for group in read])
            # Column by column, each given up once it is converted: a wide table is in memory once, not twice.
            frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True, use_threads=False)
            return frame[list(columns)]
        except DAMAGE as error:
            raise DamagedFileError(f"is damaged: {_first_line(error)}") from None


@contextmanager
def open_table_file(store: ObjectStore, path: str) -> Iterator[TableFile]:
    """Open a Parquet file of a store; raises FileNotFoundError, or DamagedFileError where it is not Parquet."""
    filesystem, root = located(store.url)
    with filesystem.open(f"{root.rstrip('/')}/{path}", "rb") as source:
        try:
            # Far away the parts of the columns are asked for together, which takes threads.
            far = not is_local(store.url)
            parquet = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=far)
        except DAMAGE as error:
            raise DamagedFileError(f"is damaged or no Parquet file: {_first_line(error)}") from None
        yield TableFile(parquet, source.seek(0, 2), footer_sha256(source))


def footer_sha256(source: BinaryIO) -> str:
    """The sha256 of the footer, its length and the closing mark: of all of a Parquet file but its pages."""
    size_bytes = source.seek(0, 2)
    source.seek(max(size_bytes - 8, 0))
    length = int.from_bytes(source.read(4), "little") + 8
    source.seek(max(size_bytes - length, 0))
    return hashlib.sha256(source.read()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
