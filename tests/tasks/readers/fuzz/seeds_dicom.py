"""Seeds of DICOM: series, multi-frame files and segmentations, in every encoding that is kept."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segscale.tasks.grids import Grid
from segscale.tasks.readers.dicom_series import read_series_header
from tests.tasks.readers.dicom_made import CROOKED, ct_series, ct_slice, multi_frame, segmentation, values
from tests.tasks.readers.fuzz import plays, structures
from tests.tasks.readers.fuzz.seeds import Seed
from tests.tasks.readers.fuzz.structures import Structure

GREYS = (np.add.outer(np.arange(16) ** 2, np.arange(12) * 37) % 4096).astype(np.uint16)
BYTES = (GREYS % 256).astype(np.uint8)
_DRAWN = np.indices((5, 6)).sum(0).astype(np.uint8) % 2
_DEFLATED = "1.2.840.10008.1.2.1.99"


@cache
def image_grid() -> Grid:
    """Of the image that the segmentations of these seeds were drawn on."""
    return read_series_header(ct_series(values()), "image").grid


def made() -> list[Seed]:
    return [*_images(), *_compressed(), *_segmentations()]


def _images() -> list[Seed]:
    whole = ct_series(values(3))
    one = {
        "slice": ct_slice(values(1)[0], 5, RescaleSlope=2, RescaleIntercept=-1024),
        "white is 0": ct_slice(values(1)[0], 5, PhotometricInterpretation="MONOCHROME1"),
        "frames": multi_frame(values(2), [0, 1]),
    }
    others = {
        "implicit": ct_slice(values(1)[0], 5, "1.2.840.10008.1.2"),
        "big-endian": ct_slice(values(1)[0], 5, "1.2.840.10008.1.2.2"),
        "deflated": ct_slice(values(1)[0], 5, _DEFLATED),
    }
    of = structures.of_dicom
    return [
        Seed("dicom/series/0.dcm", whole, plays.series, of),
        *(Seed(f"dicom/{what}/a.dcm", {"a.dcm": data}, plays.series, of) for what, data in one.items()),
        *(Seed(f"dicom/{what}/a.dcm", {"a.dcm": data}, plays.series) for what, data in others.items()),
        Seed("dicom/inside Deflate/a.dcm", {"a.dcm": one["slice"]}, plays.series, of, wrap=_deflated),
    ]


def _deflated(data: bytes) -> bytes:
    """The elements behind the file's own, deflated, and the transfer syntax that says so."""
    head = ct_slice(values(1)[0], 5, _DEFLATED)
    start = 144 + int.from_bytes(head[140:144], "little")
    own = 144 + int.from_bytes(data[140:144], "little")
    squeezed = zlib.compressobj(wbits=-15)
    return head[:start] + squeezed.compress(data[own:]) + squeezed.flush()


def run_lengths(pixels: NDArray[Any]) -> bytes:
    planes = pixels.astype(">u2").view("uint8").reshape(-1, 2).T
    packed = [bytes(imagecodecs.packbits_encode(np.ascontiguousarray(plane).tobytes())) for plane in planes]
    packed = [part + b"\0" * (len(part) % 2) for part in packed]
    return struct.pack("<16I", 2, 64, 64 + len(packed[0]), *[0] * 13) + b"".join(packed)


def _deflated_frame(pixels: NDArray[Any]) -> bytes:
    squeezed = zlib.compressobj(wbits=-15)
    return squeezed.compress(pixels.tobytes()) + squeezed.flush()


def _frame_structure(inner: Callable[[bytes], Structure]) -> Callable[[bytes], Structure]:
    """Of a DICOM file of one compressed frame: that of its elements, and that of its frame."""

    def structure(data: bytes) -> Structure:
        outer = structures.of_dicom(data)
        start = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00")) + 16
        found = inner(data[start:])
        moved = [structures.Number(n.start + start, n.stop + start, n.kind, n.order) for n in found.numbers]
        cuts = {*outer.cuts, *(cut + start for cut in found.cuts)}
        return Structure(tuple(sorted(cuts)), (*outer.numbers, *moved))

    return structure


def _compressed() -> list[Seed]:
    seeds = []
    for what, syntax, encode, inner in _ways():
        pixels = BYTES if what == "JPEG" else GREYS
        frame = bytes(encode(pixels))
        bits: dict[str, Any] = {} if what == "JPEG" else {"BitsStored": 12, "HighBit": 11}
        data = ct_slice(pixels, 5, f"1.2.840.10008.1.2.{syntax}", compressed=frame + b"\0" * (len(frame) % 2), **bits)
        seeds.append(Seed(f"dicom frames/{what}/a.dcm", {"a.dcm": data}, plays.series, _frame_structure(inner)))
    return seeds


def _ways() -> list[tuple[str, str, Callable[[NDArray[Any]], bytes], Callable[[bytes], Structure]]]:
    """Codecs: title, the end of the transfer syntax, how to encode, and the structure of a frame."""

    def jpeg_2000(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"))

    def in_jp2(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0))

    def htj2k(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.htj2k_encode(pixels))

    def jpeg_ls(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.jpegls_encode(pixels))

    def lossless_jpeg(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=12))

    def jpeg(pixels: NDArray[Any]) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=90))

    return [
        ("run lengths", "5", run_lengths, structures.without),
        ("Deflate", "8.1", _deflated_frame, structures.without),
        ("JPEG 2000", "4.90", jpeg_2000, structures.of_jpeg_2000),
        ("JP2", "4.91", in_jp2, structures.of_jpeg_2000),
        ("HTJ2K", "4.201", htj2k, structures.of_jpeg_2000),
        ("JPEG-LS", "4.80", jpeg_ls, structures.of_jpeg),
        ("lossless JPEG", "4.70", lossless_jpeg, structures.of_jpeg),
        ("JPEG", "4.50", jpeg, structures.of_jpeg),
    ]


def _segmentations() -> list[Seed]:
    x, y = CROOKED[:2]
    frames = [(1, (x, y, 0), _DRAWN), (2, (x, y, 0), 1 - _DRAWN), (1, (x, y, 5), _DRAWN)]
    numbered = [(0, (x, y, 0), _DRAWN * 2), (0, (x, y, 2.5), _DRAWN)]
    both = [(1, (x, y, 0), _DRAWN), (2, (x, y, 0), _DRAWN)]
    kinds = {
        "binary": segmentation(frames),
        "bytes": segmentation(frames, packed=False),
        "overlapping": segmentation(both),
        "fractional": segmentation([(n, at, 100 * drawn) for n, at, drawn in frames], "FRACTIONAL"),
        "label map": segmentation(numbered, "LABELMAP"),
        "upside down": segmentation([(1, (x, y + 2, 0), _DRAWN)], orientation=[1, 0, 0, 0, -1, 0]),
    }
    return [
        Seed(f"seg/{what}/a.dcm", {"a.dcm": data}, plays.segmentation, structures.of_dicom)
        for what, data in kinds.items()
    ]
