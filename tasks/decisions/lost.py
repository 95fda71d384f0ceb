"""Failed images of two paired runs of which no score is known: they lack more than a prediction, or may do so."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from segscale.tasks.metrics.pairing import Pairs


@dataclass(frozen=True, slots=True)
class Lost:
    """Images that are in no pair."""

    images: pd.DataFrame
    """A row each: all columns of its first row in run a, and status_a and status_b."""
    is_alone: bool
    """Whether there is one run, paired with itself."""

    def numbers(self, stratum: str) -> tuple[int, int]:
        """Of a stratum `column=value`, or of the whole set (""): how many, and how many of them run b alone lacks.

        Of one run alone the second number is the first. Sizes of references that were not read are not known: there is
        none in any stratum of sizes.
        """
        images = self.images
        if stratum:
            column, _, value = stratum.partition("=")
            if column not in images:
                return 0, 0
            named = images[column]
            images = images[named.astype(object).map(str).where(named.notna(), "") == value]
        only_b = images if self.is_alone else images[(images["status_a"] == "ok") & (images["status_b"] != "ok")]
        return len(images), len(only_b)


def lost_images(pairs: Pairs, per_image: pd.DataFrame, is_alone: bool = False) -> Lost:
    """Which images of run a's `per_image` neither the pairs have nor those with missing predictions."""
    found = pairs.unpaired
    paired = pairs.with_missing or pairs
    unknown = found[~found["image_id"].isin(paired.panel.images["image_id"])] if len(found) else found
    rows = per_image[per_image["image_id"].isin(unknown["image_id"])].drop_duplicates("image_id")
    of_image = unknown.set_index("image_id")
    statuses = {name: rows["image_id"].map(of_image[name]) for name in ("status_a", "status_b")}
    return Lost(rows.assign(**statuses), is_alone)
