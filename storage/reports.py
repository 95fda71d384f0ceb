"""Reports: the Parquet tables of a run, written together, read one by one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segscale.errors import DamagedFileError, DamagedStoreError, ReportError, VersionError
from segscale.storage import tables
from segscale.storage.list_columns import ListColumns
from segscale.storage.locations import located, os_errors
from segscale.storage.objects import Digest, ObjectStore
from segscale.storage.report_versions import CURRENT, parse_version, upgrade
from segscale.storage.table_files import DAMAGE, TableFile, footer_sha256, open_table_file

SCHEMA_VERSION = str(CURRENT)
RUN = "run.json"
VERSION = "schema_version"
FOOTER = "footer_sha256"
TABLES = (
    "per_image",
    "per_slice",
    "per_unit",
    "surface",
    "lesion_counts",
    "lesions",
    "thresholds",
    "per_sample",
    "batch_summed",
    "intervals",
    "gap",
    "failures",
)


def encode_report_table(table: pd.DataFrame | pa.Table, lists: ListColumns | None = None) -> bytes:
    """The Parquet file of a report table. Integer columns of an Arrow table are laid out byte by byte.

    lists: further columns of a data frame.
    """
    metadata = {VERSION: SCHEMA_VERSION}
    if isinstance(table, pd.DataFrame):
        return tables.encode_frame(table, metadata=metadata, page_checksums=True, lists=lists)
    split = [field.name for field in table.schema if pa.types.is_int32(field.type)]
    return tables.encode_table(table, metadata=metadata, byte_stream_split=split, page_checksums=True)


@dataclass(frozen=True, slots=True)
class Report:
    """The folder of one run: ``<report.path>/<dataset>/<run_id>/``, local or any fsspec URL."""

    store: ObjectStore

    @property
    def path(self) -> str:
        """Where the report lies."""
        return self.store.url

    def run(self) -> dict[str, Any]:
        """The contents of run.json. Raises ReportError where there is none: the report is not finished."""
        try:
            document = json.loads(self.store.read(RUN))
        except (FileNotFoundError, NotADirectoryError):
            raise ReportError(f"{self.path}: expected a report, found no {RUN}") from None
        except (ValueError, RecursionError):
            raise ReportError(f"{self.path}/{RUN} is damaged: expected JSON") from None
        if not isinstance(document, dict) or not _are_facts(document.get("files")):
            raise ReportError(f"{self.path}/{RUN}: expected the record of a Segscale run, got something else")
        return document

    def table(
        self, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pd.DataFrame:
        """One table of the report, as today's schema version has it.

        Without `columns` the whole file is read and its sha256 compared with run.json. With them, and with `where` for
        some rows alone, no more than their bytes are read, so the hash of the file stays unknown. Instead its size and
        the hash of its footer must be those of run.json, and every page that is read must match the checksum it
        carries. This notices a lost, torn, flipped or foreign file, not a forged one; `is_whole` hashes all files.

        Raises ReportError naming the file where it is missing, damaged, foreign or too new, or lacks a column.
        """
        if columns is None:
            return self._whole(name)
        with self._opened(name) as file:
            old = None if parse_version(file.note(VERSION)) == CURRENT else self._whole(name)
            available = file.names if old is None else [str(name) for name in old]
            missing = [column for column in columns if column not in available]
            if missing:
                raise ReportError(f"{self.path}/{name}.parquet: expected columns of {available}, got {missing}")
            if old is None:
                return file.read(columns, where)
            chosen = old[list(columns)]
            if where is None:
                return chosen
            some: pd.DataFrame = pa.Table.from_pandas(chosen, preserve_index=False).filter(where).to_pandas()
            return some

    def columns(self, name: str) -> list[str]:
        """The names of a table's columns, in order, read from its footer alone. Raises ReportError as `table` does."""
        with self._opened(name) as file:
            is_current = parse_version(file.note(VERSION)) == CURRENT
            return file.names if is_current else [str(column) for column in self._whole(name)]

    def is_whole(self) -> bool:
        """Whether run.json is there and every file it names is what it says."""
        try:
            run = self.run()
            for name in run["files"]:
                self.store.read_checked(name, _digest(run["files"][name]))
        except (ReportError, DamagedStoreError, FileNotFoundError):
            return False
        return True

    def _whole(self, name: str) -> pd.DataFrame:
        file, run = f"{name}.parquet", self.run()
        digest = _digest(self._facts(file, run))
        with self._named_errors(file):
            try:
                data = self.store.read_checked(file, digest)
            except DamagedStoreError:
                with open_table_file(self.store, file) as opened:
                    _refuse_strangers(opened, run)
                raise
            try:
                version, table = tables.note(data, VERSION), tables.decode_frame(data)
            except DAMAGE as error:
                raise DamagedFileError(f"cannot be read: {error}") from None
            return upgrade(name, table, parse_version(version))

    @contextmanager
    def _opened(self, name: str) -> Iterator[TableFile]:
        """A table's file opened for single columns, if its size and footer are those of run.json."""
        file, run = f"{name}.parquet", self.run()
        facts = self._facts(file, run)
        with self._named_errors(file), open_table_file(self.store, file) as opened:
            found = {"size_bytes": opened.size_bytes, FOOTER: opened.footer_sha256}
            if found != {key: facts[key] for key in found}:
                _refuse_strangers(opened, run)
                raise DamagedFileError(f"is damaged: committed {_in_words(facts)}, found {_in_words(found)}")
            yield opened

    def _facts(self, file: str, run: Mapping[str, Any]) -> Mapping[str, Any]:
        if file not in run["files"]:
            there = ", ".join(sorted(run["files"]))
            raise ReportError(f"{self.path}: expected a table of this report, got {file[:-8]!r}; there are {there}")
        facts: Mapping[str, Any] = run["files"][file]
        return facts

    @contextmanager
    def _named_errors(self, file: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ReportError(f"{self.path}: {file} stands in {RUN} and is missing") from None
        except (DamagedFileError, VersionError) as error:
            raise ReportError(f"{self.path}/{file} {error}") from None
        except DamagedStoreError as error:
            raise ReportError(str(error)) from None


def open_report(path: str) -> Report:
    """The report in a folder. Raises ReportError where there is none."""
    report = Report(ObjectStore(path))
    report.run()
    return report


def open_runs(path: str, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One table of all finished runs under a folder or URL, one below the other in the order of their paths.

    `path` is a report root (``<path>/<dataset>/<run_id>/``), the folder of one data set, or of one run; run_id, dataset
    and model say where a row comes from. Runs that are not finished have no run.json and are no runs yet. Columns that
    only some runs have (groups, kept thresholds) are null in the others; runs that did not write the table (thresholds
    of label maps) have no rows in it. Older schema versions are brought to today's.

    Raises ReportError where there is no finished run, none with that table, or a damaged one among them.
    """
    if table not in TABLES:
        raise ReportError(f"{path}: expected a table of reports, got {table!r}; there are {', '.join(TABLES)}")
    reports = find_reports(path)
    if not reports:
        raise ReportError(f"{path}: expected finished runs (folders with {RUN}), found none")
    frames = [report.table(table, columns) for report in reports if f"{table}.parquet" in report.run()["files"]]
    if not frames:
        raise ReportError(f"{path}: none of the {len(reports)} finished runs has {table}.parquet")
    return pd.concat(frames, ignore_index=True)


def find_reports(path: str) -> list[Report]:
    """The finished runs in a report root, in the folder of a data set or of a run, ordered by path."""
    filesystem, root = located(path)
    base = root.rstrip("/")
    with os_errors(path):
        files = [str(name)[len(base) :].strip("/") for name in filesystem.find(base, maxdepth=3)]
    folders = sorted(name.removesuffix(RUN).rstrip("/") for name in files if name.rsplit("/", 1)[-1] == RUN)
    return [Report(ObjectStore(f"{path.rstrip('/')}/{folder}".rstrip("/"))) for folder in folders]


def write_report(store: ObjectStore, contents: Mapping[str, bytes], run: Mapping[str, Any]) -> Report:
    """Write the files of a report, and run.json, which makes it one, last.

    Another report in the same place ends first: without run.json it is none, and tables that it had and this one has
    not are removed. One of the same `content_sha256` does not end: another driver may have just finished it and be
    reading it, and what takes the place of its tables, file by file, are the same bytes.

    `run` gets the key `files` with the size and sha256 of each, and of Parquet files that of the footer.
    """
    if _is_another(store, run):
        store.remove(RUN)
    for name in store.names(""):
        if name.endswith(".parquet") and name not in contents:
            store.remove(name)
    files = {name: _written(store, name, data) for name, data in sorted(contents.items())}
    store.write(RUN, (json.dumps({**run, "files": files}, indent=1, sort_keys=True) + "\n").encode())
    return Report(store)


def _is_another(store: ObjectStore, run: Mapping[str, Any]) -> bool:
    """Whether what stands in a report's place is, or was, a report of something else."""
    try:
        standing = Report(store).run()
    except ReportError:
        return store.exists(RUN)
    content = run.get("content_sha256")
    return content is None or standing.get("content_sha256") != content


def _written(store: ObjectStore, name: str, data: bytes) -> dict[str, Any]:
    facts = asdict(store.write(name, data))
    return facts | {FOOTER: footer_sha256(io.BytesIO(data))} if name.endswith(".parquet") else facts


def _are_facts(files: object) -> bool:
    if not isinstance(files, dict):
        return False
    known = {"size_bytes", "sha256"}
    return all(
        isinstance(facts, dict) and set(facts) == (known | {FOOTER} if name.endswith(".parquet") else known)
        for name, facts in files.items()
    )


def _digest(facts: Mapping[str, Any]) -> Digest:
    return Digest(facts["size_bytes"], facts["sha256"])


def _in_words(facts: Mapping[str, Any]) -> str:
    return f"{facts['size_bytes']} bytes with a footer of sha256 {str(facts[FOOTER])[:12]}"


def _refuse_strangers(file: TableFile, run: Mapping[str, Any]) -> None:
    """Raise where a file that is not the committed one is a table of another run, or of something else."""
    parse_version(file.note(VERSION))
    if "run_id" not in file.names:
        return
    others = sorted(set(file.read(["run_id"])["run_id"].astype(str)) - {run.get("run_id")})
    if others:
        raise DamagedFileError(f"is of run {others[0]!r}, not of {run.get('run_id')!r}")
