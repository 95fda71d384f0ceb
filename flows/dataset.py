"""The data set of a configuration: listed, checked, and known by the catalog its ingest wrote."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from segscale.errors import ConfigError, ListingError, UrlError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage import parts, sources
from segscale.storage.catalog import COLUMNS, read_catalog
from segscale.storage.ledger import content_key
from segscale.storage.objects import ObjectStore
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.panel import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.per_image import SCORE_COLUMNS
from segscale.tasks.prediction_file import Counting
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.survey import Reading

BUILT_LAYOUTS = ("files",)
# Columns of per_image.parquet that a group column of the manifest would collide with.
REPORT_COLUMNS = frozenset(
    {
        *COLUMNS, "run_id", "dataset", "model", "class_index", "class_name", "head", "threshold", "status",
        *parts.COUNTS, *parts.SOFT_SUMS, *SCORE_COLUMNS, PREDICTION_MISSING, REFERENCE_PIXELS,
    }
)  # fmt: skip


def list_dataset(config: EvaluationConfig) -> pd.DataFrame:
    """A row per image as `segscale.storage.sources` lists it. Raises ConfigError where that does not work."""
    dataset = config.dataset
    if dataset.layout not in BUILT_LAYOUTS:
        raise ConfigError(f"dataset.layout: {dataset.layout!r} is not built yet; use one of {list(BUILT_LAYOUTS)}")
    try:
        if dataset.manifest:
            listing = sources.read_manifest(dataset.manifest, split=dataset.split, roots=dataset.roots)
        else:
            listing = sources.match_by_stem(dataset.images, dataset.references, config.predictions.path)
    except (ListingError, UrlError, OSError, ImportError) as error:
        raise ConfigError(f"dataset: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    _check_groups(config, [name for name in listing.columns if name not in (*sources.MANIFEST_COLUMNS, *_VERSIONS)])
    if config.predictions.path and dataset.manifest:
        listing = _with_predictions(listing, config.predictions.path)
    return listing


_VERSIONS = tuple(f"{role}_version" for role in sources.ROLES)


def _with_predictions(listing: pd.DataFrame, pattern: str) -> pd.DataFrame:
    if "prediction" in listing:
        raise ConfigError("predictions.path: the manifest has a column prediction too; use one of them")
    try:
        found = sources.files_by_stem(pattern, "prediction")
    except ListingError as error:
        raise ConfigError(f"predictions.path: {error}") from None
    matched = listing.join(found, on="image_id")
    if matched["prediction"].isna().all():
        raise ConfigError(f"predictions.path: {pattern}: expected files with the image ids as stems, found none")
    return matched.fillna({"prediction": "", "prediction_version": ""})


def _check_groups(config: EvaluationConfig, groups: list[str]) -> None:
    taken = sorted(set(groups) & REPORT_COLUMNS)
    if taken:
        raise ConfigError(f"dataset.manifest: column {taken[0]!r} would collide with a column of the report; rename it")
    for key, names in (("group_by", config.metrics.group_by), ("cluster_by", [config.metrics.cluster_by])):
        unknown = [name for name in names if name and name not in groups]
        if unknown:
            raise ConfigError(f"metrics.{key}: expected a column of the manifest {groups}, got {unknown[0]!r}")


UNREAD = Reading()
"""Of a set that was not looked at."""


def preparation(config: EvaluationConfig, reading: Reading = UNREAD) -> Preparation:
    """What ingest does to every image and reference of this data set, whose files are read so."""
    dataset = config.dataset
    return Preparation(
        n_classes=len(dataset.classes),
        label_values=dataset.label_values or reading.label_values,
        ignore_label=dataset.ignore_label,
        normalize=dataset.normalize,
        # The window has no say in the other methods, so it must not change their keys.
        window=dataset.window if dataset.normalize == "window" else (0.0, 1.0),
        labels_found=reading.labels_found,
        full_scale=dataset.full_scale,
    )


def counting(config: EvaluationConfig, reading: Reading) -> Counting:
    """How existing predictions of this data set are read and counted."""
    asked, references = config.predictions, preparation(config, reading).labels
    own = asked.label_values
    # A value that is a class in predictions says nothing there about being ignored.
    ignored = None if references.ignored in own else references.ignored
    labels = LabelRule(references.n_classes, own, ignored) if own else references
    return Counting(config.metrics.threshold, labels, reading.kind, reading.kind_found, asked.channels)


def catalog_name(config: EvaluationConfig) -> str:
    """The name under which a store keeps the catalog of this data set, prepared this way."""
    dataset = config.dataset
    chosen = content_key(
        {
            "sources": [dataset.images, dataset.references, dataset.manifest, dataset.split, config.predictions.path],
            "preparation": asdict(preparation(config)),
            "foreground": dataset.foreground,
            "shard_images": config.store.shard_images,
        }
    )
    return f"{dataset.name}-{chosen[:12]}"


def require_catalog(config: EvaluationConfig, store: ObjectStore) -> pd.DataFrame:
    """The catalog that ingest wrote. Raises ConfigError where this data set was never ingested into the store."""
    catalog = read_catalog(store, catalog_name(config))
    if catalog is None:
        raise ConfigError(f"store.path: {store.url} holds no catalog of {config.dataset.name!r}; run ingest first")
    return catalog


def scores_predictions(config: EvaluationConfig, listing: pd.DataFrame) -> bool:
    """Whether existing predictions are evaluated: as configured, or a manifest brings them and no model is asked for.

    `listing` may be the listing or the catalog.
    """
    brought = "prediction" in listing and bool((listing["prediction"] != "").any())
    return bool(config.predictions.path) or (not config.model.path and brought)
