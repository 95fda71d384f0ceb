"""The data set of a configuration: listed, checked, and known by the catalog its ingest wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import pandas as pd

from segscale.errors import ConfigError, ListingError
from segscale.flows.checks.groups import check_groups, check_units_and_folds
from segscale.flows.checks.paths import check_apart
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts.each_segment import EACH, each_segment
from segscale.flows.layouts.listed import DatasetListing, named, of_first, paired, with_images
from segscale.flows.layouts.listing import list_layout
from segscale.flows.layouts.look import CASE, STRUCTURE
from segscale.flows.measured import measuring
from segscale.storage import parts
from segscale.storage.catalog import COLUMNS, read_catalog
from segscale.storage.columns import join_columns
from segscale.storage.enumeration import SHOWN, counted, first_of, printable
from segscale.storage.file_names import differing_by_case
from segscale.storage.ledger import content_key
from segscale.storage.listing import Note
from segscale.storage.manifests import MANIFEST_COLUMNS, read_manifest
from segscale.storage.name_fields import Fields
from segscale.storage.objects import ObjectStore
from segscale.storage.pairing import RoleSummary
from segscale.storage.role_files import Calls, role_files
from segscale.storage.same_files import refuse_same_files, shared_files
from segscale.storage.sources import MASK, ROLES
from segscale.tasks.alignment import Volumes
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING, REFERENCE_PIXELS, SCORE_COLUMNS
from segscale.tasks.metrics.volumes import VOLUMES
from segscale.tasks.prediction_file import Counting
from segscale.tasks.readers import NO_CHOICE, Choice
from segscale.tasks.readers.companions import COMPANIONED
from segscale.tasks.shard_plan import Preparation
from segscale.tasks.source_files import source_versions
from segscale.tasks.survey import Reading

# Columns of per_image.parquet that a group column of the manifest would collide with.
REPORT_COLUMNS = frozenset(
    {
        *COLUMNS, "run_id", "dataset", "model", "class_index", "class_name", IS_REGION, "head", "threshold", "status",
        "slice_index", *parts.COUNTS, *parts.SOFT_SUMS, *SCORE_COLUMNS, PREDICTION_MISSING, REFERENCE_PIXELS, *VOLUMES,
    }
)  # fmt: skip

_OWN = (*MANIFEST_COLUMNS, *(f"{role}_version" for role in ROLES))
"""Columns of a listing that are no groups."""
_TAKEN = REPORT_COLUMNS | {*_OWN}


def list_dataset(config: EvaluationConfig) -> DatasetListing:
    """The images of a data set, each with its files. Raises ConfigError, which names the key."""
    dataset = config.dataset
    check_apart(config)
    if dataset.layout != "files":
        listed = list_layout(config)
        if dataset.masks:
            of = "image" if names_images(listed.images) else "reference"
            listed = _with_partners(listed, MASK, "dataset.masks", dataset.masks, of)[0]
    else:
        listed = _of_manifest(config) if dataset.manifest else _of_patterns(config)
    if dataset.columns:
        with named("dataset.columns"):
            joined = join_columns(listed.images, dataset.columns, _TAKEN)
        listed = replace(listed, images=joined.images, notes=(*listed.notes, *joined.notes))
    listed = replace(listed, images=_with_versions(listed.images[_in_order(listed.images)], volumes(config)))
    if not dataset.same_files:
        with named("dataset.manifest" if dataset.manifest else "dataset"):
            refuse_same_files(listed.images)
    listed = replace(listed, notes=(*listed.notes, *shared_files(listed.images)))
    if dataset.segment == EACH:
        with named("dataset.segment"):
            listed = each_segment(listed, scored=scores_predictions(config, listed.images))
    check_groups(config.metrics, [str(name) for name in listed.images if name not in _OWN])
    check_units_and_folds(config.metrics, listed.images)
    alike = differing_by_case(listed.images["image_id"])
    if alike:
        of = "images" if names_images(listed.images) else "references"
        text = f"{of}: {counted(len(alike), 'name')} equal to others but for upper and lower case: {first_of(alike)}"
        listed = replace(listed, notes=(*listed.notes, Note(text)))
    return replace(listed, notes=tuple(Note(printable(note.text), note.warns) for note in listed.notes))


def columns_of_table(config: EvaluationConfig, images: pd.DataFrame) -> list[str]:
    """Those columns of a listing by patterns that `dataset.columns` brought."""
    fields = Fields.of(config.dataset.images or config.dataset.references)
    of_layout = (CASE, STRUCTURE) if config.dataset.layout == "cases" or config.dataset.segment == EACH else ()
    others = {*_OWN, *of_layout, *(fields.names if fields else ())}
    return [name for name in map(str, images) if name not in others]


def _with_versions(images: pd.DataFrame, asked: Volumes) -> pd.DataFrame:
    """The listing with versions that change with all that a look at a source depends on: its companions, and what of it
    is chosen."""
    chosen = "" if asked.choice == NO_CHOICE else f" read as {asdict(asked.choice)}"
    columns = {}
    for role in ROLES:
        if role in images and (chosen or images[role].str.lower().str.endswith(COMPANIONED).any()):
            versions = source_versions(images[role], images[f"{role}_version"])
            columns[f"{role}_version"] = [version and version + chosen for version in versions]
    return images.assign(**columns) if columns else images


def _in_order(images: pd.DataFrame) -> list[str]:
    """What names files, then the groups."""
    own = ["image_id", *(name for role in ROLES for name in (role, f"{role}_version") if name in images)]
    return [*own, *(name for name in map(str, images) if name not in own)]


def _of_manifest(config: EvaluationConfig) -> DatasetListing:
    dataset = config.dataset
    with named("dataset.manifest"):
        manifest = read_manifest(
            dataset.manifest, split=dataset.split, roots=dataset.roots, needs_images=not config.predictions.path
        )
    images = manifest.images
    if config.model.path and not names_images(images):
        raise ConfigError(
            f"model.path: a network sees images, and the manifest names none: expected a column image in "
            f"{dataset.manifest}, or no model"
        )
    taken = sorted(set(map(str, images)) & REPORT_COLUMNS - set(_OWN))
    if taken:
        raise ConfigError(f"dataset.manifest: column {taken[0]!r} would collide with a column of the report; rename it")
    if config.predictions.path and "prediction" in images:
        raise ConfigError("predictions.path: the manifest has a column prediction too; use one of them")
    listed = DatasetListing(images, manifest.notes, tuple(_of_columns(images, dataset.manifest)))
    if dataset.masks and MASK in images:
        raise ConfigError("dataset.masks: the manifest has a column mask too; use one of them")
    of = "image" if names_images(images) else "reference"
    for role, key, pattern in (
        ("prediction", "predictions.path", config.predictions.path),
        (MASK, "dataset.masks", dataset.masks),
    ):
        if pattern:
            listed = _with_partners(listed, role, key, pattern, of)[0]
    return listed


def _of_columns(images: pd.DataFrame, source: str) -> Iterator[RoleSummary]:
    """What a manifest names, by role."""
    for role in ROLES:
        if _names(images, role):
            absent = images["image_id"][images[f"{role}_version"] == ""]
            yield RoleSummary(role, source, len(images) - len(absent), len(absent), tuple(absent.iloc[:SHOWN]))


def _of_patterns(config: EvaluationConfig) -> DatasetListing:
    dataset = config.dataset
    wanted = [("image", "dataset.images", dataset.images), ("reference", "dataset.references", dataset.references),
              ("prediction", "predictions.path", config.predictions.path)]  # fmt: skip
    wanted.append((MASK, "dataset.masks", dataset.masks))
    (of, key, pattern), *others = [one for one in wanted if one[2]]
    with named(key):
        _check_fields(pattern)
        first = role_files(pattern, of)
    listed, paths = of_first(first), first.paths
    calls: Sequence[Calls] = first.calls
    for role, key, pattern in others:
        listed, paths = _with_partners(listed, role, key, pattern, of, calls, paths)
        calls = ()
    return with_images(listed)


def _with_partners(
    listed: DatasetListing,
    role: str,
    key: str,
    pattern: str,
    of: str,
    calls: Sequence[Calls] = (),
    paths: Sequence[str] = (),
) -> tuple[DatasetListing, tuple[str, ...]]:
    """The listing with the files of a role, and where the files of its rows lie, as `pair` takes it."""
    with named(key):
        _check_fields(pattern)
        partners = role_files(pattern, role)
    return paired(listed, partners, key, of, calls, paths)


def _check_fields(pattern: str) -> None:
    fields = Fields.of(pattern)
    taken = [name for name in fields.names if name in _TAKEN] if fields else []
    if taken:
        raise ListingError(
            f"{pattern}: the field {{{taken[0]}}} would collide with a column of the report or of manifests; call "
            "it otherwise ({id} is what names the image)"
        )


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
        volumes=volumes(config),
        slice_axis=dataset.slice_axis,
        instances=bool(dataset.instances) and not config.predictions.path,
    )


def counting(config: EvaluationConfig, reading: Reading) -> Counting:
    """How existing predictions of this data set are read and counted."""
    asked, references = config.predictions, preparation(config, reading).labels
    own = asked.label_values
    # A value that is a class in predictions says nothing there about being ignored.
    ignored = None if references.ignored in own else references.ignored
    labels = LabelRule(references.n_classes, own, ignored) if own else references
    return Counting(
        config.metrics.threshold,
        labels,
        reading.kind,
        reading.kind_found,
        asked.channels,
        config.dataset.region_classes,
        config.region_channels,
    )


def volumes(config: EvaluationConfig) -> Volumes:
    """How files of this data set are read that have a geometry."""
    dataset = config.dataset
    # Where each segment is read, the names of sources say which.
    segment = dataset.segment if isinstance(dataset.segment, int) else None
    return Volumes(Choice(dataset.volume, dataset.affine or None, segment), dataset.resample)


def catalog_name(config: EvaluationConfig, *, scored: bool) -> str:
    """The name under which a store keeps the catalog of this data set, ingested this way or `scored` this way."""
    dataset = config.dataset
    sources = [dataset.images, dataset.references, dataset.manifest, dataset.split, config.predictions.path]
    sources += [dataset.masks] if dataset.masks else []
    chosen = {
        "sources": [*sources, *([dataset.columns] if dataset.columns else [])],
        **({"layout": dataset.layout} if dataset.layout != "files" else {}),
        **({"segment": EACH} if dataset.segment == EACH else {}),
        "preparation": preparation(config).as_key(),
        "foreground": dataset.foreground,
        "shard_images": config.store.shard_images,
        **({"spacing_mm": dataset.spacing_mm} if dataset.spacing_mm else {}),
        # Its shards are of one way to count.
        **({"counting": counting(config, UNREAD).as_key(), "kind": config.predictions.kind} if scored else {}),
        **({"slices": True} if scored and config.metrics.slices else {}),
        **({"measuring": asdict(measured)} if scored and (measured := measuring(config)) else {}),
    }
    return f"{dataset.name}-{content_key(chosen)[:12]}"


def require_catalog(config: EvaluationConfig, store: ObjectStore, *, scored: bool) -> pd.DataFrame:
    """The catalog of a data set as it was ingested, or `scored`. Raises ConfigError where it never was."""
    catalog = read_catalog(store, catalog_name(config, scored=scored))
    if catalog is None:
        job = "score" if scored else "ingest"
        raise ConfigError(f"store.path: {store.url} holds no catalog of {config.dataset.name!r}; run {job} first")
    return catalog


def is_scored(config: EvaluationConfig) -> bool:
    """Whether a run over a configuration can be of existing predictions alone: it names some, or no model."""
    return bool(config.predictions.path) or not config.model.path


def scores_predictions(config: EvaluationConfig, listing: pd.DataFrame) -> bool:
    """Whether existing predictions are evaluated: as configured, or a manifest brings them and no model is asked for.

    `listing` may be the listing or the catalog.
    """
    return bool(config.predictions.path) or (not config.model.path and _names(listing, "prediction"))


def names_images(listing: pd.DataFrame) -> bool:
    """Whether the set is one of images; else it is one of references, whose images nobody named."""
    return _names(listing, "image")


def names_masks(listing: pd.DataFrame) -> bool:
    """Whether files say which pixels of the images are evaluated."""
    return _names(listing, MASK)


def _names(listing: pd.DataFrame, role: str) -> bool:
    return role in listing and bool((listing[role] != "").any())
