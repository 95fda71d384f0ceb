"""Seeds: small sound files of every format and kind, which the fuzz test damages; all are made here."""

from __future__ import annotations

import binascii
import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.tasks.readers.fuzz import plays, structures
from tests.tasks.readers.fuzz.structures import Structure


def unchanged(data: bytes) -> bytes:
    return data


@dataclass(frozen=True)
class Seed:
    """A sound input, and how one of its files is damaged."""

    name: str
    """Of this seed alone; its last part is the name of the file."""
    files: Mapping[str, bytes]
    """By their names; those that are wrapped, as they are before that."""
    play: plays.Play
    structure: Callable[[bytes], Structure] = structures.without
    damaged: tuple[str, ...] = ()
    """Which files are damaged; all where none is named."""
    is_unbounded: bool = False
    """Whether a few bytes of it can stand for any number of pixels, so that a claim cannot be refused at once."""
    wrap: Callable[[bytes], bytes] = unchanged
    """What is done with a damaged file before it is read: compressed, or its checksums mended."""

    @property
    def kind(self) -> str:
        """What it can be spliced with: all of the same format."""
        return self.name.split("/")[0]


@cache
def seeds() -> dict[str, Seed]:
    """All seeds by their names."""
    from tests.tasks.readers.fuzz import seeds_dicom, seeds_volumes

    found = [*_png(), *_jpeg(), *_tiff(), *_arrays(), *seeds_volumes.made(), *seeds_dicom.made()]
    return {seed.name: seed for seed in found}


GREY = (np.add.outer(np.arange(12) ** 2, np.arange(10) * 3) % 251).astype(np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], GREY // 2], axis=-1)
LABELS = (GREY > 100).astype(np.uint8)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def mended_png(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, as far as they can be told apart."""
    mended, place = bytearray(data), 8
    while place + 12 <= len(data):
        stop = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if stop + 4 > len(data):
            break
        mended[stop : stop + 4] = binascii.crc32(data[place + 4 : stop]).to_bytes(4, "big")
        place = stop + 4
    return bytes(mended)


def _png() -> list[Seed]:
    bits = Image.fromarray(LABELS * 255).convert("1")
    palette = Image.fromarray(LABELS).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    turned = Image.Exif()
    turned[274] = 6
    pictures = {
        "grey": _saved(Image.fromarray(GREY), "PNG", exif=turned),
        "colours": _saved(Image.fromarray(COLOURS), "PNG"),
        "bits": _saved(bits, "PNG"),
        "palette": _saved(palette, "PNG", bits=2, transparency=2),
        "alpha": _saved(Image.fromarray(COLOURS).convert("RGBA"), "PNG"),
        "16 bits": bytes(imagecodecs.png_encode(GREY.astype(np.uint16) * 257)),
        "colours of 16 bits": bytes(imagecodecs.png_encode(COLOURS.astype(np.uint16) * 257)),
    }
    found = []
    for what, data in pictures.items():
        for checksums, wrap in (("", unchanged), (", checksums mended", mended_png)):
            name = f"png/{what}{checksums}/a.png"
            found.append(Seed(name, {"a.png": data}, plays.picture, structures.of_png, wrap=wrap))
    return found


def _jpeg() -> list[Seed]:
    turned = Image.Exif()
    turned[274] = 8
    pictures = {
        "grey": _saved(Image.fromarray(GREY), "JPEG", exif=turned),
        "colours": _saved(Image.fromarray(COLOURS), "JPEG"),
        "progressive": _saved(Image.fromarray(COLOURS), "JPEG", progressive=True),
        "CMYK": _saved(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"),
    }
    return [
        Seed(f"jpeg/{what}/a.jpg", {"a.jpg": data}, plays.picture, structures.of_jpeg)
        for what, data in pictures.items()
    ]


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"metadata": None, "software": False, **options})
    return stream.getvalue()


_COMPRESSIONS = ("zlib", "lzw", "packbits", "lzma", "zstd", "jpeg", "jpeg2000", "jpegxl", "webp", "lerc", "png")

_UUID = "00000000-0000-0000-0000-000000000000"
"""Without it there is a new one each time, and damage is not the same each time."""

_UNBOUNDED = ("jpeg2000", "jpegxl", "webp", "lerc", "png", "fax")


def _tiff() -> list[Seed]:
    stack, floats = np.stack([LABELS, LABELS[::-1], LABELS[:, ::-1]]), GREY / np.float32(255)
    colours = (np.arange(3 * 256) * 97 % 65536).reshape(3, 256).astype(np.uint16)
    pictures = {
        "grey": tiff(GREY),
        "colours in planes": tiff(COLOURS.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "big-endian": tiff(GREY.astype(">u2"), byteorder=">"),
        "BigTIFF": tiff(GREY, bigtiff=True),
        "strips": tiff(GREY, rowsperstrip=4, compression="zlib", predictor=True),
        "tiles": tiff(GREY, tile=(16, 16), compression="lzw"),
        "pages": tiff(stack, photometric="minisblack", compression="packbits"),
        "ImageJ": tiff(stack, imagej=True, metadata={"axes": "ZYX"}),
        "OME": tiff(stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX", "UUID": _UUID}),
        "floats": tiff(floats, compression="zlib", predictor=3),
        "bits": tiff(LABELS.astype(bool), compression="packbits"),
        "fax": tiff(LABELS.astype(bool), photometric="miniswhite"),
        "palette": tiff(LABELS, photometric="palette", colormap=colours),
        "alpha": tiff(np.dstack([COLOURS, np.full_like(GREY, 255)]), photometric="rgb", extrasamples=["unassalpha"]),
    }
    for compression in _COMPRESSIONS:
        pixels = COLOURS if compression == "webp" else GREY
        options = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
        pictures[compression] = tiff(pixels, compression=compression, **options)
    pictures["lossless JPEG"] = tiff(GREY, compression="jpeg", compressionargs={"lossless": True})
    return [
        Seed(f"tiff/{what}/a.tif", {"a.tif": data}, plays.picture, structures.of_tiff, is_unbounded=what in _UNBOUNDED)
        for what, data in pictures.items()
    ]


def npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def mended_npy(data: bytes) -> bytes:
    """A .npy file that says how long its header is, as far as that can be seen."""
    end = data.find(b"\n") + 1
    return data[:8] + (end - 10).to_bytes(2, "little") + data[10:] if 10 < end < 2**16 else data


def zipped(member: bytes) -> bytes:
    """An archive of one array, compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(zipfile.ZipInfo("a.npy"), mended_npy(member), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _arrays() -> list[Seed]:
    found = []
    arrays: dict[str, NDArray[Any]] = {
        "labels": np.stack([LABELS] * 3),
        "floats": GREY / np.float16(256),
        "64 bits": GREY.astype(">i8"),
    }
    for what, array in arrays.items():
        plain, of = {"a.npy": npy(array)}, structures.of_npy
        found += [
            Seed(f"npy/{what}/a.npy", plain, plays.picture, of),
            Seed(f"npy/{what}, length mended/a.npy", plain, plays.picture, of, wrap=mended_npy),
            Seed(f"npy/{what}, in an archive/a.npz", {"a.npz": npy(array)}, plays.archive, of, wrap=zipped),
        ]
    one = {"a.npz": zipped(npy(LABELS))}
    stream = io.BytesIO()
    np.savez(stream, a=LABELS, b=GREY)
    found.append(Seed("npz/one/a.npz", one, plays.archive, structures.of_zip))
    found.append(Seed("npz/two, stored/a.npz", {"a.npz": stream.getvalue()}, plays.archive, structures.of_zip))
    return found


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)
