"""A network in ONNX as files: its own, and those beside it that hold weights. Nothing outside its folder is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segscale.errors import DataError
from segscale.storage.local_files import is_local
from segscale.storage.sources import file_name, file_size, read_file
from segscale.tasks.onnx_networks.header import LARGEST_BYTES, ExternalFile, read_header

_LARGEST_TOGETHER = 2 * LARGEST_BYTES
"""Bytes of a network with all that lies beside it; they are held in memory."""


@dataclass(frozen=True, slots=True)
class BesideFile:
    """A file beside a network, which holds weights of it."""

    location: str
    """A relative path below the folder of the network."""
    sha256: str


def look_at_onnx(url: str) -> tuple[str, tuple[BesideFile, ...]]:
    """The sha256 of a network with all its weights, and the files beside it.

    Of a network without such files it is that of its own file. Raises DataError for a file that is no ONNX network, or
    whose weights lie elsewhere; OSError where one cannot be read; EngineError where the package onnx is missing.
    """
    name, left = file_name(url), _LARGEST_TOGETHER
    if (size := file_size(url)) > LARGEST_BYTES:
        raise DataError(f"{name} holds {size / 1e9:.1f} GB, an ONNX file at most 2 GB; export it with external data")
    data = read_file(url)
    external = read_header(data, name)
    left -= len(data)
    beside = []
    for file in external:
        place = _place(url, file, name)
        if (left := left - file_size(place)) < 0:
            raise DataError(f"{name} and its external data hold more than {_LARGEST_TOGETHER / 1e9:.1f} GB")
        beside.append(BesideFile(file.location, hashlib.sha256(read_file(place)).hexdigest()))
    return _joint_sha256(hashlib.sha256(data).hexdigest(), beside), tuple(beside)


def put_onnx(url: str, sha256: str, beside: Sequence[BesideFile], folder: Path) -> Path:
    """Write a network and the files beside it into an empty folder; the path of the network.

    Raises DataError where they are not those that were looked at.
    """
    name, data = file_name(url), read_file(url)
    path, found = folder / name, []
    path.write_bytes(data)
    for file in beside:
        place, target = url_beside(url, file.location), folder / file.location
        target.parent.mkdir(parents=True, exist_ok=True)
        weights = read_file(place)
        target.write_bytes(weights)
        found.append(BesideFile(file.location, hashlib.sha256(weights).hexdigest()))
    there = _joint_sha256(hashlib.sha256(data).hexdigest(), found)
    if there != sha256:
        raise DataError(f"model {url}: planned with sha256 {sha256[:12]}, here is {there[:12]}")
    return path


def url_beside(url: str, location: str) -> str:
    """Where a file beside a network lies.

    >>> url_beside("s3://lab/nets/a.onnx", "a.onnx.data")
    's3://lab/nets/a.onnx.data'
    """
    folder, slash, _ = url.rpartition("/")
    return f"{folder}{slash}{location}"


def _place(url: str, file: ExternalFile, name: str) -> str:
    place = url_beside(url, file.location)
    if is_local(url):
        path = Path(place.removeprefix("file://"))
        # A link inside the folder may lead out of it, and so may a folder on the way.
        if not path.resolve().is_relative_to(path.parents[file.location.count("/")].resolve()):
            raise DataError(
                f"{name}: weights are said to lie at {file.location!r}, which is a link out of the folder of the "
                "network; put the file itself there"
            )
    try:
        size = file_size(place)
    except FileNotFoundError:
        raise DataError(f"{name}: its weights lie in {file.location!r} beside it, where no file is") from None
    if size < file.n_bytes:
        raise DataError(
            f"{name}: its weights take {file.n_bytes} bytes of {file.location!r}, which has {size}: it was cut short, "
            "or is of another network; export it again"
        )
    return place


def _joint_sha256(own: str, beside: Sequence[BesideFile]) -> str:
    if not beside:
        return own
    files = [own, *([file.location, file.sha256] for file in beside)]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()
