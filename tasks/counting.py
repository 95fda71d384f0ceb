"""Counts as rows: what the kernel counted of one image, ready to be committed in a part."""

from __future__ import annotations

from typing import Any

from segscale.storage import parts
from segscale.storage.failures import Failure, to_columns
from segscale.tasks.metrics.overlap import OverlapCounts


def count_rows(image_id: str, head: str, counts: OverlapCounts) -> list[dict[str, Any]]:
    """The rows of a part for one sound image and head, one per class, in the columns of `storage.parts.SCHEMA`."""
    n_classes = len(counts.true_positive)
    first_histogram = n_classes - len(counts.histogram_foreground)
    return [
        {
            "image_id": image_id,
            "head": head,
            "class_index": index,
            "n_pixels": counts.n_pixels,
            "n_ignored": counts.n_ignored,
            **{name: int(getattr(counts, name)[index]) for name in parts.COUNTS[2:]},
            **{name: float(getattr(counts, name)[index]) for name in parts.SOFT_SUMS},
            **{
                name: getattr(counts, name)[index - first_histogram].tolist() if index >= first_histogram else None
                for name in parts.HISTOGRAMS
            },
            **to_columns(None),
        }
        for index in range(n_classes)
    ]


def failed_rows(image_id: str, head: str, n_classes: int, failure: Failure) -> list[dict[str, Any]]:
    """The rows of a part for an image that could not be counted: null counts, NaN sums, and the reason."""
    nothing = dict.fromkeys((*parts.COUNTS, *parts.HISTOGRAMS))
    unknown = dict.fromkeys(parts.SOFT_SUMS, float("nan"))
    return [
        {"image_id": image_id, "head": head, "class_index": index, **nothing, **unknown, **to_columns(failure)}
        for index in range(n_classes)
    ]
