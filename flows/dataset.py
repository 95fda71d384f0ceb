"""The data set of a configuration: listed, checked, and known by the catalog its ingest wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import pandas as pd

from segscale.errors import ArgumentError, ConfigError, ListingError, UrlError
from segscale.flows.checks.paths import check_apart
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage import parts
from segscale.storage.catalog import COLUMNS, read_catalog
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import differing_by_case
from segscale.storage.ledger import content_key
from segscale.storage.listing import Note
from segscale.storage.manifests import MANIFEST_COLUMNS, read_manifest
from segscale.storage.objects import ObjectStore
from segscale.storage.pairing import files_by_stem, pair
from segscale.storage.same_files import refuse_same_files, shared_files
from segscale.storage.sources import ROLES
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.panel import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.per_image import SCORE_COLUMNS
from segscale.tasks.metrics.units import check_units
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


@dataclass(frozen=True, slots=True)
class DatasetListing:
    """What a configuration names."""

    images: pd.DataFrame
    """A row per image: image_id, then of each role (image, reference, prediction where there are any) the URL and the
    version, and groups. A missing file has the version "", one that is not named the URL "" too."""
    notes: tuple[Note, ...] = ()
    """What was left out, and what was taken for the same."""


def list_dataset(config: EvaluationConfig) -> DatasetListing:
    """The images of a data set, each with its files. Raises ConfigError, which names the key."""
    dataset = config.dataset
    if dataset.layout not in BUILT_LAYOUTS:
        raise ConfigError(f"dataset.layout: {dataset.layout!r} is not built yet; use one of {list(BUILT_LAYOUTS)}")
    check_apart(config)
    listed = _of_manifest(config) if dataset.manifest else _of_patterns(config)
    if config.predictions.path:
        listed = _with_partners(listed, "prediction", "predictions.path", config.predictions.path)
    if not dataset.same_files:
        with _named("dataset.manifest" if dataset.manifest else "dataset"):
            refuse_same_files(listed.images)
    with _named_by_metrics():
        check_units(listed.images, config.metrics)
    alike = differing_by_case(listed.images["image_id"])
    if alike:
        text = f"images: {counted(len(alike), 'name')} equal to others but for upper and lower case: {first_of(alike)}"
        listed = replace(listed, notes=(*listed.notes, Note(text)))
    return replace(listed, notes=(*listed.notes, *shared_files(listed.images)))


def _of_manifest(config: EvaluationConfig) -> DatasetListing:
    dataset = config.dataset
    with _named("dataset.manifest"):
        manifest = read_manifest(dataset.manifest, split=dataset.split, roots=dataset.roots)
    _check_groups(config, [str(name) for name in manifest.images if name not in (*MANIFEST_COLUMNS, *_VERSIONS)])
    if config.predictions.path and "prediction" in manifest.images:
        raise ConfigError("predictions.path: the manifest has a column prediction too; use one of them")
    return DatasetListing(manifest.images, manifest.notes)


def _of_patterns(config: EvaluationConfig) -> DatasetListing:
    dataset = config.dataset
    _check_groups(config, [])
    with _named("dataset.images"):
        found = files_by_stem(dataset.images, "image")
    images = found.files.rename(columns={"stem": "image_id"}).reset_index(drop=True)
    listed = DatasetListing(images[["image_id", "image", "image_version"]], found.notes)
    return _with_partners(listed, "reference", "dataset.references", dataset.references)


def _with_partners(listed: DatasetListing, role: str, key: str, pattern: str) -> DatasetListing:
    with _named(key):
        partners = files_by_stem(pattern, role)
        paired = pair(listed.images, partners)
    return DatasetListing(paired.images, (*listed.notes, *partners.notes, *paired.notes))


@contextmanager
def _named(key: str) -> Iterator[None]:
    """What goes wrong with the files of a key, in one line that begins with it."""
    try:
        yield
    except (ListingError, UrlError, OSError, ImportError) as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None


@contextmanager
def _named_by_metrics() -> Iterator[None]:
    """What is wrong with the columns of units and folds, as of their keys."""
    try:
        yield
    except ArgumentError as error:
        raise ConfigError(f"metrics.{error}") from None


_VERSIONS = tuple(f"{role}_version" for role in ROLES)


def _check_groups(config: EvaluationConfig, groups: list[str]) -> None:
    taken = sorted(set(groups) & REPORT_COLUMNS)
    if taken:
        raise ConfigError(f"dataset.manifest: column {taken[0]!r} would collide with a column of the report; rename it")
    metrics = config.metrics
    for key, names in (
        ("group_by", metrics.group_columns), ("cluster_by", (metrics.cluster_by,)), ("unit", (metrics.unit,)),
        ("folds", (metrics.folds,)),
    ):  # fmt: skip
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
