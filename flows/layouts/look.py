"""Look: which layout the files in folders on this machine have, by what lies there, without a table being loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segscale.flows.config.described import channels_of, description, keys_of
from segscale.storage.dataset_json import DatasetJson, folder_of
from segscale.storage.file_names import is_hidden, is_litter
from segscale.storage.local_files import local_version
from segscale.storage.patterns import is_pattern

STRUCTURES = "segmentations"
"""The folder of a case that holds a file for each structure."""
CASE, STRUCTURE = "case", "structure"
"""Columns of a set whose structures are in files of their own."""
_MOST_FOLDERS = 64
"""So many folders of a tree are looked into for DICOM files, at the first file of each."""
_MAGIC_AT = 128
_MAGIC = b"DICM"


@dataclass(frozen=True, slots=True)
class Seen:
    """A layout, what told, and the keys that it brings."""

    layout: str
    why: str
    dataset: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


def layout_of(references: str, predictions: str = "") -> Seen | None:
    """The layout of a folder of references; None where files are told by their names alone, and for patterns and URLs.

    Raises ConfigError for a dataset.json that cannot be meant.
    """
    if "://" in references or any(map(is_pattern, references.split("/"))) or not Path(references).is_dir():
        return None
    folder = Path(folder_of(references))
    local_predictions = predictions if "://" not in predictions else ""
    found = None if folder.name.startswith("images") else description(str(folder.absolute()), local_predictions)
    if found is not None and _is_its_own(folder, found):
        why = "a dataset.json says what label values mean"
        return Seen(_of_json(found), why, keys_of(found), channels_of(found))
    if any((case / STRUCTURES).is_dir() for case in _folders(folder)):
        metrics = {"group_by": [STRUCTURE], "cluster_by": CASE}
        return Seen("cases", f"each case has a folder {STRUCTURES}, with a file for each structure", metrics=metrics)
    if _holds_dicom_segmentations(folder):
        return Seen("dicom", "DICOM segmentations, which say by UIDs on which series they were drawn")
    return None


def _is_its_own(folder: Path, found: DatasetJson) -> bool:
    """Whether the folder is the root of a data set, or holds label maps of it."""
    if Path(found.folder) == folder.absolute():
        return any((folder / f"labels{split}").is_dir() for split in ("Tr", "Ts"))
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(found.file_ending.lower()) for entry in entries)


def _of_json(found: DatasetJson) -> str:
    """Before its second version nnU-Net listed pairs as the Decathlon does, of images whose names have no channel."""
    if found.is_nnunet or not found.training:
        return "nnunet"
    return "msd" if Path(found.folder, found.training[0].image).exists() else "nnunet"


def _folders(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from [Path(entry.path) for entry in entries if entry.is_dir() and not is_hidden(entry.name)]


def _holds_dicom_segmentations(folder: Path) -> bool:
    """Whether any of the first files of the folders in a tree is one."""
    for number, (place, below, names) in enumerate(os.walk(folder)):
        if number >= _MOST_FOLDERS:
            return False
        below.sort()
        shown = sorted(name for name in names if not is_hidden(name) and not is_litter(name))
        if shown and _is_dicom_segmentation(os.path.join(place, shown[0])):  # noqa: PTH118
            return True
    return False


def _is_dicom_segmentation(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            if file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] != _MAGIC:
                return False
    except OSError:
        return False
    from segscale.errors import UnreadableImage
    from segscale.flows.layouts.dicom_tree import identity_of

    try:
        identity = identity_of(f"file://{Path(path).absolute()}", local_version(path), Path(path).name)
    except UnreadableImage:
        return False
    return identity is not None and identity.is_segmentation
