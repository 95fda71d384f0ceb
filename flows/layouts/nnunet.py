"""The folders of nnU-Net: imagesTr, labelsTr and their like beside a dataset.json, and results in one folder."""

from __future__ import annotations

from segscale.errors import ConfigError, ListingError
from segscale.flows.config.described import checked_description
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts.channels import images_in
from segscale.flows.layouts.listed import Found, named
from segscale.flows.layouts.results import is_a_pattern, predictions_in
from segscale.storage.dataset_json import DatasetJson, folder_of
from segscale.storage.enumeration import counted
from segscale.storage.listing import Note, names_in
from segscale.storage.patterns import escaped
from segscale.storage.role_files import RoleFiles, role_files

SPLITS = ("Tr", "Ts")
LABELS, IMAGES = "labels", "images"


def files_of(config: EvaluationConfig) -> Found:
    """The files of a raw data set, whose root or whose folder of labels `dataset.references` names.

    Existing predictions are scored without images. Raises ConfigError.
    """
    dataset, path = config.dataset, config.predictions.path
    found = checked_description(dataset, path)
    notes = [Note(f"{found.path}: {found.labels}", warns=False)]
    predictions: list[RoleFiles] = []
    if path:
        with named("predictions.path"):
            predictions.append(predictions_in(path, config.predictions.kind, found.file_ending))
    with named("dataset.references"):
        references, more = _labels(dataset.references, found, predictions)
    images = [] if path else [_images(references.source, found)]
    return Found((*images, references, *predictions), (*notes, *more))


def _labels(asked: str, found: DatasetJson, predictions: list[RoleFiles]) -> tuple[RoleFiles, list[Note]]:
    """The label maps that are meant, and what decided where there are two folders of them."""
    if is_a_pattern(asked):
        return role_files(asked, "reference"), []
    folder, ending = folder_of(asked), found.file_ending
    if folder != found.folder:
        return _labels_in(folder, ending), []
    splits = [split for split in SPLITS if _holds(f"{folder}/{LABELS}{split}", ending)]
    held = {split: _labels_in(f"{folder}/{LABELS}{split}", ending) for split in splits}
    if len(held) == 1:
        return held[splits[0]], []
    if not held:
        if _holds(folder, ending):
            return _labels_in(folder, ending), []
        raise ListingError(f"{asked}: expected labelsTr or labelsTs with files *{ending}, found neither")
    both = " and ".join(f"{LABELS}{split} ({counted(len(one.files), 'file')})" for split, one in held.items())
    predicted = {name for one in predictions for name in one.calls[0].names}
    hits = [split for split, one in held.items() if predicted.intersection(one.calls[0].names)]
    if len(hits) != 1:
        why = f", and predictions are called as those of {'both' if hits else 'neither'}" if predictions else ""
        raise ListingError(f"{asked}: {both} may be meant{why}: name one of these folders in dataset.references")
    text = f"references: {both}: the predictions are called as files of {LABELS}{hits[0]}, which is taken"
    return held[hits[0]], [Note(text, warns=False)]


def _labels_in(folder: str, ending: str) -> RoleFiles:
    return role_files(f"{escaped(folder)}/*{escaped(ending)}", "reference")


def _holds(folder: str, ending: str) -> bool:
    try:
        return any(name.lower().endswith(ending.lower()) for name in names_in(folder))
    except ListingError:
        return False


def _images(labels: str, found: DatasetJson) -> RoleFiles:
    """Of the split whose labels were found."""
    place = labels.rpartition("/")[0]
    root, _, name = place.rpartition("/")
    if not name.startswith(LABELS):
        raise ConfigError(
            f"dataset.references: {place}: images of labelsTr are looked for in imagesTr, and the like: expected a "
            "folder called so, or predictions that need no images (predictions.path)"
        )
    folder = folder_of(f"{root}/{IMAGES}{name.removeprefix(LABELS)}")
    with named("dataset.layout"):
        return images_in(folder, found)
