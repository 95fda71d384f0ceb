"""Run measures: the surfaces and lesions of a run, in the order of its images, and the tables that they become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segscale.storage import catalog as catalogs
from segscale.storage.ledger import Entry
from segscale.storage.list_columns import ListColumns
from segscale.storage.objects import ObjectStore
from segscale.storage.side_parts import HISTOGRAMS, LESIONS, SURFACES
from segscale.tasks.measuring import Measuring
from segscale.tasks.metrics.lesion_metrics import score_lesions
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.surface_metrics import BORDERS, nsd_name, with_missed
from segscale.tasks.run_counts import Layout
from segscale.tasks.run_sides import collect_sides, read_sides, rows_in_order

KEYS = ("image_id", "head", "class_index")
_ROW = "row of the surfaces"


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTables:
    """What a report holds of it."""

    frames: dict[str, pd.DataFrame]
    """The tables surface, lesions and lesion_counts, as far as they were asked for."""
    lists: dict[str, ListColumns]
    """The last columns of these tables: `HISTOGRAMS` of surface."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRows:
    """What was measured in all shards; None what was not asked for."""

    surfaces: pd.DataFrame | None
    """The columns of `side_parts.SURFACES` but the histograms, with one for each tolerance in the place of `nsd`."""
    lesions: pd.DataFrame | None
    histograms: ListColumns | None = None
    """`HISTOGRAMS` of each row of the surfaces."""

    def tables(
        self, per_image: pd.DataFrame, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings
    ) -> MeasuredTables:
        """The tables of images and lesions."""
        frames: dict[str, pd.DataFrame] = {}
        lists = {}
        if self.surfaces is not None and self.histograms is not None:
            frames["surface"], rows = surface_table(self.surfaces, per_image, settings)
            lists["surface"] = self.histograms.at(rows)
        if self.lesions is not None:
            frames["lesions"] = lesion_table(self.lesions, catalog, layout)
            frames["lesion_counts"] = lesion_count_table(self.lesions, per_image, settings)
        return MeasuredTables(frames, lists)


NOTHING = MeasuredRows(None, None)


def collect_measures(
    store: ObjectStore, entries: Iterable[Entry], catalog: pd.DataFrame, layout: Layout, measuring: Measuring
) -> MeasuredRows:
    """The surfaces and lesions of all shards: images in the order of the catalog, then heads and classes.

    Raises DamagedStoreError where a shard holds an image or a head that the run does not know.
    """
    of_run = store, list(entries), catalog, layout
    surfaces = lesions = histograms = None
    if measuring.tolerances is not None:
        surfaces, histograms = _collect_surfaces(*of_run, measuring.tolerances)
    if measuring.lesions is not None:
        lesions = collect_sides(*of_run, LESIONS, ("class_index",)).to_pandas()
    return MeasuredRows(surfaces, lesions, histograms)


def _collect_surfaces(
    store: ObjectStore, entries: list[Entry], catalog: pd.DataFrame, layout: Layout, tolerances: tuple[float, ...]
) -> tuple[pd.DataFrame, ListColumns]:
    found = read_sides(store, entries, SURFACES, _narrowed) or [_narrowed(SURFACES.schema.empty_table())]
    whole = pa.concat_tables(table.drop_columns(list(HISTOGRAMS)) for table in found)
    rows = rows_in_order(whole, catalog, layout, SURFACES, ("class_index",))
    pieces = [piece for table in found for piece in table.select(HISTOGRAMS).to_batches()]
    types = pa.schema([pa.field(name, pa.list_(SURFACES.schema.field(name).type.value_type)) for name in HISTOGRAMS])
    return _with_tolerances(whole.take(pa.array(rows)), tolerances), ListColumns(types, pieces, rows)


def _narrowed(table: pa.Table) -> pa.Table:
    """With histograms of half the size: no border has 2^31 voxels."""
    for name in HISTOGRAMS:
        place, column = table.column_names.index(name), table.column(name)
        if column.type.value_type == pa.int64():
            table = table.set_column(place, name, column.cast(pa.list_(pa.int32())))
    return table


def _with_tolerances(found: pa.Table, tolerances: tuple[float, ...]) -> pd.DataFrame:
    """A column for each tolerance in the place of `nsd`."""
    nsd, surfaces = found.column("nsd"), found.drop_columns("nsd").to_pandas()
    shares = np.full((len(surfaces), len(tolerances)), np.nan)
    shares[nsd.is_valid().to_numpy()] = (
        pc.list_flatten(nsd).to_numpy().reshape(len(nsd) - nsd.null_count, len(tolerances))
    )
    of_tolerances = pd.DataFrame(shares, surfaces.index, [nsd_name(one) for one in tolerances])
    place = found.column_names.index("nsd")
    joined: pd.DataFrame = pd.concat([surfaces.iloc[:, :place], of_tolerances, surfaces.iloc[:, place:]], axis=1)
    return joined


def surface_table(
    surfaces: pd.DataFrame, per_image: pd.DataFrame, settings: ScoreSettings
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The table surface: a row per image, head and foreground class or region, also of failed images. With it the row
    of the surfaces that each of its rows was, -1 of an image of which there is none.

    per_image: that of the run, whose keys and groups it takes over.
    """
    keyed = _keys(per_image)
    rows = pd.array(np.arange(len(surfaces)), dtype="Int64")
    joined = keyed.merge(surfaces.assign(**{_ROW: rows}), on=list(KEYS), how="left", sort=False, validate="one_to_one")
    kinds: dict[str, str] = {**dict.fromkeys(BORDERS, "Int64"), "distance_unit": "str"}
    scored = with_missed(joined.astype(kinds), settings)
    about = ["status", PREDICTION_MISSING]
    first = [name for name in keyed if name not in about]
    own = [name for name in surfaces if name not in KEYS]
    return scored[[*first, *own, *about]], joined[_ROW].to_numpy(np.int64, na_value=-1)


def lesion_table(lesions: pd.DataFrame, catalog: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The table lesions: a row per lesion, those of an image, head and class together, its reference's first."""
    places = pd.Index(catalog["image_id"]).get_indexer(lesions["image_id"])
    of_image = catalog.iloc[places].reset_index(drop=True)
    index = lesions["class_index"]
    return pd.DataFrame(
        {
            "image_id": lesions["image_id"].astype("str"),
            **{name: of_image[name] for name in catalogs.group_columns(catalog)},
            "class_index": index.astype("int64"),
            "class_name": np.array(layout.names, dtype=object)[index],
            **({IS_REGION: index >= len(layout.classes)} if layout.regions else {}),
            **{str(name): lesions[name] for name in lesions if name not in ("image_id", "class_index")},
        }
    ).astype({"head": "str", "side": "str", "distance_unit": "str"})


def lesion_count_table(lesions: pd.DataFrame, per_image: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """The table lesion_counts: a row per image, head and foreground class or region, null of failed images."""
    keyed = _keys(per_image)
    scored = score_lesions(keyed, lesions, settings)
    about = ["status", PREDICTION_MISSING]
    return pd.concat([keyed.drop(columns=about), scored, keyed[about]], axis=1)


def _keys(per_image: pd.DataFrame) -> pd.DataFrame:
    """The rows of structures alone, with what tells them apart."""
    chosen = per_image["class_index"] > 0
    last = list(per_image).index("head") + 1
    names = [name for name in list(per_image)[:last] if name not in ("run_id", "dataset", "model")]
    return per_image.loc[chosen, [*names, "status", PREDICTION_MISSING]].reset_index(drop=True)
