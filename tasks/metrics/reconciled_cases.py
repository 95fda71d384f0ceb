"""Shared cases one by one: the counts of nnU-Net and of a run beside each other, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics import causes
from segscale.tasks.metrics.count_agreement import EQUAL, agreement
from segscale.tasks.metrics.metric_table import DICE
from segscale.tasks.metrics.nnunet_cases import names_of
from segscale.tasks.metrics.reconciliation import KINDS, MatchedClass, Setting
from segscale.tasks.metrics.run_numbers import NNUNET

COUNTS = ("true_positive", "false_positive", "false_negative")
STATE_EQUAL = "equal"


def compared_cases(classes: Iterable[MatchedClass], setting: Setting, image_ids: NDArray[np.object_]) -> pd.DataFrame:
    """A row for each class and shared case: image_id, label, class_name, counts and Dice of both, difference, state.

    image_ids: (shared,) of the cases whose image is sound. Counts are those of the run's own decision. `state` is
    `equal`, or the first cause by which the counts differ; `threshold` and `label_map` only where the counts of the
    other threshold or class are nnU-Net's.
    """
    return pd.concat([_of_class(one, setting, image_ids) for one in classes], ignore_index=True)


def _of_class(one: MatchedClass, setting: Setting, image_ids: NDArray[np.object_]) -> pd.DataFrame:
    theirs, ours = one.theirs.take(np.flatnonzero(setting.is_shared)), one.ours
    dice_theirs, dice_ours = (DICE.score(counts, NNUNET) for counts in (theirs, ours))
    columns = {
        f"{name}_{side}": getattr(counts, name)
        for name in COUNTS
        for side, counts in (("theirs", theirs), ("ours", ours))
    }
    return pd.DataFrame(
        {
            "image_id": image_ids,
            "label": names_of(one.labels),
            "class_name": one.class_name,
            **columns,
            "dice_theirs": dice_theirs,
            "dice_ours": dice_ours,
            "difference": dice_ours - dice_theirs,
            "state": _states(one, setting),
        }
    )


def _states(one: MatchedClass, setting: Setting) -> NDArray[np.object_]:
    theirs = one.theirs.take(np.flatnonzero(setting.is_shared))
    of_best = agreement(theirs, one.best.counts, setting.knows_negatives)
    of_run = agreement(theirs, one.ours, setting.knows_negatives)
    # What the best counting gives is nnU-Net's: the threshold or the class is what the run has otherwise.
    proved = causes.LABEL_MAP if one.best.class_index != one.class_index else causes.THRESHOLD
    states = np.full(of_run.size, proved, object)
    for kind, cause in KINDS:
        states[of_best == kind] = cause
    states[of_run == EQUAL] = STATE_EQUAL
    return states
