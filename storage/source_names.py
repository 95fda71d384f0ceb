"""Names of sources that are no whole file: of one segment of a DICOM segmentation.

Whatever knows a source by its URL, such as keys, the memory of what was read and messages, knows these apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from segscale.errors import ListingError

_SEGMENT = re.compile(r"(.+)#segment=([1-9][0-9]*)", re.DOTALL)


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


def refuse_taken(names: Iterable[str]) -> None:
    """Raise ListingError where a file is really called as a part of another would be."""
    for name in names:
        if segment_in(name)[1] is not None:
            raise ListingError(f"{name}: is called as a segment of another file would be; rename it")
