"""Hard labels: the predicted class of each pixel, by the rule of the counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.kept import to_labels
from segscale.tasks.metrics.region_channels import written_labels
from segscale.tasks.prediction_file import LabelPair, ProbabilityPair
from segscale.tasks.region_pair import RegionPair


def hard_labels(pair: LabelPair | ProbabilityPair | RegionPair) -> NDArray[np.uint8]:
    """(D, H, W) class indices of a prediction; anything where its reference is ignored.

    Of channels of regions it is the label map that they write.
    """
    if isinstance(pair, LabelPair):
        return pair.label_map
    if isinstance(pair, RegionPair):
        return written_labels(pair.probabilities, pair.channels, pair.threshold)
    stacked = pair.probabilities.ndim > pair.reference.ndim
    values = pair.probabilities if stacked else pair.probabilities[..., np.newaxis]
    return to_labels(values, max(values.shape[-1], 2), pair.threshold)
