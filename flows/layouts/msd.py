"""Tasks of the Medical Segmentation Decathlon: a dataset.json that lists pairs of images and label maps."""

from __future__ import annotations

from collections.abc import Sequence

from segscale.errors import ListingError
from segscale.flows.config.described import checked_description
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts.listed import Found, OneFile, identified, named, url_of
from segscale.flows.layouts.results import predictions_in
from segscale.storage.dataset_json import NAME, DatasetJson
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import may_hold_an_array, stem
from segscale.storage.listing import Note, list_files
from segscale.storage.patterns import escaped
from segscale.storage.role_files import RoleFiles
from segscale.storage.sources import file_versions


def files_of(config: EvaluationConfig) -> Found:
    """The pairs for training, which alone have label maps; existing predictions are scored without images.

    Raises ConfigError.
    """
    path = config.predictions.path
    found = checked_description(config.dataset, path)
    notes = [Note(f"{found.path}: {found.labels}", warns=False)]
    with named("dataset.references"):
        if not found.training:
            raise ListingError(f"{found.path}: training: expected pairs of an image and a label, found none")
        labels = [case.label for case in found.training]
        references = _listed("reference", found, labels, labels)
        notes += _unlisted(found, labels)
    if path:
        with named("predictions.path"):
            predictions = predictions_in(path, config.predictions.kind, found.file_ending)
        return Found((references, predictions), tuple(notes))
    with named("dataset.layout"):
        images = _listed("image", found, [case.image for case in found.training], labels)
    return Found((images, references), tuple(notes))


def _listed(role: str, found: DatasetJson, paths: Sequence[str], labels: Sequence[str]) -> RoleFiles:
    """The files at paths, each called as the label map of its case."""
    root = url_of(found.folder)
    urls = [f"{root}/{path}" for path in paths]
    versions = file_versions(urls)
    files = [
        OneFile(stem(label), url, version, path)
        for label, url, version, path in zip(labels, urls, versions, paths, strict=True)
    ]
    absent = [one.relative for one in files if not one.version]
    if len(absent) == len(files):
        raise ListingError(f"{found.path}: none of the {role}s that it lists is there, such as {absent[0]}")
    text = f"{role}s: {counted(len(absent), 'file')} that {NAME} lists not there: {first_of(absent)}"
    return identified(role, found.path, files, [Note(text)] if absent else [])


def _unlisted(found: DatasetJson, labels: Sequence[str]) -> list[Note]:
    """Label maps that lie beside those that are listed."""
    others: list[str] = []
    for folder in sorted({label.rpartition("/")[0] for label in labels} - {""}):
        names = list_files(f"{escaped(found.folder)}/{folder}/*").files["relative"]
        others += [path for name in names if may_hold_an_array(name) and (path := f"{folder}/{name}") not in labels]
    text = f"references: {counted(len(others), 'file')} that {NAME} does not list left out: {first_of(others)}"
    return [Note(text)] if others else []
