"""Orientation over a set: files that are turned before they are shown, beside files of the same image that are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segscale.tasks.readers import UPRIGHT


def turned_unlike(orientations: Mapping[str, npt.NDArray[np.int64]], image_ids: Sequence[str]) -> str:
    """A sentence where a file of an image is to be turned and another one of it says nothing of that; else "".

    `orientations` has for each role that of every image (`SourceFacts.orientation`), -1 where there is no such file.
    All are turned as they say; whoever lost the tag may have turned the pixels before, or may not.
    """
    values = np.stack([orientations[role] for role in orientations])
    unlike = (values > UPRIGHT).any(axis=0) & (values == 0).any(axis=0)
    if not unlike.any():
        return ""
    counts = ", ".join(
        f"{int(np.count_nonzero(found > 0))} of {int(np.count_nonzero(found >= 0))} {role}s"
        for role, found in orientations.items()
    )
    return (
        f"{counts} carry an orientation (EXIF, TIFF tag 274); each file is turned as viewers show it. One "
        f"file is turned and another says nothing at {int(np.count_nonzero(unlike))} of {len(unlike)} images, first at "
        f"{image_ids[int(unlike.argmax())]!r}: look whether the two lie on each other in a viewer"
    )
