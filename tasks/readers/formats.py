"""The known file formats, chosen by the ending of a name."""

import math
from dataclasses import replace
from functools import lru_cache

from segscale.errors import DataError, UnreadableImage
from segscale.storage.source_names import channel_files, segment_in
from segscale.tasks.grids import Grid
from segscale.tasks.readers.archives import NpzReader
from segscale.tasks.readers.arrays import NumpyReader
from segscale.tasks.readers.channel_files import ChannelFilesReader
from segscale.tasks.readers.choice import NO_CHOICE, Choice
from segscale.tasks.readers.depth import UNDECIDED
from segscale.tasks.readers.dicom import DicomReader
from segscale.tasks.readers.jpeg import JpegReader
from segscale.tasks.readers.metaimage import MetaImageReader
from segscale.tasks.readers.nifti import NiftiReader
from segscale.tasks.readers.nrrd import NrrdReader
from segscale.tasks.readers.picture import Header, Picture, Reader
from segscale.tasks.readers.png import PngReader, png_stated_maximum
from segscale.tasks.readers.tiff import TiffReader
from segscale.tasks.readers.volume import Scaled, VolumeReader


@lru_cache(maxsize=4)
def readers(choice: Choice = NO_CHOICE) -> tuple[Reader, ...]:
    """One for each format, which reads what was chosen."""
    return (
        PngReader(),
        JpegReader(),
        TiffReader(),
        NumpyReader(),
        NpzReader(),
        NiftiReader(choice.volume, choice.affine),
        NrrdReader(),
        MetaImageReader(),
        DicomReader(choice.drawn_on, choice.segment),
    )


FOLDER = "/"
"""The ending of a folder, whose files are a DICOM series."""
SUFFIXES = tuple(suffix for reader in readers() for suffix in reader.suffixes if suffix != FOLDER)
"""All endings of files that are known here."""


_PICTURES = {
    suffix: reader for reader in readers() for suffix in reader.suffixes if not isinstance(reader, VolumeReader)
}
"""Of files of which there is nothing to choose; found first, as a small one is decoded in the time of a search."""


def reader_for(name: str, choice: Choice = NO_CHOICE) -> Reader:
    """The reader of the format that the ending of `name` (a path or URL) stands for, upper or lower case.

    A name that ends with a slash is that of a folder, whose files are a DICOM series. One of a segment
    (`source_names.of_segment`) chooses that, one of channels is read as one image.
    """
    usual = _PICTURES.get(name[name.rfind(".") :].lower())
    if usual is not None and "}" not in name:
        return usual
    parts = channel_files(name)
    if parts:
        return ChannelFilesReader(reader_for(parts[0], choice))
    file, segment = segment_in(name)
    lowered = file.lower()
    for reader in readers(choice if segment is None else replace(choice, segment=segment)):
        if lowered.endswith(reader.suffixes):
            return reader
    raise UnreadableImage(f"{name}: no reader for this file name ending; expected one of {', '.join(SUFFIXES)}")


def read_header(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Header:
    """Shape and type of the picture in `data`, without decoding pixels; `name` gives the format."""
    return reader_for(name, choice).header(data, name)


def read_picture(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Picture:
    """The picture in `data`; `name` gives the format. UnreadableImage when the bytes do not hold one."""
    return reader_for(name, choice).read(data, name)


def read_scaled(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Scaled | None:
    """The numbers of a volume as they are stored, where others are meant: what `read_picture` would make of them later.

    None of all other files, of which `read_picture` makes no larger ones.
    """
    reader = reader_for(name, choice)
    return reader.scaled(data, name) if isinstance(reader, VolumeReader) else None


def read_orientation(data: bytes, name: str) -> int:
    """What the file says of how a viewer turns it, 1 (not at all) to 8; 0 where it says nothing or cannot be read."""
    try:
        return reader_for(name).orientation(data, name)
    except DataError:
        return 0


def holds_volume(name: str) -> bool:
    """Whether the ending of a name stands for a format of volumes, which say where they lie."""
    try:
        reader = reader_for(name)
        return isinstance(reader.reader if isinstance(reader, ChannelFilesReader) else reader, VolumeReader)
    except DataError:
        return False


def read_grid(data: bytes, name: str, choice: Choice = NO_CHOICE) -> Grid | None:
    """The grid of a volume; None of pictures and arrays, of a file that cannot be read, and of a segmentation.

    A segmentation lies where its image lies (`choice.drawn_on`), and has that one's grid where it is given.
    """
    try:
        reader = reader_for(name, choice)
        volume = reader.volume(data, name) if isinstance(reader, VolumeReader) else None
    except DataError:
        return None
    return None if volume is None or (volume.is_drawn and choice.drawn_on is None) else volume.grid


def voxel_bytes(data: bytes, name: str, choice: Choice = NO_CHOICE) -> int:
    """Bytes of the voxels of a volume as they are stored, decoded; 0 of other files and of what cannot be read."""
    try:
        reader = reader_for(name, choice)
        if isinstance(reader, ChannelFilesReader):
            return sum(voxel_bytes(held, own, choice) for own, held in reader.files(data))
        volume = reader.volume(data, name) if isinstance(reader, VolumeReader) else None
    except DataError:
        return 0
    return math.prod(volume.shape) * volume.dtype.itemsize if volume else 0


def read_stated_maximum(data: bytes, name: str) -> int:
    """`Header.stated_maximum` with the pixels looked at where only they tell; UNDECIDED where these do not either.

    Of an image in several files what all say; 0 where these say different things.
    """
    reader = reader_for(name)
    if isinstance(reader, ChannelFilesReader):
        found = {read_stated_maximum(held, own) for own, held in reader.files(data)}
        decided = found - {UNDECIDED} or found
        return decided.pop() if len(decided) == 1 else 0
    if not isinstance(reader, PngReader | TiffReader | JpegReader):
        return 0
    stated = reader.header(data, name).stated_maximum
    return png_stated_maximum(data, name) if stated == UNDECIDED else stated
