"""Pixels of DICOM files: stored numbers of frames, unpacked, decoded and freed of unused bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_codecs import NATIVE, codec_of, decode_frame
from segscale.tasks.readers.dicom_file import DicomFile
from segscale.tasks.readers.dicom_planes import frame_count
from segscale.tasks.readers.dicom_words import photometric_word
from segscale.tasks.readers.picture import Header, check_size

_WIDTHS: Final = (1, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How a file stores its frames."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    """Bits that a pixel takes: 1, 8, 16 or 32."""
    bits_stored: int
    """Bits of it that are the number."""
    high_bit: int
    """The highest of them."""
    is_signed: bool
    photometric: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers; uint8 for single bits."""
        return np.dtype(f"{'i' if self.is_signed else 'u'}{max(self.bits_allocated // 8, 1)}")

    @property
    def native_bytes(self) -> int:
        """Bytes of all frames uncompressed; single bits of one frame follow those of the one before at once."""
        return (self.frames * self.rows * self.columns * self.bits_allocated + 7) // 8

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest number that the stored bits can have."""
        if self.is_signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1


def read_layout(file: DicomFile) -> PixelLayout:
    """The layout that a header claims, within the limits of `check_size`, before anything is decoded."""
    header, name = file.header, file.name
    keywords = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
    missing = [keyword for keyword in keywords if not isinstance(header.get(keyword), int)]
    if missing or not file.has_pixels:
        raise UnreadableImage(f"{name}: holds no image ({', '.join(missing) or 'no pixels'} in its header)")
    rows, columns, allocated, stored, high_bit = (int(header[keyword].value) for keyword in keywords)
    layout = PixelLayout(
        frame_count(file), rows, columns, allocated, stored, high_bit, header.get("PixelRepresentation") == 1,
        photometric_word(header.get("PhotometricInterpretation")),
    )  # fmt: skip
    if int(header.get("SamplesPerPixel") or 1) != 1 or layout.photometric.startswith(("RGB", "YBR")):
        raise UnreadableImage(f"{name}: a colour image ({layout.photometric}); expected one grey value a pixel")
    if allocated not in _WIDTHS or not 0 < stored <= high_bit + 1 <= allocated:
        raise UnreadableImage(
            f"{name}: {stored} bits up to bit {high_bit} of {allocated} for a pixel; expected 1, 8, 16 or 32, and no "
            "more stored than there are"
        )
    if allocated <= 8 and not file.is_little_endian:
        raise UnreadableImage(
            f"{name}: big-endian pixels of {allocated} bits; expected little-endian ones: transcode it"
        )
    # Single bits are unpacked a frame at a time.
    depth = -(-layout.frames // 8) if allocated == 1 else layout.frames
    check_size(Header(depth, rows, columns, 1, layout.dtype.name), name)
    return layout


def check_lossless(file: DicomFile) -> None:
    """Raise UnreadableImage where pixels are compressed so that values may have changed, which no label bears."""
    if file.syntax not in NATIVE and not codec_of(file.syntax, file.name).is_lossless:
        title = codec_of(file.syntax, file.name).title
        raise UnreadableImage(
            f"{file.name}: compressed with {title}, which may change values; expected a lossless codec"
        )


def read_frames(file: DicomFile, layout: PixelLayout, wanted: Sequence[int] | None = None) -> Iterator[NDArray[Any]]:
    """Stored numbers of each frame, (rows, columns) of `layout.dtype`. UnreadableImage for damage, as it is met.

    `wanted` are the places of frames that are decoded, from 0; None for all.
    """
    places = range(layout.frames) if wanted is None else wanted
    if file.syntax in NATIVE:
        yield from (_freed(frame, layout) for frame in _native(file, layout, places))
        return
    codec = codec_of(file.syntax, file.name)
    shape, pixel_bytes = (layout.rows, layout.columns), layout.dtype.itemsize
    compressed = _compressed_frames(file, layout)
    for frame in (compressed[place] for place in places):
        yield _freed(_shaped(decode_frame(codec, frame, shape, pixel_bytes, file.name), layout, file.name), layout)


def _native(file: DicomFile, layout: PixelLayout, places: Sequence[int]) -> Iterator[NDArray[Any]]:
    expected = layout.native_bytes
    too_many = expected + max(expected // layout.frames, 2)  # one frame more; some writers pad the last
    data = np.frombuffer(file.pixel_bytes(too_many), np.uint8)
    if not expected <= len(data) < too_many:
        raise UnreadableImage(
            f"{file.name}: {len(data)} bytes of pixels; expected {expected} for {layout.frames} frames of "
            f"{layout.rows} x {layout.columns} pixels of {layout.bits_allocated} bits"
        )
    shape = layout.rows, layout.columns
    frame_bits = layout.rows * layout.columns * layout.bits_allocated
    stored = layout.dtype.newbyteorder("<" if file.is_little_endian else ">")
    for start in (place * frame_bits for place in places):
        own = data[start // 8 : (start + frame_bits + 7) // 8]
        if layout.bits_allocated == 1:
            yield _bits(own, shape, start % 8)
        else:
            yield own.view(stored).reshape(shape).astype(layout.dtype, copy=False)


def _bits(packed: NDArray[np.uint8], shape: tuple[int, int], first: int = 0) -> NDArray[np.uint8]:
    """Single bits, the lowest of a byte first, from that of number `first` on."""
    count = shape[0] * shape[1]
    return np.unpackbits(packed, count=first + count, bitorder="little")[first:].reshape(shape)


def _compressed_frames(file: DicomFile, layout: PixelLayout) -> list[bytes]:
    from pydicom.encaps import generate_frames

    frames = list(generate_frames(file.pixel_bytes(0), number_of_frames=layout.frames))
    if len(frames) != layout.frames:
        raise UnreadableImage(
            f"{file.name}: {len(frames)} compressed frames; expected {layout.frames} as the header says"
        )
    return frames


def _shaped(decoded: NDArray[Any] | bytes, layout: PixelLayout, name: str) -> NDArray[Any]:
    shape = layout.rows, layout.columns
    count = layout.rows * layout.columns
    if isinstance(decoded, np.ndarray):
        if decoded.shape != shape or decoded.dtype.kind not in "biu" or decoded.dtype.itemsize > layout.dtype.itemsize:
            raise UnreadableImage(
                f"{name}: a frame decodes to {decoded.dtype.name} values of shape {decoded.shape}; expected {shape} "
                f"and {layout.bits_allocated} bits"
            )
        return decoded.astype(layout.dtype, copy=False)
    # Single bits are packed by some writers and a byte each by others; the length tells.
    if layout.bits_allocated == 1 and (count + 7) // 8 <= len(decoded) <= (count + 7) // 8 + 1 < count:
        return _bits(np.frombuffer(decoded, np.uint8), shape)
    if not 0 <= len(decoded) - count * layout.dtype.itemsize <= 1:
        raise UnreadableImage(
            f"{name}: a frame decodes to {len(decoded)} bytes; expected {count * layout.dtype.itemsize}"
        )
    return np.frombuffer(decoded, layout.dtype.newbyteorder("<"), count=count).reshape(shape)


def _freed(stored: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Numbers without the bits above and below them, where overlays lay once, and with the sign where they have one."""
    above = layout.bits_allocated - 1 - layout.high_bit
    unused = layout.bits_allocated - layout.bits_stored
    return (stored << above) >> unused if unused else stored
