"""Full scale: the stored value that means 1.0, where files say that it is not the largest of their type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segscale.tasks.readers import UNDECIDED


@dataclass(frozen=True, slots=True)
class FullScales:
    """What a set comes to, image by image."""

    of_images: npt.NDArray[np.int64]
    """Of each image, in their order; 0 stands for the largest number of its type."""
    agreed: tuple[str, ...]
    """A sentence for each type whose files say the same."""
    disputed: tuple[str, ...]
    """A sentence for each type whose files do not, and which are read by their type."""


def agree(dtypes: npt.NDArray[np.object_], stated: npt.NDArray[np.int64]) -> FullScales:
    """The full scale of every image from what its file states (`SourceFacts.stated_maximum`).

    One file may state the brightest pixel that it happens to hold (TIFF 6.0 calls MaxSampleValue statistical). So a
    maximum counts only where all files of its type state the same. `dtypes` is "" for images that cannot be read.
    """
    values = np.zeros(len(stated), np.int64)
    agreed, disputed = [], []
    for dtype in sorted(set(dtypes[stated != 0]) - {""}):
        of_type = dtypes == dtype
        found, counts = np.unique(stated[of_type & (stated != UNDECIDED)], return_counts=True)
        n_images = int(np.count_nonzero(of_type))
        shown = f"{n_images} {'image' if n_images == 1 else 'images'} of type {dtype}"
        if len(found) == 1 and found[0] > 0:
            values[of_type] = found[0]
            agreed.append(f"{shown}: full scale {found[0]}, as all that say something do (sBIT, MaxSampleValue)")
        elif (found > 0).any():
            said = ", ".join(
                f"{count} say {f'{value} is their largest value' if value else 'nothing'}"
                for value, count in zip(found.tolist(), counts.tolist(), strict=True)
            )
            disputed.append(
                f"{shown}: {said} (sBIT, MaxSampleValue); all are read with the full scale of their type; "
                "set dataset.full_scale where that is not what they mean"
            )
    return FullScales(values, tuple(agreed), tuple(disputed))
