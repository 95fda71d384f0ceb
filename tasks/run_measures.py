"""Run measures: the surfaces and lesions of a run, in the order of its images, and the tables that they become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segscale.storage import catalog as catalogs
from segscale.storage.ledger import Entry
from segscale.storage.objects import ObjectStore
from segscale.storage.side_parts import HISTOGRAMS, LESIONS, SURFACES
from segscale.tasks.measuring import Measuring
from segscale.tasks.metrics.lesion_metrics import score_lesions
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.surface_metrics import BORDERS, nsd_name, with_missed
from segscale.tasks.run_counts import Layout
from segscale.tasks.run_sides import collect_sides

KEYS = ("image_id", "head", "class_index")


@dataclass(frozen=True, slots=True)
class MeasuredRows:
    """What was measured in all shards; None what was not asked for."""

    surfaces: pd.DataFrame | None
    """The columns of `side_parts.SURFACES`, with one for each tolerance in the place of `nsd`."""
    lesions: pd.DataFrame | None

    def tables(
        self, per_image: pd.DataFrame, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings
    ) -> dict[str, pd.DataFrame]:
        """The tables surface, lesions and lesion_counts, as far as they were asked for."""
        found = {}
        if self.surfaces is not None:
            found["surface"] = surface_table(self.surfaces, per_image, settings)
        if self.lesions is not None:
            found["lesions"] = lesion_table(self.lesions, catalog, layout)
            found["lesion_counts"] = lesion_count_table(self.lesions, per_image, settings)
        return found


NOTHING = MeasuredRows(None, None)


def collect_measures(
    store: ObjectStore, entries: Iterable[Entry], catalog: pd.DataFrame, layout: Layout, measuring: Measuring
) -> MeasuredRows:
    """The surfaces and lesions of all shards: images in the order of the catalog, then heads and classes.

    Raises DamagedStoreError where a shard holds an image or a head that the run does not know.
    """
    of_run = store, list(entries), catalog, layout
    surfaces = lesions = None
    if measuring.tolerances is not None:
        surfaces = _with_tolerances(collect_sides(*of_run, SURFACES, ("class_index",)), measuring.tolerances)
    if measuring.lesions is not None:
        lesions = collect_sides(*of_run, LESIONS, ("class_index",))
    return MeasuredRows(surfaces, lesions)


def _with_tolerances(surfaces: pd.DataFrame, tolerances: tuple[float, ...]) -> pd.DataFrame:
    nothing = [np.nan] * len(tolerances)
    found = np.array([nothing if one is None else one for one in surfaces["nsd"]]).reshape(-1, len(tolerances))
    of_tolerances = pd.DataFrame(found, surfaces.index, [nsd_name(one) for one in tolerances])
    place = list(surfaces).index("nsd")
    return pd.concat([surfaces.iloc[:, :place], of_tolerances, surfaces.iloc[:, place + 1 :]], axis=1)


def surface_table(surfaces: pd.DataFrame, per_image: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """The table surface: a row per image, head and foreground class or region, also of failed images.

    per_image: that of the run, whose keys and groups it takes over.
    """
    keyed = _keys(per_image)
    joined = keyed.merge(surfaces, on=list(KEYS), how="left", sort=False, validate="one_to_one")
    kinds: dict[str, str] = {**dict.fromkeys(BORDERS, "Int64"), "distance_unit": "str"}
    scored = with_missed(joined.astype(kinds), settings)
    about = ["status", PREDICTION_MISSING]
    first = [name for name in keyed if name not in about]
    own = [name for name in surfaces if name not in (*KEYS, *HISTOGRAMS)]
    return scored[[*first, *own, *about, *HISTOGRAMS]]


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
