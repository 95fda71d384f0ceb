"""The counts of a prediction file, of pictures and arrays."""

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.prediction_file import Counting, read_prediction


def count_prediction(reference: NDArray[np.uint8], data: bytes, name: str, counting: Counting) -> OverlapCounts:
    """Against the class indices of its reference, (D, H, W)."""
    return read_prediction(reference, data, name, counting).count(counting.labels.n_classes, counting.regions)
