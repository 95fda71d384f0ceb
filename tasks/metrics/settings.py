"""How scores are made of counts: weights, smoothing, the empty policy, batches and intervals."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from segscale.errors import ArgumentError

MAX_BATCH_SIZE = 2**63 - 1
"""More images than this no table can hold."""

EmptyPolicy = Literal["nan", "one", "zero", "smooth"]
"""Score where hard reference and hard prediction are both empty; "smooth" lets the formula stand, s/s = 1."""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """Everything but the counts that decides a score. ValueError names a field that is out of its range."""

    tversky_alpha: float = 0.3
    """Weight of false positives."""
    tversky_beta: float = 0.7
    """Weight of false negatives."""
    smooth: float = 0.0
    """Added to numerator and denominator of Dice, IoU and Tversky, hard and soft, once per image or batch."""
    empty: EmptyPolicy = "nan"
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    """Images per batch of the batch-summed scores; the whole set is always added."""
    bootstrap: int = 1000
    """Resamples of the bootstrap intervals; 0 leaves them out."""
    confidence: float = 0.95
    cluster_by: str = ""
    """Column whose values are resampled and assumed independent (patient_id); "" for images."""
    group_by: tuple[str, ...] = ()
    """Columns whose values are strata of the aggregate tables."""
    seed: int = 0

    def __post_init__(self) -> None:
        weights = (self.tversky_alpha, self.tversky_beta)
        _expect(all(_is_size(weight) for weight in weights) and sum(weights) > 0,
                "tversky_alpha and tversky_beta", "finite weights of at least 0, not both 0", weights)  # fmt: skip
        _expect(_is_size(self.smooth), "smooth", "a finite number of at least 0", self.smooth)
        _expect(self.empty in get_args(EmptyPolicy), "empty", f"one of {get_args(EmptyPolicy)}", self.empty)
        _expect(isinstance(self.batch_sizes, tuple) and all(1 <= size <= MAX_BATCH_SIZE for size in self.batch_sizes)
                and len(set(self.batch_sizes)) == len(self.batch_sizes),
                "batch_sizes", "a tuple of distinct sizes from 1 to 2^63 - 1", self.batch_sizes)  # fmt: skip
        _expect(self.bootstrap >= 0, "bootstrap", "a number of resamples of at least 0", self.bootstrap)
        _expect(0 < self.confidence < 1, "confidence", "a level between 0 and 1, such as 0.95", self.confidence)
        _expect(isinstance(self.group_by, tuple) and len(set(self.group_by)) == len(self.group_by),
                "group_by", "a tuple of distinct column names", self.group_by)  # fmt: skip
        _expect(self.seed >= 0, "seed", "an integer of at least 0", self.seed)


def _is_size(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _expect(holds: bool, name: str, expected: str, given: object) -> None:
    if not holds:
        raise ArgumentError(f"{name}: expected {expected}, got {given!r}")
