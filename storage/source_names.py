"""Names of sources that are no whole file, or several: a segment of a DICOM segmentation, the channels of an image.

Whatever knows a source by its URL, such as keys, the memory of what was read and messages, knows these apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from segscale.errors import ListingError

_SEGMENT = re.compile(r"(.+)#segment=([1-9][0-9]*)", re.DOTALL)
_CHANNELS = re.compile(r"(.*)\{([0-9]{4}(?:,[0-9]{4})+)\}(\.[^/]*)", re.DOTALL)


def of_segment(url: str, number: int) -> str:
    """What stands for one segment of a segmentation.

    >>> of_segment("file:///a/seg.dcm", 3)
    'file:///a/seg.dcm#segment=3'
    """
    return f"{url}#segment={number}"


def segment_in(name: str) -> tuple[str, int | None]:
    """The name or URL of the file, and the number of the segment that is meant; None for all of it.

    >>> segment_in("seg.dcm#segment=3"), segment_in("seg#3.dcm")
    (('seg.dcm', 3), ('seg#3.dcm', None))
    """
    found = _SEGMENT.fullmatch(name) if "#" in name else None
    return (found[1], int(found[2])) if found else (name, None)


def of_channels(before: str, numbers: Sequence[str], ending: str) -> str:
    """What stands for an image whose channels are in files called alike but for four digits.

    >>> of_channels("file:///a/case_", ["0000", "0001"], ".nii.gz")
    'file:///a/case_{0000,0001}.nii.gz'
    """
    return f"{before}{{{','.join(numbers)}}}{ending}"


def channel_files(name: str) -> tuple[str, ...]:
    """The names or URLs of the files of an image, in the order of its channels; none of an image in one file.

    >>> channel_files("case_{0000,0001}.nii.gz"), channel_files("case_0000.nii.gz")
    (('case_0000.nii.gz', 'case_0001.nii.gz'), ())
    """
    found = _CHANNELS.fullmatch(name) if "}" in name else None
    return tuple(f"{found[1]}{number}{found[3]}" for number in found[2].split(",")) if found else ()


def refuse_taken(names: Iterable[str]) -> None:
    """Raise ListingError where a file is really called as a part of another, or several of them, would be."""
    # Of a million names hardly one holds either letter.
    for name in (name for name in names if "#" in name or "}" in name):
        if segment_in(name)[1] is not None or channel_files(name):
            raise ListingError(f"{name}: is called as a segment, or as several channels, of files would be; rename it")
