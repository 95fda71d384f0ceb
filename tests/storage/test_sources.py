"""Source files, and what tells that one is still the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from segscale.storage.listing import list_files
from segscale.storage.sources import file_name, file_version
from tests.storage.s3_server import Fault, S3Server, running_proxy


def test_the_version_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    versions = []
    for data, time_ns in [(b"1", 10**18), (b"22", 10**18), (b"11", 10**18 + 10**6), (b"11", 10**18 + 10**9)]:
        file.write_bytes(data)
        os.utime(file, ns=(time_ns, time_ns))
        versions.append(list_files(str(tmp_path)).files["version"][0])
        assert file_version(str(file)) == versions[-1]
    assert len(set(versions)) == 4
    assert file.read_bytes() == b"11"
    assert file_version(str(file)) == versions[-1], "read, not changed"


def _overwrite(old: Path, new: Path) -> None:
    old.write_bytes(new.read_bytes())


@pytest.mark.parametrize(
    "replace",
    [
        pytest.param(_overwrite, id="overwritten"),
        pytest.param(lambda old, new: new.replace(old), id="renamed over, as rsync does"),
        pytest.param(lambda old, new: shutil.copy2(new, old), id="copied with its times"),
        pytest.param(lambda old, new: (old.unlink(), old.hardlink_to(new)), id="linked"),
    ],
)
def test_another_file_of_equal_size_and_time_is_another(tmp_path: Path, replace: Callable[[Path, Path], Any]) -> None:
    old, new = tmp_path / "a.npy", tmp_path / "b.npy"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    os.utime(old, ns=(10**18, 10**18))
    before = file_version(str(old))
    # Clocks of disks are coarse: a change within the same tick leaves no trace, and no scan is that quick.
    while new.stat().st_ctime_ns <= old.stat().st_ctime_ns:
        new.touch()
    replace(old, new)
    os.utime(old, ns=(10**18, 10**18))
    assert before.split(":")[:2] == file_version(str(old)).split(":")[:2]
    assert file_version(str(old)) != before


@pytest.mark.parametrize("kind", [os.mkdir, os.mkfifo])
def test_what_is_no_file_has_no_version(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "a.png")
    assert file_version(str(tmp_path / "a.png")) == ""


def test_no_file_has_no_version(tmp_path: Path) -> None:
    assert file_version(str(tmp_path / "none.png")) == ""
    assert file_version("memory://none") == ""


@pytest.mark.parametrize(
    ("url", "name"), [("file:///data/x/a.png", "a.png"), ("s3://bucket/a.png", "a.png"), ("a.png", "a.png"), ("", "")]
)
def test_file_name(url: str, name: str) -> None:
    assert file_name(url) == name


@pytest.mark.slow
def test_a_file_that_may_not_be_looked_at_is_not_taken_for_missing(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_proxy(s3_server.port) as proxy, s3_server.reachable(monkeypatch, proxy.port):
        proxy.inject(lambda request: request.method == "HEAD", repeat(Fault(answer=(403, "AccessDenied"))))
        with pytest.raises(PermissionError):
            file_version(f"{s3_server.new_bucket()}/images/a.png")
