"""What workers on this machine load before they begin: it is loaded once, and forked."""

from __future__ import annotations

import sys

from segscale.flows.worker import work  # noqa: F401  # loaded here, it is loaded in every worker
from segscale.tasks import score  # noqa: F401
from segscale.tasks.compiled import EFFORT, before_compiling
from segscale.tasks.counting import encode_counted
from segscale.tasks.labels import LabelRule
from segscale.tasks.pair_counts import count_pairs
from segscale.tasks.prediction_file import Counting, LabelPair, read_prediction
from segscale.tasks.readers import read_label_map
from segscale.tasks.reference_file import read_reference
from segscale.tasks.stored_pair import count_stored

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000200000002080000000057dd52f8"
    "0000000e49444154789c6360606460600400000b00035229788f0000000049454e44ae426082"
)
"""Of 2x2 pixels, 0 and 1."""
_BLAS = "scipy.linalg.cython_blas"


def warm_up() -> None:
    """Count a pair of label maps, and load the compiler's machinery: whatever a first call would load is there then.

    It takes half a second, while the driver loads too. A process of its own would wait with the compiled loops until
    there is much to do; here they are worth the while from the start.
    """
    EFFORT.spent = EFFORT.worth_loading
    rule = LabelRule(2)
    labels = read_label_map(_PNG, "warm.png")
    count_stored(labels, labels, None, rule, rule)
    reference = read_reference(_PNG, "warm.png", rule)
    pair = read_prediction(reference, _PNG, "warm.png", Counting(0.5, rule))
    if isinstance(pair.found, LabelPair):
        encode_counted(["warm"], "", count_pairs([pair.found], 2), 2)


@before_compiling
def _load_without_blas() -> None:
    """Numba looks for the linear algebra of scipy when it is first used, which takes as long to load as all the rest.

    Nothing of it is compiled here; in a process of others something may be, so this is for workers alone.
    """
    from numba.core.registry import cpu_target

    if _BLAS in sys.modules:
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # this is how an import is refused
    try:
        cpu_target.target_context.refresh()
    finally:
        del sys.modules[_BLAS]
