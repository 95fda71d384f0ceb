"""DICOM files: their elements, read with pydicom so that no text of theirs gets into a message, a warning or a log."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from segscale.errors import SegscaleError, UnreadableImage

Buffer = bytes | memoryview
_PREAMBLE: Final = 128
_HEAD_LIMIT: Final = 2**26
"""Most bytes of a deflated file that are inflated before its header says how many pixels follow."""

_PIXEL_GROUP: Final = 0x7FE0
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_WITHOUT_PIXELS: Final = (
    "1.2.840.10008.1.3.10",
    *(_STORAGE + kind for kind in ("9.", "11.", "66.1", "66.2", "66.3", "88.", "104.", "481.3", "481.5")),
)
"""Classes of files, by the beginnings of their UIDs, in which nobody expects an image: DICOMDIR, waveforms,
presentation states, registrations, reports, documents, contours and plans."""

# Nothing else is kept: what is not read cannot leak.
_ELEMENTS: Final = """
    BitsAllocated BitsStored Columns FrameOfReferenceUID HighBit ImageOrientationPatient ImagePositionPatient
    ImageType MaximumFractionalValue Modality ModalityLUTSequence NumberOfFrames PerFrameFunctionalGroupsSequence
    PhotometricInterpretation PixelPaddingValue PixelRepresentation PixelSpacing ReferencedSeriesSequence
    RescaleIntercept RescaleSlope Rows SOPClassUID SamplesPerPixel SegmentSequence SegmentationFractionalType
    SegmentationType SeriesInstanceUID SharedFunctionalGroupsSequence SliceThickness SpacingBetweenSlices
    TotalPixelMatrixColumns TotalPixelMatrixRows
"""
# pydicom tells of foreign bytes in warnings and in its log, whose switches belong to the whole process.
_QUIET = threading.RLock()


@dataclass(frozen=True, slots=True)
class DicomFile:
    """An open file: what is asked of it is asked inside `opened`."""

    name: str
    header: Any
    """The elements before the pixels, a `pydicom.Dataset`; of them those that readers use."""
    syntax: str
    """UID of the transfer syntax."""
    has_pixels: bool
    _body: Buffer
    _pixels_at: int
    _deflated: Buffer | None

    @property
    def is_little_endian(self) -> bool:
        """Byte order of elements and of native pixels."""
        return self.syntax != _BIG_ENDIAN

    def pixel_bytes(self, at_most: int) -> bytes:
        """The value of the element Pixel Data, shorter where the file ends; a deflated file is inflated no further."""
        from pydicom.filereader import read_dataset

        body = self._body
        if self._deflated is not None:
            body = _inflate(self._deflated, self._pixels_at + 16 + at_most)
        pixels = read_dataset(
            _Stream(memoryview(body)[self._pixels_at :]),
            is_implicit_VR=self.syntax == _IMPLICIT,
            is_little_endian=self.is_little_endian,
            stop_when=lambda tag, *_: tag.group != _PIXEL_GROUP,
        )
        if "PixelData" not in pixels:
            raise UnreadableImage(
                f"{self.name}: no integers for pixels (Pixel Data), but floats or none; expected integers"
            )
        return bytes(pixels.get_item("PixelData").value or b"")


class _Stream:
    """A file of bytes in memory, which io.BytesIO would copy."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._place = view, 0

    def read(self, size: int = -1) -> bytes:
        stop = len(self._view) if size is None or size < 0 else min(self._place + size, len(self._view))
        read = bytes(self._view[self._place : stop])
        self._place += len(read)
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._view)}[whence])
        return self._place

    def tell(self) -> int:
        return self._place


def is_dicom(data: Buffer) -> bool:
    """Whether bytes begin as a DICOM file does: with DICM at byte 128, or with a first element as old files have it."""
    head = bytes(data[: _PREAMBLE + 4])
    return head[_PREAMBLE:] == b"DICM" or (len(head) > 8 and head[:2] in (b"\x02\x00", b"\x08\x00") and not head[3])


@contextmanager
def opened(data: Buffer, name: str) -> Iterator[DicomFile]:
    """The DICOM file in `data`; whatever pydicom finds wrong in it, here or in the block, becomes UnreadableImage."""
    if not len(data):
        raise UnreadableImage(f"{name}: the file is empty (0 bytes); expected a DICOM file")
    if not is_dicom(data):
        raise UnreadableImage(f"{name}: not DICOM, whatever its name says: no DICM at byte 128")
    from pydicom import config

    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log, was_disabled = config.logger, config.logger.disabled
        log.disabled = True
        try:
            yield _parsed(data, name)
        except (SegscaleError, MemoryError, ImportError):
            raise  # the first is ours, the others are about the machine, not about the bytes
        except Exception as error:  # noqa: BLE001  # of many types; their texts quote values, which are the patient's
            raise UnreadableImage(
                f"{name}: damaged DICOM file ({type(error).__name__} while reading its elements)"
            ) from None
        finally:
            log.disabled = was_disabled


def _parsed(data: Buffer, name: str) -> DicomFile:
    from pydicom.filereader import read_dataset

    stream = _Stream(memoryview(data))
    syntax, kind = _meta(stream, data)
    start = stream.tell()
    deflated = memoryview(data)[start:] if syntax == _DEFLATED else None
    body: Buffer = memoryview(data)[start:] if deflated is None else _inflate(deflated, _HEAD_LIMIT)
    elements = _Stream(memoryview(body))
    header = read_dataset(
        elements,
        is_implicit_VR=syntax == _IMPLICIT,
        is_little_endian=syntax != _BIG_ENDIAN,
        stop_when=lambda tag, *_: tag.group >= _PIXEL_GROUP,
        specific_tags=_wanted(),
    )
    pixels_at = elements.tell()
    order = "little" if syntax != _BIG_ENDIAN else "big"
    has_pixels = int.from_bytes(body[pixels_at : pixels_at + 2], order) == _PIXEL_GROUP  # type: ignore[arg-type]
    if not has_pixels and not (kind or str(header.get("SOPClassUID"))).startswith(_WITHOUT_PIXELS):
        raise UnreadableImage(f"{name}: cut off, or without pixels: the file ends after {len(data)} bytes")
    return DicomFile(name, header, syntax, has_pixels, body, pixels_at, deflated)


def _meta(stream: _Stream, data: Buffer) -> tuple[str, str]:
    """UIDs of the transfer syntax and of the class, with `stream` put where the elements begin."""
    from pydicom.filereader import read_dataset

    stream.seek(_PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM" else 0)
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    if "TransferSyntaxUID" in meta:
        return str(meta["TransferSyntaxUID"].value), str(meta.get("MediaStorageSOPClassUID") or "")
    # Files of before 1993 have none, and are implicit unless letters stand where explicit ones have a type.
    letters = bytes(data[stream.tell() + 4 : stream.tell() + 6])
    return (_EXPLICIT if re.fullmatch(rb"[A-Z]{2}", letters) else _IMPLICIT), ""


@cache
def _wanted() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in _ELEMENTS.split()]


def _inflate(deflated: Buffer, limit: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, limit)


def hashed_uid(uid: object) -> str | None:
    """What stands for a UID wherever it is kept: half of its sha256 in hexadecimal; None where there is none."""
    text = str(uid or "").strip(" \0")
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else None
