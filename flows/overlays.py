"""Overlays: the cases of a report as small pictures, from source files or from kept labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segscale.errors import SegscaleError
from segscale.flows.predict import jobs_of
from segscale.flows.run import Run
from segscale.storage.ledger import Ledger
from segscale.tasks import predict
from segscale.tasks import shard_plan as ingest
from segscale.tasks.overlays.pictures import Overlay, Overlays

if TYPE_CHECKING:
    from segscale.tasks.overlays.shown import LabelStack
    from segscale.tasks.report_html.cases import Case

logger = logging.getLogger("segscale")
MOST_VOXELS = 1 << 28
"""Of all images that are read for a page: more would take longer than a report is worth."""
_READ_AT_ONCE = 2
LABELS, IMAGE, NONE = "labels", "image", "none"
"""What `report.overlays` asks for: outlines alone, outlines on pixels of the images, nothing."""


def draw_overlays(run: Run, cases: Sequence[Case]) -> Overlays:
    """The pictures of the cases of a run as `report.overlays` asks for them; what cannot be drawn is said."""
    asked = run.config.report.overlays
    if asked == NONE or not cases:
        return Overlays()
    has_pixels = asked == IMAGE
    if has_pixels and not (run.catalog["image"] != "").any():
        return Overlays(lacking="the data set names no images")
    if not run.scored and run.config.store.keep != LABELS:
        return Overlays(lacking=f'labels were not kept (store.keep is "{run.config.store.keep}")')
    chosen = _affordable(run.catalog, cases)
    read = _of_files if run.scored else _of_shards
    drawn: dict[tuple[str, int], Overlay] = {}
    troubles: list[str] = []
    for stacks in read(run, run.catalog[run.catalog["image_id"].isin(chosen)], has_pixels):
        if isinstance(stacks, str):
            troubles.append(stacks)
            continue
        drawn |= _drawn(run, stacks, cases)
    if troubles:
        logger.warning("report: not all overlays could be drawn, such as: %s", troubles[0])
    return Overlays(drawn, has_pixels and bool(drawn), _lacking(cases, chosen, drawn))


def _lacking(cases: Sequence[Case], chosen: Sequence[str], drawn: Mapping[tuple[str, int], Overlay]) -> str:
    if any((case.image_id, case.class_index) not in drawn for case in cases if case.image_id in chosen):
        return "their files or labels are no longer there as they were counted"
    is_whole = all(case.image_id in chosen for case in cases)
    return "" if is_whole else "they are larger than what a page is given time for"


def _affordable(catalog: pd.DataFrame, cases: Sequence[Case]) -> list[str]:
    """The ids of the images that are read, the first of each rank before the second."""
    ids = dict.fromkeys(case.image_id for case in sorted(cases, key=_turn(cases)))
    sizes = catalog.loc[catalog["image_id"].isin(list(ids)), ["image_id", "depth", "height", "width"]]
    voxels = sizes.set_index("image_id").astype("float64").prod(axis=1)
    total = np.cumsum([voxels[image_id] for image_id in ids])
    return [image_id for image_id, so_far in zip(ids, total, strict=True) if so_far <= MOST_VOXELS]


def _turn(cases: Sequence[Case]) -> Callable[[Case], int]:
    seen: dict[tuple[int, str], int] = {}
    turns: dict[Case, int] = {}
    for case in cases:
        key = case.class_index, case.rank
        turns[case] = seen[key] = seen.get(key, -1) + 1
    return turns.__getitem__


def _drawn(run: Run, stacks: Mapping[str, LabelStack], cases: Sequence[Case]) -> dict[tuple[str, int], Overlay]:
    from segscale.tasks.overlays.drawing import overlay_png
    from segscale.tasks.overlays.shown import shown_of

    members = run.config.dataset.classes_of_name
    found = {}
    for case in cases:
        if case.image_id in stacks:
            shown = shown_of(stacks[case.image_id], case.class_index, members[case.class_name])
            found[case.image_id, case.class_index] = Overlay(overlay_png(shown), shown.slice_index, shown.n_slices)
    return found


def _of_files(run: Run, catalog: pd.DataFrame, has_pixels: bool) -> Iterator[dict[str, LabelStack] | str]:
    from segscale.flows.score import scoring_of
    from segscale.tasks.score_plan import files_at, of_catalog
    from segscale.tasks.scoring import ScoreJob
    from segscale.tasks.shown_files import stack_of_files
    from segscale.tasks.slice_axis import axis_index

    scoring, plan = scoring_of(run, run.catalog), of_catalog(catalog.reset_index(drop=True))
    files = files_at(plan.files, np.arange(len(catalog)))

    def read(place: int) -> dict[str, LabelStack] | str:
        axis = axis_index(str(catalog["slice_axis"].iloc[place]))
        try:
            job = ScoreJob("", (files[place],), is_content=True)
            return {files[place].image_id: stack_of_files(job, scoring, axis, has_pixels=has_pixels)}
        except (OSError, SegscaleError) as error:
            return str(error)

    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        yield from pool.map(read, range(len(files)))


def _of_shards(run: Run, catalog: pd.DataFrame, has_pixels: bool) -> Iterator[dict[str, LabelStack] | str]:
    from segscale.tasks.shown_shards import stacks_of_shard

    assert run.counted is not None
    assert run.counted.plan is not None
    ledger, prediction = Ledger(run.store), run.counted.plan.prediction
    of_shard = {job.ingest_key: key for key, job in jobs_of(run.config, run.catalog, prediction).items()}
    for shard, images in catalog.groupby("shard", sort=False):
        try:
            entries = ledger.read(ingest.STAGE, str(shard)), ledger.read(predict.STAGE, of_shard[str(shard)])
            ids = set(images["image_id"])
            yield stacks_of_shard(run.store, *entries, ids, prediction.n_classes, has_pixels=has_pixels)
        except (OSError, SegscaleError) as error:
            yield str(error)
