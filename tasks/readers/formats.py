"""The known file formats, chosen by the ending of a name."""

from segscale.errors import DataError, UnreadableImage
from segscale.tasks.readers.arrays import NumpyReader
from segscale.tasks.readers.depth import UNDECIDED
from segscale.tasks.readers.jpeg import JpegReader
from segscale.tasks.readers.picture import Header, Picture, Reader
from segscale.tasks.readers.png import PngReader, png_stated_maximum
from segscale.tasks.readers.tiff import TiffReader

READERS: tuple[Reader, ...] = (PngReader(), JpegReader(), TiffReader(), NumpyReader())


def reader_for(name: str) -> Reader:
    """The reader of the format that the ending of `name` (a path or URL) stands for, upper or lower case."""
    lowered = name.lower()
    for reader in READERS:
        if lowered.endswith(reader.suffixes):
            return reader
    supported = ", ".join(suffix for reader in READERS for suffix in reader.suffixes)
    raise UnreadableImage(f"{name}: no reader for this file name ending; expected one of {supported}")


def read_header(data: bytes, name: str) -> Header:
    """Shape and type of the picture in `data`, without decoding pixels; `name` gives the format."""
    return reader_for(name).header(data, name)


def read_picture(data: bytes, name: str) -> Picture:
    """The picture in `data`; `name` gives the format. UnreadableImage when the bytes do not hold one."""
    return reader_for(name).read(data, name)


def read_orientation(data: bytes, name: str) -> int:
    """What the file says of how a viewer turns it, 1 (not at all) to 8; 0 where it says nothing or cannot be read."""
    try:
        return reader_for(name).orientation(data, name)
    except DataError:
        return 0


def read_stated_maximum(data: bytes, name: str) -> int:
    """`Header.stated_maximum` with the pixels looked at where only they tell; UNDECIDED where these do not either."""
    stated = read_header(data, name).stated_maximum
    return png_stated_maximum(data, name) if stated == UNDECIDED else stated
