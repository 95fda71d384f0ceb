"""Reports: the Parquet tables of a run, written together, read one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from storage import tables
from storage.objects import Digest, ObjectStore

SCHEMA_VERSION = "1"
RUN = "run.json"
TABLES = ("per_image", "thresholds", "per_sample", "batch_summed", "intervals", "gap", "failures")


class ReportError(ValueError):
    """What lies there is no report, or not the one that was written."""


def encode_report_table(table: pd.DataFrame | pa.Table) -> bytes:
    """The Parquet file of a report table. Integer columns of an Arrow table are laid out byte by byte."""
    metadata = {"schema_version": SCHEMA_VERSION}
    if isinstance(table, pd.DataFrame):
        return tables.encode_frame(table, metadata=metadata)
    split = [field.name for field in table.schema if pa.types.is_int32(field.type)]
    return tables.encode_table(table, metadata=metadata, byte_stream_split=split)


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
        except FileNotFoundError:
            raise ReportError(f"{self.path}: expected a report, found no {RUN}") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise ReportError(f"{self.path}/{RUN} is damaged: expected JSON") from None
        if not isinstance(document, dict) or "files" not in document:
            raise ReportError(f"{self.path}/{RUN}: expected the record of a Segscale run, got something else")
        return document

    def table(self, name: str) -> pd.DataFrame:
        """One table of the report, checked against run.json. Raises ReportError where it is missing or damaged."""
        files = self.run()["files"]
        file = f"{name}.parquet"
        if file not in files:
            raise ReportError(f"{self.path}: expected one of {sorted(files)}, got {name!r}")
        try:
            return tables.decode_frame(self.store.read_checked(file, Digest(**files[file])))
        except FileNotFoundError:
            raise ReportError(f"{self.path}: {file} stands in {RUN} and is missing") from None
        except ValueError as error:
            raise ReportError(str(error)) from None

    def is_whole(self) -> bool:
        """Whether run.json is there and every file it names is what it says."""
        try:
            files = self.run()["files"]
            for name, digest in files.items():
                self.store.read_checked(name, Digest(**digest))
        except (ReportError, ValueError, FileNotFoundError):
            return False
        return True


def open_report(path: str) -> Report:
    """The report in a folder. Raises ReportError where there is none."""
    report = Report(ObjectStore(path))
    report.run()
    return report


def write_report(store: ObjectStore, contents: Mapping[str, bytes], run: Mapping[str, Any]) -> Report:
    """Write the files of a report, and run.json, which makes it one, last.

    `run` gets the key `files` with the size and sha256 of each.
    """
    digests = {name: store.write(name, data) for name, data in sorted(contents.items())}
    files = {name: {"size_bytes": digest.size_bytes, "sha256": digest.sha256} for name, digest in digests.items()}
    store.write(RUN, (json.dumps({**run, "files": files}, indent=1, sort_keys=True) + "\n").encode())
    return Report(store)
