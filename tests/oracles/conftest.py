"""Counts of images as the `per_image` table that the aggregates take."""

from collections.abc import Callable

import pandas as pd
import pytest

from segscale.tasks.metrics.overlap import OverlapCounts

COUNTS = (
    "true_positive", "false_positive", "false_negative", "true_negative", "soft_intersection", "soft_prediction_sum",
    "soft_prediction_squared_sum", "reference_sum",
)  # fmt: skip


@pytest.fixture(scope="session")
def per_image_of() -> Callable[[list[OverlapCounts]], pd.DataFrame]:
    """Rows by image, then class: image0, image1, ... of class0, class1, ..."""

    def build(images: list[OverlapCounts]) -> pd.DataFrame:
        rows = [
            {
                "image_id": f"image{place}",
                "class_index": index,
                "class_name": f"class{index}",
                "head": 0,
                **{name: getattr(counts, name)[index] for name in COUNTS},
                "status": "ok",
            }
            for place, counts in enumerate(images)
            for index in range(counts.n_classes)
        ]
        return pd.DataFrame(rows)

    return build
