"""Table files: Parquet files of which single columns are read, and no more bytes than theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from storage.objects import ObjectStore


class DamagedFileError(ValueError):
    """The bytes are no Parquet file, or not the ones that were written."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """An open Parquet file. What is read of it is checked page by page where pages carry checksums."""

    parquet: pq.ParquetFile
    size_bytes: int

    @property
    def names(self) -> list[str]:
        """The columns, in order."""
        return list(self.parquet.schema_arrow.names)

    def note(self, key: str) -> str | None:
        """A text of the file's own metadata, or None."""
        value = (self.parquet.schema_arrow.metadata or {}).get(key.encode())
        return None if value is None else value.decode(errors="replace")

    def extremes(self, name: str) -> set[object]:
        """The smallest and largest values of a column in each row group, from the footer; none where not recorded."""
        if name not in self.names:
            return set()
        place, footer = self.names.index(name), self.parquet.metadata
        found = [footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups)]
        return {value for one in found if one is not None and one.has_min_max for value in (one.min, one.max)}

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """The columns in the order given, with the types that pandas wrote. Raises DamagedFileError."""
        try:
            table = self.parquet.read(columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"is damaged: {_first_line(error)}") from None
        # Column by column, each given up once it is converted: a wide table is in memory once, not twice.
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        return frame[list(columns)]


@contextmanager
def open_table_file(store: ObjectStore, path: str) -> Iterator[TableFile]:
    """Open a Parquet file of a store; raises FileNotFoundError, or DamagedFileError where it is not Parquet."""
    filesystem, root = fsspec.core.url_to_fs(store.url, use_listings_cache=False)
    with filesystem.open(f"{root.rstrip('/')}/{path}", "rb") as source:
        try:
            parquet = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=True)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"is damaged or no Parquet file: {_first_line(error)}") from None
        yield TableFile(parquet, source.seek(0, 2))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
