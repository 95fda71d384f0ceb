"""Draft: a configuration proposed from what lies in some folders, with what was assumed beside each key."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segscale.errors import ConfigError, DataError
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.config.written import PATHS, Key, file_text, seen_from
from segscale.flows.dataset import list_dataset, scores_predictions
from segscale.flows.folders import LABELS, Source, Sources, sources_in
from segscale.flows.label_guess import label_keys, values_of
from segscale.flows.layout_keys import layout_keys
from segscale.flows.layouts.listed import DatasetListing
from segscale.flows.roles import set_name
from segscale.flows.strata import columns_of_few_values
from segscale.flows.survey import survey
from segscale.storage.enumeration import counted, first_of
from segscale.storage.manifests import MANIFEST_COLUMNS
from segscale.storage.sources import ROLES, file_name
from segscale.tasks.readers import Header, read_header
from segscale.tasks.source_files import read_source

logger = logging.getLogger("segscale")
LOOKED_AT = 64
"""Files of each role."""
_TOGETHER = 8
_KEY_OF = {
    "image": ("dataset", "images"),
    "reference": ("dataset", "references"),
    "manifest": ("dataset", "manifest"),
    "prediction": ("predictions", "path"),
    LABELS: ("predictions", "path"),
    "": ("predictions", "path"),
}
"""By the role of a source; what may be predictions is offered as such."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed configuration."""

    text: str
    """TOML with comments."""
    undecided: tuple[str, ...]
    """What only the user can say; without it nothing can be run."""


def draft(folders: Sequence[str], file_folder: str) -> Draft:
    """The configuration of the data set below some folders, for a file that will lie in `file_folder`.

    Raises ConfigError where no references can be told, or nothing belongs together.
    """
    base = os.path.realpath(file_folder)
    found = layout_keys(folders)
    if found is not None:
        return _of_layout([*found, *_written_places(base)], base)
    sources = sources_in(folders, manifest_columns, is_label_map)
    keys, undecided = _places(sources, folders, base), []
    if not any(source.role in ("reference", "manifest") for source in sources.chosen):
        undecided = [f"references: {sources.doubt or f'several places may be meant: {_all_of(sources.open)}'}"]
        return _written(keys, undecided, base)
    nothing_to_score = [_no_predictions(sources)]
    if not {"image", "prediction", "manifest"}.intersection(source.role for source in sources.chosen):
        return _written(keys, nothing_to_score, base)
    config = _config(keys, base)
    listing = list_dataset(config)
    keys = [_with_counts(key, listing) for key in keys]
    keys += _labels(listing)
    keys += _columns(listing)
    undecided = [f"{key.section}.{key.name}: {key.why}" for key in keys if key.is_open and key.name in _DECIDING]
    if not (config.predictions.path or scores_predictions(config, listing.images)):
        undecided += nothing_to_score
    if not undecided:
        undecided = _contradiction(keys, base)
    return _written(keys, undecided, base)


def _of_layout(keys: list[Key], base: str) -> Draft:
    """The draft of a data set in a layout; without predictions nothing of it is listed yet."""
    places = [key for key in keys if (key.section, key.name) == ("predictions", "path")]
    if len(places) != 1:
        several = f"predictions.path: several places may be meant: {first_of([str(key.value) for key in places])}"
        return _written(keys, [several if places else _NO_PREDICTIONS], base)
    listing = list_dataset(_config(keys, base))
    keys = [_with_counts(key, listing) for key in keys]
    if not any(key.name == "classes" for key in keys):
        keys += _labels(listing)
    undecided = [f"{key.section}.{key.name}: {key.why}" for key in keys if key.is_open and key.name in _DECIDING]
    return _written(keys, undecided or _contradiction(keys, base), base)


_DECIDING = frozenset({"classes", "foreground", "ignore_label"})


_NO_PREDICTIONS = "model.path: no predictions were found: name a network, or where predictions lie"


def _no_predictions(sources: Sources) -> str:
    offered = [source for source in sources.open if _KEY_OF[source.role][0] == "predictions"]
    if offered:
        return f"predictions.path: several places may be meant, or none: {_all_of(offered)}"
    return _NO_PREDICTIONS


def manifest_columns(path: str) -> set[str]:
    """Which columns of a manifest a table has."""
    if path.lower().endswith((".parquet", ".pq")):
        import pyarrow.parquet as pq

        try:
            return set(pq.read_schema(path).names).intersection(MANIFEST_COLUMNS)
        except (OSError, ValueError):
            return set()
    with Path(path).open("rb") as file:
        first = file.read(8192).replace(b"\0", b"").splitlines()[:2]
    # Whatever marks an encoding at the beginning, and what it puts between letters, is no letter of a name.
    cells = {re.sub(rb"[^A-Za-z_]", b"", cell) for line in first for cell in re.split(rb"[,;\t]", line)}
    return {name for name in MANIFEST_COLUMNS if name.encode() in cells}


def is_label_map(path: str) -> bool:
    """Whether a file holds few values, as label maps do and images do not."""
    found = values_of(read_source(path), file_name(path))
    return found is not None and len(found.values) <= LOOKED_AT


def _places(sources: Sources, folders: Sequence[str], base: str) -> list[Key]:
    """The name of the set and where its files lie; what may be meant as well is left open."""
    shared = os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100
    keys = [Key("dataset", "name", set_name(shared), "names the folder of the reports; any will do")]
    keys += [Key(*_KEY_OF[one.role], one.pattern, one.why) for one in sources.chosen]
    if not {"reference", "manifest"}.intersection(one.role for one in sources.chosen):
        # Whatever says nothing of itself may be the references.
        keys += [
            Key("dataset", "references", one.pattern, f"or is it this: {one.why}", is_open=True)
            for one in sources.open
            if one.role in (LABELS, "")
        ]
    keys += [Key(*_KEY_OF[one.role], one.pattern, f"or is it this: {one.why}", is_open=True) for one in sources.open]
    if not {"predictions", "manifest"}.intersection(name for key in keys for name in (key.section, key.name)):
        keys.append(Key("model", "path", "model.keras", "a network to predict with; no predictions were found", True))
    return [*keys, *_written_places(base)]


def _written_places(base: str) -> list[Key]:
    return [
        Key("store", "path", f"{base}/work", "what was counted; a run goes on where it stopped"),
        Key("report", "path", f"{base}/reports", "of the reports: DATASET/RUN_ID below it"),
    ]


def _config(keys: Sequence[Key], base: str) -> EvaluationConfig:
    """What the keys say that are decided."""
    document: dict[str, dict[str, Any]] = {}
    for key in keys:
        if not key.is_open:
            document.setdefault(key.section, {})[key.name] = key.value
    return parse_config(document, base=Path(base), source="init")


def _with_counts(key: Key, listing: DatasetListing) -> Key:
    """What was paired, behind what told of a place."""
    roles = {summary.role: summary for summary in listing.roles}
    role = {"images": "image", "references": "reference", "path": "prediction"}.get(key.name, "")
    if key.is_open or (key.name == "path" and key.section != "predictions"):
        return key
    if key.name == "manifest":
        said = ", ".join(f"{counted(one.n_paired, one.role)}" for one in listing.roles)
        said += "".join(f", {one.n_absent} {one.role}s missing" for one in listing.roles if one.n_absent)
    elif role in roles:
        one = roles[role]
        said = counted(one.n_paired, "file") if one is listing.roles[0] else f"{one.n_paired} paired"
        said += f", {one.n_absent} missing: {first_of(one.absent, one.n_absent)}" if one.n_absent else ""
        said += f", {one.n_unused} left over: {first_of(one.unused, one.n_unused)}" if one.n_unused else ""
        said += _sizes(listing.images, role)
    else:
        return key
    return Key(key.section, key.name, key.value, f"{said}; {key.why}")


def _sizes(images: pd.DataFrame, role: str) -> str:
    """Sizes, depths, channels and types of some files, in words."""
    headers = [one for one in _looked(images, role, _header) if one is not None]
    if not headers:
        return ""
    # Height x width, as everywhere.
    sides = sorted({(one.height, one.width) for one in headers}, key=lambda size: size[0] * size[1])
    depths, channels = sorted({one.depth for one in headers}), sorted({one.channels for one in headers})
    said = f"; {sides[0][0]}x{sides[0][1]}" + (f" to {sides[-1][0]}x{sides[-1][1]}" if len(sides) > 1 else "")
    said += f", {depths[0]} to {depths[-1]} slices" if len(depths) > 1 else f", {depths[0]} slices" * (depths[0] > 1)
    if role == "image":
        said += f", {' or '.join(map(str, channels))} channel{'s' * (channels != [1])}"
    return f"{said}, {' or '.join(sorted({one.dtype for one in headers}))}"


def _header(data: bytes, name: str) -> Header | None:
    try:
        return read_header(data, name)
    except DataError:
        return None


def _looked(images: pd.DataFrame, role: str, look: Any) -> list[Any]:
    urls = [url for url, version in zip(images[role], images[f"{role}_version"], strict=True) if version]
    chosen = np.unique(np.linspace(0, len(urls) - 1, min(LOOKED_AT, len(urls))).round().astype(int)).tolist()

    def one(place: int) -> Any:
        return look(read_source(urls[place]), file_name(urls[place]))

    with ThreadPoolExecutor(_TOGETHER) as pool:
        return list(pool.map(one, chosen))


def _labels(listing: DatasetListing) -> list[Key]:
    return label_keys([one for one in _looked(listing.images, "reference", values_of) if one is not None])


def _columns(listing: DatasetListing) -> list[Key]:
    """Columns that a table brought, as strata that are offered."""
    versions = {f"{role}_version" for role in ROLES}
    columns = [str(name) for name in listing.images if name not in {*MANIFEST_COLUMNS, *versions}]
    few = columns_of_few_values(listing.images, columns)
    if not columns:
        return []
    why = f"strata: columns of few values; there are {', '.join(columns)}"
    return [Key("metrics", "group_by", few or columns[:1], why, is_open=not few)]


def _contradiction(keys: Sequence[Key], base: str) -> list[str]:
    """What a look at some files finds against the draft; the user is to decide."""
    config = _config(keys, base)
    try:
        listing = list_dataset(config).images
        survey(config, listing, scored=scores_predictions(config, listing))
    except ConfigError as error:
        return [str(error)]
    return []


def _written(keys: Sequence[Key], undecided: Sequence[str], base: str) -> Draft:
    placed = [
        Key(key.section, key.name, seen_from(key.value, base, base), key.why, key.is_open)
        if f"{key.section}.{key.name}" in PATHS
        else key
        for key in keys
    ]
    heading = ["Drafted by segscale init: what was assumed stands beside each key. All keys: docs/contract.md."]
    heading += [f"To be decided: {line}" for line in undecided]
    return Draft(file_text(heading, placed), tuple(undecided))


def _all_of(sources: Sequence[Source]) -> str:
    return first_of([source.pattern for source in sources])
