"""Plays: all that readers are asked of one damaged input, and what must be true of whatever they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from segscale.errors import DataError
from segscale.storage.bundles import pack
from segscale.tasks import readers
from segscale.tasks.geometry import Geometry
from segscale.tasks.readers.archives import NpzReader, read_member
from segscale.tasks.readers.picture import DECODED_BYTES_LIMIT, Reader
from segscale.tasks.readers.volume import VolumeReader

Files = Mapping[str, bytes]
Play = Callable[[Files], None]
Answer = TypeVar("Answer")

_LONGEST_MESSAGE = 3000


def asked(call: Callable[[], Answer]) -> Answer | None:
    """What a reader answers; None for a documented error, whose message must be a short line that may be shown."""
    try:
        return call()
    except DataError as error:
        _check_shown(str(error))
        return None


def _check_shown(*sentences: str) -> None:
    """Of messages and notes, which quote a file."""
    for said in sentences:
        assert said.strip(), "a message of nothing"
        assert len(said) < _LONGEST_MESSAGE, f"a message of {len(said)} characters: {said[:300]}"
        assert said.isprintable(), f"a message that cannot be shown in a line: {said[:300]!r}"


def picture(files: Files) -> None:
    """What is read by the ending of its name: as a picture, as labels and as probabilities."""
    ((name, data),) = files.items()
    _protocol(readers.reader_for(name), data, name)
    _roles(data, name)


def archive(files: Files) -> None:
    """A .npz file."""
    ((name, data),) = files.items()
    _protocol(NpzReader(), data, name)
    asked(lambda: read_member(data, name))
    asked(lambda: read_member(data, name, "a"))
    _roles(data, name)


def volume(reader: VolumeReader, *more: Callable[[bytes, str], object]) -> Play:
    """A volume of one file or of several, of which the first is its header."""

    def play(files: Files) -> None:
        name = next(iter(files))
        data = files[name] if len(files) == 1 else pack(files)
        bundle(reader, *more)(data, name)

    return play


def bundle(reader: VolumeReader, *more: Callable[[bytes, str], object]) -> Callable[[bytes, str], None]:
    """The same of the bytes of a bundle."""

    def play(data: bytes, name: str) -> None:
        _protocol(reader, data, name)
        _roles(data, name)
        values = asked(lambda: reader.values(data, name))
        dtype = asked(lambda: reader.value_dtype(data, name))
        assert values is None or values.dtype == dtype, f"values of {values.dtype}, not {dtype}"
        for one in more:
            asked(lambda one=one: one(data, name))  # type: ignore[misc]

    return play


def series(files: Files) -> None:
    """A DICOM series, and what each of its files is."""
    from segscale.tasks.readers.dicom_identity import identify
    from segscale.tasks.readers.dicom_series import read_series, read_series_header

    for name, data in files.items():
        asked(lambda data=data, name=name: identify(data, name))  # type: ignore[misc]
    header = asked(lambda: read_series_header(files, "case"))
    read = asked(lambda: read_series(files, "case"))
    if header is not None:
        _check_geometry(header.grid.geometry)
        _check_shown(*header.notes)
    if read is not None:
        assert header is not None, "voxels without a header"
        _check_same(read.values.shape, header.grid.size, read.values.dtype.name, header.dtype)
    bundled = pack(files)
    _protocol(readers.reader_for("case/"), bundled, "case/")
    _roles(bundled, "case/")


def segmentation(files: Files) -> None:
    """A DICOM SEG by itself, in the grid of the image of `seeds_dicom`, and its segments in every form."""
    from segscale.tasks.readers import dicom_segments as segments
    from segscale.tasks.readers.dicom_segmentation import read_segmentation
    from tests.tasks.readers.fuzz.seeds_dicom import image_grid

    ((name, data),) = files.items()
    _protocol(readers.reader_for(name), data, name)
    _roles(data, name)
    for grid in (None, image_grid()):
        read = asked(lambda grid=grid: read_segmentation(data, name, grid))  # type: ignore[misc]
        if read is None:
            continue
        _check_geometry(read.grid.geometry)
        _check_shown(*read.notes)
        labels = asked(lambda read=read: segments.label_map(read))  # type: ignore[misc]
        assert labels is None or labels.shape == read.grid.size, "labels of another shape"
        asked(lambda read=read: segments.overlaps(read))  # type: ignore[misc]
        for number in read.segments[:2]:
            asked(lambda read=read, number=number: segments.mask(read, number))  # type: ignore[misc]
            asked(lambda read=read, number=number: segments.probabilities(read, number))  # type: ignore[misc]


def _roles(data: bytes, name: str) -> None:
    """What is asked of a file by the ending of its name alone: as a picture, as labels and as probabilities."""
    asked(lambda: readers.read_orientation(data, name))
    asked(lambda: readers.read_stated_maximum(data, name))
    asked(lambda: readers.stores_floats(data, name))
    asked(lambda: readers.read_label_map(data, name, missing=255))
    probabilities = asked(lambda: readers.read_probabilities(data, name))
    if probabilities is not None:
        asked(lambda: readers.checked(probabilities, None, name))


def _protocol(reader: Reader, data: bytes, name: str) -> None:
    """What every reader is asked; what it reads is what its header says."""
    header = asked(lambda: reader.header(data, name))
    asked(lambda: reader.orientation(data, name))
    asked(lambda: reader.stored_values(data, name))
    read = asked(lambda: reader.read(data, name))
    if header is not None:
        size = np.prod(header.shape, dtype=object) * np.dtype(header.dtype).itemsize
        assert 0 < size <= DECODED_BYTES_LIMIT, f"a header of {header.shape}, beyond the limit"
        _check_shown(*header.notes)
        if header.geometry is not None:
            _check_geometry(header.geometry)
    if read is not None:
        assert header is not None, "pixels without a header"
        _check_same(read.pixels.shape, header.shape, read.pixels.dtype.name, header.dtype)


def _check_same(shape: tuple[int, ...], claimed: tuple[int, ...], dtype: str, claimed_dtype: str) -> None:
    assert (shape, dtype) == (claimed, claimed_dtype), (
        f"{dtype} of {shape}, where a header says {claimed_dtype} {claimed}"
    )


def _check_geometry(geometry: Geometry | None) -> None:
    assert geometry is not None, "no geometry"
    numbers = np.array((geometry.origin, geometry.spacing, *geometry.directions))
    assert np.isfinite(numbers).all(), f"a geometry that is none: {geometry}"
    assert min(geometry.spacing) > 0, f"a spacing that is none: {geometry}"
