"""Signatures of broken references in the counts of a run."""

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.panel import Panel


def nothing_but_ignored(panel: Panel) -> Finding | None:
    """Pixels of the ignore label in references that have no pixel of any foreground class: it is, very likely, one."""
    if not len(panel.images) or "n_ignored" not in panel.images:
        return None
    n_ignored = panel.images["n_ignored"].astype("int64")
    classes = [one for one in panel.classes[panel.heads[0]] if one.is_foreground]
    left = sum(int(one.counts.reference_sum.sum() + one.missed.reference_sum.sum()) for one in classes)
    if left or not n_ignored.any():
        return None
    names = ", ".join(one.class_name for one in classes)
    return Finding(
        "nothing-but-ignored",
        "error",
        "the value that is ignored is, very likely, the one that was to be found: ignored pixels leave every reference "
        "empty",
        f"{int((n_ignored > 0).sum())} of {len(n_ignored)} images have ignored pixels, {int(n_ignored.sum())} in all; "
        f"no reference has a pixel of {names}",
        "look at the values of the references; set dataset.ignore_label to what is to be left out, or leave it away, "
        "and name the value of each class in dataset.label_values",
    )
