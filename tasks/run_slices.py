"""Run slices: the counts of all slices of a run, in the order of its images, and the table that they become."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from segscale.storage import catalog as catalogs
from segscale.storage import parts
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.side_parts import SLICES
from segscale.tasks.metrics.per_image import EXPLAINED, IS_REGION, score_images
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.run_counts import Layout
from segscale.tasks.run_sides import collect_sides


def collect_slices(store: ObjectStore, entries: Iterable[Entry], catalog: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The slices of all shards: images in the order of the catalog, then heads, slices and classes.

    Raises DamagedStoreError where a shard holds an image or a head that the run does not know.
    """
    found: pd.DataFrame = collect_sides(
        store, entries, catalog, layout, SLICES, ("slice_index", "class_index")
    ).to_pandas()
    return found


def per_slice(slices: pd.DataFrame, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings) -> pd.DataFrame:
    """The table per_slice: a row per image, head, slice and class, with the scores that the slice has by itself."""
    places = pd.Index(catalog["image_id"]).get_indexer(slices["image_id"])
    of_image = catalog.iloc[places].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "image_id": slices["image_id"].astype("str"),
            **{name: of_image[name] for name in catalogs.group_columns(catalog)},
            "class_index": slices["class_index"].astype("int64"),
            "class_name": np.array(layout.names, dtype=object)[slices["class_index"]],
            **({IS_REGION: slices["class_index"] >= len(layout.classes)} if layout.regions else {}),
            "head": slices["head"].astype("str"),
            catalogs.SLICE_AXIS: of_image[catalogs.SLICE_AXIS],
            "slice_index": slices["slice_index"].astype("int64"),
            **{name: slices[name] for name in parts.COUNTS[:-1]},
            **{name: slices[name] for name in parts.SOFT_SUMS},
            "reference_sum": slices["reference_sum"],
            "status": "ok",
        }
    )
    # What an image adds to the gap is of images; a slice has no part of its own in it.
    scored = score_images(table, settings)
    kept: pd.DataFrame = scored.drop(columns=["status", *(f"gap_contribution_{one.name}" for one in EXPLAINED)])
    return kept
