"""Companions: the files that lie beside a header and hold its voxels."""

from __future__ import annotations

from segscale.tasks.readers.metaimage import metaimage_data_files
from segscale.tasks.readers.nrrd import nrrd_data_files

COMPANIONED = (".mhd", ".nhdr", ".hdr", ".hdr.gz")
"""The endings of headers whose voxels lie in other files."""


def companion_names(data: bytes, name: str) -> tuple[str, ...]:
    """The names of the files that hold the voxels of a header, as seen from its folder; some may not be there.

    Raises UnreadableImage for a header that is damaged, or names files elsewhere.
    """
    lowered = name.lower()
    if lowered.endswith(".mhd"):
        return metaimage_data_files(data, name)
    if lowered.endswith(".nhdr"):
        return nrrd_data_files(data, name)
    stem = name[: lowered.rindex(".hdr")]
    return f"{stem}.img", f"{stem}.img.gz"
