"""JPEG pictures. Never label maps: the compression changes values near every edge."""

import io
from typing import Any

from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin

from segscale.errors import UnreadableImage
from segscale.tasks.readers.orientation import exif_orientation, turned, turned_size
from segscale.tasks.readers.picture import Header, Picture, check_signature, check_size, decoding, native_pixels
from segscale.tasks.readers.pillow import decoded

_CHANNELS = {"L": 1, "RGB": 3}
_LARGEST_RATIO = 512
"""Pixels that one byte can stand for: of 8 x 8 of them Huffman coding makes a bit at least (ITU-T T.81, F.1.2)."""
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
"""Frames that are coded in another way, which knows no such bound."""


class JpegReader:
    """Reader of 8-bit grey and colour JPEG, turned as its EXIF says."""

    suffixes = (".jpg", ".jpeg")

    def header(self, data: bytes, name: str) -> Header:
        """Shape and type from the markers, without decoding."""
        with decoding(name, "JPEG image"), _open(data, name) as image:
            return _header(image, name)

    def read(self, data: bytes, name: str) -> Picture:
        """Picture with 1 or 3 channels of 8 bits."""
        # Another library in the process may have switched this on; it would fill a cut-off image with grey.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        with decoding(name, "JPEG image"), _open(data, name) as image:
            channels = _header(image, name).channels
            _check_claim(image, data, name)
            pixels = decoded(image).reshape(1, image.height, image.width, channels)
            orientation = _orientation(image)
        return Picture(native_pixels(turned(pixels, orientation)), 255.0, None)

    def stored_values(self, data: bytes, name: str) -> NDArray[Any]:
        """Always UnreadableImage: label values do not survive JPEG."""
        check_signature(data, name, (b"\xff\xd8\xff",), "a JPEG image")
        raise UnreadableImage(
            f"{name}: JPEG does not keep label values (edges blur into other numbers); expected a label map as PNG, "
            "TIFF or .npy: threshold it once and save it in one of these"
        )

    def orientation(self, data: bytes, name: str) -> int:
        """Of its EXIF block."""
        with decoding(name, "JPEG image"), _open(data, name) as image:
            return _orientation(image)


def _open(data: bytes, name: str) -> Image.Image:
    check_signature(data, name, (b"\xff\xd8\xff",), "a JPEG image")
    # Not by Image.open, which would hold a size against limits of its own.
    return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


def _header(image: Image.Image, name: str) -> Header:
    if image.mode not in _CHANNELS:
        raise UnreadableImage(f"{name}: a JPEG in {image.mode}; expected grey or RGB: convert it")
    orientation = _orientation(image)
    height, width = turned_size(image.height, image.width, orientation)
    return check_size(Header(1, height, width, _CHANNELS[image.mode], "uint8", orientation), name)


def _check_claim(image: Image.Image, data: bytes, name: str) -> None:
    """Raise UnreadableImage where so few bytes cannot hold as many pixels, for which memory would be taken at once."""
    pixels = image.height * image.width
    if pixels > _LARGEST_RATIO * len(data) and not any(marker in data for marker in _ARITHMETIC):
        raise UnreadableImage(
            f"{name}: cut off: {len(data)} bytes cannot hold the {image.width} x {image.height} pixels that the JPEG "
            f"claims (at most {_LARGEST_RATIO} for each)"
        )


def _orientation(image: Image.Image) -> int:
    block = image.info.get("exif", b"")
    return exif_orientation(block) if isinstance(block, bytes) else 0
