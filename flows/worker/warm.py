"""What workers load before they begin: the modules of the work, and the first call of what is compiled."""

from __future__ import annotations

import numpy as np

from segscale.flows.worker import work  # noqa: F401  # loaded here, it is loaded in every worker
from segscale.tasks.metrics.overlap import count_overlap


def warm_up() -> None:
    """Have the compiler's machinery loaded: its first call costs a third of a second in every process."""
    mask = np.zeros((1, 2, 2), np.uint8)
    count_overlap(mask, n_classes=2, label_map=mask, ignore_index=255)
