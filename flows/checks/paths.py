"""Local paths of a configuration that lead nowhere, found with the standard library alone, within a moment."""

from __future__ import annotations

import os
from pathlib import Path

from segscale.errors import ArgumentError, ConfigError, ListingError
from segscale.flows.cluster.needs import fixed_part, is_local
from segscale.flows.config.described import DESCRIBED
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.file_names import is_hidden
from segscale.storage.nearby import what_is_there
from segscale.storage.patterns import ANY_DEPTH, Pattern, composed, matcher
from segscale.tasks.models.bundled import bundled_path

A_MODEL = "a .keras file, an .onnx file or a bundled model"

# As the files of stores and reports are called.
_WRITTEN = ("zarr.json", "per_image.parquet", "report.html", "0")


def check_sources(config: EvaluationConfig) -> None:
    """Raise ConfigError for the first path of the data set that no file can lie at; what is there comes later."""
    dataset = config.dataset
    if is_local(dataset.manifest) and not Path(dataset.manifest).is_file():
        raise ConfigError(f"dataset.manifest: {dataset.manifest}: expected a manifest, found none")
    if is_local(dataset.columns) and not Path(dataset.columns).is_file():
        raise ConfigError(f"dataset.columns: {dataset.columns}: expected a table, found none")
    for key, pattern in (
        ("dataset.images", dataset.images),
        ("dataset.references", dataset.references),
        ("predictions.path", config.predictions.path),
    ):
        folder = fixed_part(pattern)
        if is_local(pattern) and not Path(folder).exists():
            raise ConfigError(f"{key}: {pattern}: expected files, found none: {what_is_there(folder)}")


def check_apart(config: EvaluationConfig) -> None:
    """Raise ConfigError where the next listing of the data set would find the files of the store or the reports."""
    if config.dataset.layout in DESCRIBED:
        # Of their folders files of one ending are read, which is none of a store's.
        return
    for own, path in (("store.path", config.store.path), ("report.path", config.report.path)):
        for key, pattern in (
            ("dataset.images", config.dataset.images),
            ("dataset.references", config.dataset.references),
            ("predictions.path", config.predictions.path),
        ):
            try:
                listed = is_local(path) and is_local(pattern) and _is_listed(path, Pattern.of(pattern))
            except ListingError:
                # What is wrong with a pattern is said where it is listed.
                continue
            if listed:
                raise ConfigError(
                    f"{own}: {path}: lies in a folder that {key} lists, {pattern}: its files would be taken for those "
                    f"of the data set; put it elsewhere, or name the files in {key}, for example with *.png"
                )


def _is_listed(folder: str, pattern: Pattern) -> bool:
    root = os.path.realpath(pattern.root or "/")
    below = os.path.relpath(os.path.realpath(folder), root)
    names = list(Path(below).parts)
    if any(is_hidden(name) for name in names):
        # Above it or beside it, or left out of listings.
        return False
    segments = pattern.segments or (ANY_DEPTH,)
    # Of a pattern of folders all files in these are read.
    segments = (*segments[:-1], "*") if segments[-1] == "" else segments
    *folders, last = (*segments, "*") if segments[-1] == ANY_DEPTH else segments
    for place, segment in enumerate(folders):
        if segment == ANY_DEPTH or place >= len(names):
            break
        if not matcher(segment, is_last=False).fullmatch(composed(names[place])):
            return False
    else:
        if len(names) > len(folders):
            return False
    return any(matcher(last).fullmatch(name) for name in _WRITTEN)


def check_model_path(config: EvaluationConfig) -> None:
    """The same of the network."""
    path = config.model.path
    if not is_local(path):
        return
    try:
        file = Path(path if "." in path else bundled_path(path))
    except ArgumentError as error:
        raise ConfigError(f"model.path: expected {A_MODEL}, got {path!r}: {error}") from None
    if not file.is_file():
        raise ConfigError(f"model.path: expected {A_MODEL}, got {path!r}, where no file is")
