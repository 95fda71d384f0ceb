"""The choice of what is read of a file that can be read in several ways."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segscale.tasks.affine_choice import AffineName
from segscale.tasks.grids import Grid


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody chose, or what the other files of an image tell."""

    volume: int | None = None
    """Of a file with several volumes the one that is read, from 0 on; None where there must be but one."""
    affine: AffineName | None = None
    """Which of two affines that disagree is right; None where they must agree."""
    segment: int | None = None
    """Of a DICOM segmentation the number of the one that is read, as 1 where it is and 0 elsewhere; None for all."""
    drawn_on: Grid | None = None
    """Of the image of a DICOM segmentation, which says itself nothing of the planes without a segment."""

    def over(self, image: Grid | None) -> Choice:
        """The same of a file that is drawn on this image; of pictures itself, as most files are."""
        return self if image is self.drawn_on else replace(self, drawn_on=image)


NO_CHOICE = Choice()
