"""Signatures of broken references in the counts of a run."""

from typing import Literal

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.panel import Panel

IgnoredBy = Literal["label", "masks", "either"]
"""What pixels may be ignored by: an ignored label (and masks, as far as is known), masks alone, or both."""
LOOK_AT_MASKS = (
    "look at the masks (dataset.masks, the column mask) beside the references: expected other numbers than 0 where "
    "pixels are to be counted"
)
MASKED = "the masks leave out all that was to be found: no reference has anything inside of its mask"


def ignored_by(ignore_label: int | None, masks: object) -> IgnoredBy:
    """What pixels may be ignored by where these are dataset.ignore_label and dataset.masks.

    >>> ignored_by(None, "masks/*.png"), ignored_by(255, "masks/*.png"), ignored_by(255, "")
    ('masks', 'either', 'label')
    """
    if ignore_label is None:
        return "masks"
    return "either" if masks else "label"


def nothing_but_ignored(panel: Panel, by: IgnoredBy) -> Finding | None:
    """Ignored pixels in references that have no pixel of any foreground class.

    Of masks alone, these leave it out; of a label alone it, very likely, is one. Where the set has both, images of
    which nothing is left tell of masks of zeros.
    """
    if not len(panel.images) or not {"n_ignored", "n_pixels"} <= set(panel.images):
        return None
    n_ignored = panel.images["n_ignored"].astype("int64")
    classes = [one for one in panel.classes[panel.heads[0]] if one.is_foreground]
    left = sum(int(one.counts.reference_sum.sum() + one.missed.reference_sum.sum()) for one in classes)
    if left or not n_ignored.any():
        return None
    names = ", ".join(one.class_name for one in classes)
    n_whole = int((n_ignored == panel.images["n_pixels"].astype("int64")).sum())
    evidence = (
        f"{int((n_ignored > 0).sum())} of {len(n_ignored)} images have ignored pixels, {n_whole} of them nothing else, "
        f"{int(n_ignored.sum())} in all; no reference has a pixel of {names}"
    )
    if by == "masks":
        cause, remedy = MASKED, LOOK_AT_MASKS
    elif by == "label":
        cause = (
            "the value that is ignored is, very likely, the one that was to be found: ignored pixels leave every "
            "reference empty"
        )
        remedy = f"look at the values of the references, and at the masks where the set has some; {_OTHER_LABEL}"
    else:
        of_label = "dataset.ignore_label is the value of what was to be found"
        likely = "very likely " if n_whole else ""
        cause = f"{likely}{MASKED}; or else {of_label}"
        remedy = f"{LOOK_AT_MASKS}; then at the values of the references: {_OTHER_LABEL}"
    return Finding("nothing-but-ignored", "error", cause, evidence, remedy)


_OTHER_LABEL = (
    "set dataset.ignore_label to what is to be left out, or leave it away, and name the value of each class in "
    "dataset.label_values"
)
