"""Signatures of broken references in the counts of a run."""

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.panel import Panel


def nothing_but_ignored(panel: Panel, masks_alone: bool) -> Finding | None:
    """Ignored pixels in references that have no pixel of any foreground class.

    Of masks alone, these leave it out; else the ignored label, very likely, is one.
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
    if masks_alone:
        return Finding(
            "nothing-but-ignored",
            "error",
            "the masks leave out all that was to be found: no reference has anything inside of its mask",
            evidence,
            "look at the masks (dataset.masks, the column mask) beside the references: expected other numbers than 0 "
            "where pixels are to be counted",
        )
    return Finding(
        "nothing-but-ignored",
        "error",
        "the value that is ignored is, very likely, the one that was to be found: ignored pixels leave every reference "
        "empty",
        evidence,
        "look at the values of the references, and at the masks where the set has some; set dataset.ignore_label to "
        "what is to be left out, or leave it away, and name the value of each class in dataset.label_values",
    )
