"""Order and keys of the rows of every aggregate table: unit, stratum, class (by index, regions behind, then over
classes), head.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pandas as pd

from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.panel import MACRO, OVER_CLASSES, ClassCounts, Panel, Sample, Stratum

ResultT = TypeVar("ResultT")
Row = dict[str, Any]

KEY_COLUMNS: dict[str, str | None] = {
    "unit": "str", "stratum": "str", "class_index": "int64", "class_name": "str", "head": None, "metric": "str",
}  # fmt: skip
"""The first columns of every table with their types; heads keep the type they came with."""


def over_classes(
    panel: Panel,
    stratum: Stratum,
    estimate: Callable[[Sample], list[ResultT]],
    combine: Callable[[list[ResultT]], ResultT],
) -> Iterator[tuple[Row, list[ResultT]]]:
    """Keys and results of each class and head of a stratum.

    `estimate` makes the results of one class, the same number for each; `combine` makes one of the results that the
    foreground classes have in the same place (the row MACRO).
    """
    return over_classes_together(panel, stratum, lambda samples: [estimate(sample) for sample in samples], combine)


def over_classes_together(
    panel: Panel,
    stratum: Stratum,
    estimate: Callable[[Iterator[Sample]], list[list[ResultT]]],
    combine: Callable[[list[ResultT]], ResultT],
) -> Iterator[tuple[Row, list[ResultT]]]:
    """`over_classes` where `estimate` makes the results of all classes of a head at once, in their order."""
    names: list[tuple[int, str]] = []
    by_head: list[list[list[ResultT]]] = []
    for head in panel.heads:
        classes = panel.classes[head]
        # Of two classes MICRO is the foreground itself, the same columns: estimated once.
        distinct = {id(one.counts): one for one in classes}
        found = estimate(_sample(one, stratum) for one in distinct.values())
        estimates = dict(zip(distinct, found, strict=True))
        results = [estimates[id(one.counts)] for one in classes]
        foreground = [result for one, result in zip(classes, results, strict=True) if one.is_foreground]
        n_own = sum(one.class_index != OVER_CLASSES for one in classes)
        names = [(one.class_index, one.class_name) for one in classes]
        names.insert(n_own, (OVER_CLASSES, MACRO))
        results.insert(n_own, [combine(list(same)) for same in zip(*foreground, strict=True)])
        by_head.append(results)
    for place, (index, name) in enumerate(names):
        for head, results in zip(panel.heads, by_head, strict=True):
            keys = {"unit": panel.unit, "stratum": stratum.name, "class_index": index, "class_name": name, "head": head}
            yield keys, results[place]


def _sample(one: ClassCounts, stratum: Stratum) -> Sample:
    counts = one.counts.take(stratum.images)
    if stratum.missing is None:
        return Sample(counts, None)
    partly = None if one.partly_missed is None else one.partly_missed.take(stratum.images)
    return Sample(counts, one.missed.take(stratum.missing), partly if partly is not None and _any(partly) else None)


def _any(missed: CountColumns) -> bool:
    # An image whose reference is empty has a distance all the same.
    return bool(missed.reference_sum.any() or (missed.sums is not None and missed.sums.any()))


def table(rows: list[Row], columns: dict[str, str | None]) -> pd.DataFrame:
    """The rows as a frame with these columns and types; anything else in the rows is dropped, a lack is null."""
    frame = pd.DataFrame.from_records(rows, columns=list(columns))
    return frame.astype({name: dtype for name, dtype in columns.items() if dtype})


def seed_of(stratum: Stratum, seed: int) -> list[int]:
    """A seed that depends on the stratum's name alone, so that other strata do not move its numbers."""
    return [seed, zlib.crc32(stratum.name.encode())]
