"""Verification: what is wrong with what a store holds, one finding for each thing; nothing is written."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segscale.errors import DamagedStoreError, ReportError
from segscale.storage import shards, tables
from segscale.storage.catalog import COLUMNS, LATER
from segscale.storage.ledger import REPAIR, Entry, decode_record, is_as_written
from segscale.storage.locations import located, os_errors
from segscale.storage.objects import Digest, ObjectInfo, ObjectStore
from segscale.storage.readings import decode_reading
from segscale.storage.reports import RUN, Report
from segscale.storage.source_memory import is_of_its_name
from segscale.storage.store_paths import StorePath
from segscale.storage.table_files import DAMAGE

SOURCE_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """damaged record, missing object, foreign file, ..."""
    place: str
    """A path relative to the store, or a URL outside of it."""
    expected: str
    found: str
    remedy: str
    stage: str = ""
    """Of the shard concerned; "" where it is none."""
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.place}: expected {self.expected}, found {self.found}; {self.remedy}"


def check_record(path: StorePath, data: bytes) -> Entry | Finding:
    """The commit in the bytes of a record, or what is wrong with them."""
    expected = f"the commit record of {path.stage}/{path.key[:12]}"
    try:
        entry = decode_record(data, path.stage, path.key)
    except DamagedStoreError as error:
        found = f"{len(data)} bytes ({_line(error)})"
        return Finding("damaged record", path.path, expected, found, REPAIR, path.stage, path.key)
    if not is_as_written(data, entry):
        found = "other bytes of the same meaning"
    elif entry.objects and not _lies_in_its_folder(entry):
        found = f"objects in {entry.path}, which is no folder of this work"
    else:
        return entry
    return Finding("damaged record", path.path, expected, found, REPAIR, path.stage, path.key)


def _lies_in_its_folder(entry: Entry) -> bool:
    """Whether all objects of a commit lie where attempts at this work do: a record must not lead anywhere else."""
    folder = f"shards/{entry.stage}/{entry.key[:2]}/{entry.key}/"
    names = [part for name in (entry.path, *entry.objects) for part in name.split("/")]
    return entry.path.startswith(folder) and not {"", ".", ".."} & set(names)


def check_sizes(entry: Entry, listed: Mapping[str, ObjectInfo]) -> list[Finding]:
    """The objects of a commit that are not there, or have another size, going by a listing of the store."""
    findings = []
    for name, digest in sorted(entry.objects.items()):
        path = f"{entry.path}/{name}"
        if path not in listed:
            findings.append(_missing(entry, path, digest))
        elif listed[path].size_bytes != digest.size_bytes:
            findings.append(_damaged(entry, path, digest, f"{listed[path].size_bytes} bytes"))
    return findings


def check_shard(store: ObjectStore, entry: Entry) -> list[Finding]:
    """The objects of a commit that are missing, have other bytes, or cannot be decoded; every byte is read.

    Raises OSError where the store cannot be read at all. The whole shard is in memory, compressed.
    """
    findings, contents = [], {}
    for name, digest in sorted(entry.objects.items()):
        path = f"{entry.path}/{name}"
        try:
            data = store.read(path)
        except FileNotFoundError:
            findings.append(_missing(entry, path, digest))
            continue
        except OSError as error:
            if not _is_of_one_object(error):
                raise
            findings.append(_damaged(entry, path, digest, f"what cannot be read ({_line(error)})"))
            continue
        contents[name] = data
        if Digest.of(data) != digest:
            findings.append(_damaged(entry, path, digest, _of_bytes(Digest.of(data))))
    if contents and not findings:
        try:
            shards.decode_all(contents)
        except DamagedStoreError as error:
            expected, found = "arrays and rows that can be decoded", f"what was committed so ({_line(error)})"
            findings.append(Finding("damaged object", entry.path, expected, found, REPAIR, entry.stage, entry.key))
    return findings


_LATER = LATER | {"full_scale"}
"""Columns that catalogs of earlier versions do not have; those without the last one are read no more."""


def check_catalog(path: str, data: bytes) -> Finding | None:
    """What is wrong with the bytes of a catalog."""
    expected, remedy = "a catalog", "segscale repair sets it aside and plans again from the files of the data set"
    try:
        missing = sorted(set(COLUMNS) - _LATER - set(tables.decode_frame(data).columns))
    except DAMAGE as error:
        return Finding("damaged catalog", path, expected, f"{len(data)} bytes ({_line(error)})", remedy)
    if missing:
        return Finding("damaged catalog", path, expected, f"a table without the columns {missing}", remedy)
    return None


def check_reading(path: str, data: bytes) -> Finding | None:
    """What is wrong with the bytes of what is known of a set as a whole."""
    if decode_reading(data) is not None:
        return None
    remedy = "segscale repair sets it aside; it is found again in the files of the data set"
    return Finding("damaged reading", path, "how the files of a data set are read", f"{len(data)} other bytes", remedy)


def check_source_memory(path: str, data: bytes) -> Finding | None:
    """What is wrong with the bytes of a fragment of the source memory, which is named by its hash."""
    if is_of_its_name(path, data):
        return None
    named, found = path.rsplit("/", 1)[-1], hashlib.sha256(data).hexdigest()
    remedy = "segscale repair sets it aside; the next run looks at these files again"
    text = f"{len(data)} bytes with {found[:12]}"
    return Finding("damaged source memory", path, f"bytes with the sha256 {named[:12]}", text, remedy)


def check_source(url: str, sha256: str) -> Finding | None:
    """Whether a source file is what was catalogued; it is read in blocks, whatever its size."""
    expected = f"the catalogued file with sha256 {sha256[:12]}"
    digest = hashlib.sha256()
    try:
        filesystem, path = located(url)
        with os_errors(url), filesystem.open(path, "rb") as file:
            while block := file.read(SOURCE_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return Finding("missing source", url, expected, "no file", _PUT_BACK.format("leave it out"))
    except OSError as error:
        return Finding("unreadable source", url, expected, _line(error), _PUT_BACK.format("take the set as it is"))
    if digest.hexdigest() == sha256:
        return None
    return Finding("changed source", url, expected, f"one with {digest.hexdigest()[:12]}", _CHANGED)


_PUT_BACK = "put the file back, or {} with segscale run"
_CHANGED = "put the file back, or take it as it is now with segscale run CONFIG --rescan"


def check_report(report: Report) -> list[Finding]:
    """The files of a finished report that are missing or have other bytes than run.json says. Empty for no report."""
    remedy = "segscale repair writes the report again from the committed counts"
    if not report.store.exists(RUN):
        return []
    try:
        files = report.run()["files"]
    except ReportError as error:
        return [Finding("damaged report", f"{report.path}/{RUN}", "the record of a run", _line(error), remedy)]
    findings = []
    for name, facts in sorted(files.items()):
        digest = Digest(facts["size_bytes"], facts["sha256"])
        try:
            found = Digest.of(report.store.read(name))
        except FileNotFoundError:
            findings.append(Finding("damaged report", f"{report.path}/{name}", _of_bytes(digest), "no file", remedy))
            continue
        if found != digest:
            place = f"{report.path}/{name}"
            findings.append(Finding("damaged report", place, _of_bytes(digest), _of_bytes(found), remedy))
    return findings


def foreign_file(path: str) -> Finding:
    """A file in the store that Segscale has not written."""
    remedy = "no command reads or removes it; move it to where it belongs"
    return Finding("foreign file", path, "nothing", "a file that Segscale did not write", remedy)


def missing_record(stage: str, key: str, path: str) -> Finding:
    """A shard that a finished report was made of and that the ledger does not hold."""
    expected = f"the commit record of {stage}/{key[:12]}, which the report was made of"
    return Finding("missing record", path, expected, "none", "segscale repair does this work again", stage, key)


def strangers(paths: Sequence[StorePath], entries: Sequence[Entry]) -> list[Finding]:
    """Files that nobody of us wrote: of no known name, or in a committed folder and in no record."""
    objects = {entry.path: entry.objects for entry in entries}
    findings = []
    for path in paths:
        committed = objects.get(path.attempt) if path.attempt else None
        name = path.path.removeprefix(f"{path.attempt}/")
        if path.kind == "foreign" or (committed is not None and name not in committed):
            findings.append(foreign_file(path.path))
    return findings


def _missing(entry: Entry, path: str, digest: Digest) -> Finding:
    return Finding("missing object", path, _of_bytes(digest), "none", REPAIR, entry.stage, entry.key)


def _damaged(entry: Entry, path: str, digest: Digest, found: str) -> Finding:
    return Finding("damaged object", path, _of_bytes(digest), found, REPAIR, entry.stage, entry.key)


def _of_bytes(digest: Digest) -> str:
    return f"{digest.size_bytes} bytes with sha256 {digest.sha256[:12]}"


def _is_of_one_object(error: OSError) -> bool:
    """Whether an error says something about the object, such as a bad block of the disk, and not about the store."""
    return isinstance(error, IsADirectoryError) or error.errno == errno.EIO


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
