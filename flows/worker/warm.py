"""What workers load before they begin: the modules of the work, and what its first image asks for."""

from __future__ import annotations

from segscale.flows.worker import work  # noqa: F401  # loaded here, it is loaded in every worker
from segscale.tasks.counting import encode_counted
from segscale.tasks.labels import LabelRule
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, read_prediction
from segscale.tasks.reference_file import read_reference

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000200000002080000000057dd52f8"
    "0000000e49444154789c6360606460600400000b00035229788f0000000049454e44ae426082"
)
"""Of 2x2 pixels, 0 and 1."""


def warm_up() -> None:
    """Count a pair of label maps: whatever is loaded at a first call is loaded now, once for all that are forked.

    Compiled loops are loaded by workers that have enough to do with them.
    """
    rule = LabelRule(2)
    reference = read_reference(_PNG, "warm.png", rule)
    pair = read_prediction(reference, _PNG, "warm.png", Counting(0.5, rule))
    encode_counted(["warm"], "", count_pairs([pair], 2), 2)
