"""A tree of DICOM series with the segmentations that were drawn on them, matched by the UIDs these refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from segscale.errors import ListingError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts.dicom_tree import DicomTree, Drawn, dicom_tree
from segscale.flows.layouts.listed import Found, OneFile, identified, named, url_of
from segscale.flows.layouts.results import is_a_pattern
from segscale.storage.dataset_json import folder_of
from segscale.storage.enumeration import first_of
from segscale.storage.listing import Note
from segscale.storage.role_files import RoleFiles

ID_LETTERS = 16
"""Of a hashed UID, which stand for an image: no name, number or date of a patient does."""


def files_of(config: EvaluationConfig) -> Found:
    """Series, and of each the segmentation that refers to it: of the references, and of the predictions where these lie
    in another folder. Raises ConfigError.

    Images are the series below `dataset.images`, or below the references; where there are none, as segmentations can
    be compared without, the set is the references.
    """
    dataset, path = config.dataset, config.predictions.path
    with named("dataset.references"):
        references = _tree(dataset.references)
    with named("dataset.images"):
        images = _tree(dataset.images) if dataset.images else references
    notes = [Note(f"references: {note.text}", note.warns) for note in references.notes]
    with named("dataset.references"):
        own = _besides(references.segmentations, path)
        drawn = list(_matched(dataset.references, own, images))
        roles = [identified("reference", dataset.references, drawn)]
    with named("dataset.images" if dataset.images else "dataset.references"):
        if images.series:
            roles.insert(0, _images(dataset.images or dataset.references, images, {one.image_id for one in drawn}))
        elif not path:
            raise ListingError(f"{dataset.references}: expected series of images that a network sees, found none")
    if path:
        with named("predictions.path"):
            predicted = _tree(path)
            notes += [Note(f"predictions: {note.text}", note.warns) for note in predicted.notes]
            found = list(_matched(path, predicted.segmentations, images))
            roles.append(identified("prediction", path, found))
    return Found(tuple(roles), tuple(notes))


def _tree(root: str) -> DicomTree:
    if is_a_pattern(root):
        raise ListingError(f'{root}: expected the folder of a tree; of patterns write layout = "files"')
    return dicom_tree(root)


def _besides(drawn: Iterable[Drawn], path: str) -> list[Drawn]:
    """Those that do not lie in the folder of the predictions, where that is within the references'."""
    below = f"{url_of(folder_of(path))}/" if path else ""
    return [one for one in drawn if not (below and one.url.startswith(below))]


def _matched(root: str, drawn: Iterable[Drawn], images: DicomTree) -> Iterator[OneFile]:
    """Each segmentation with the id of the series that it was drawn on.

    Raises ListingError where one does not say which, or several may be meant, and where there are none.
    """
    is_empty = True
    for one in drawn:
        is_empty = False
        known = [series for series in one.series_ids if series in images.series]
        series_ids = known or list(one.series_ids)
        if not series_ids:
            raise ListingError(
                f"{root}: {one.relative}: does not say which series it was drawn on (no Referenced Series Sequence): "
                "name it in a manifest"
            )
        if len(set(series_ids)) > 1:
            raise ListingError(
                f"{root}: {one.relative}: says that it was drawn on {len(set(series_ids))} series: expected one; name "
                "it in a manifest"
            )
        yield OneFile(series_ids[0][:ID_LETTERS], one.url, one.version, one.relative)
    if is_empty:
        raise ListingError(f"{root}: expected DICOM segmentations (SEG), found none")


def _images(root: str, images: DicomTree, wanted: set[str]) -> RoleFiles:
    """The series that somebody drew on."""
    ids: Mapping[str, str] = {series_id: series_id[:ID_LETTERS] for series_id in images.series}
    files = [
        OneFile(ids[series_id], one.url, one.version, f"{one.relative}/")
        for series_id, one in images.series.items()
        if ids[series_id] in wanted
    ]
    others = [one.relative or "." for series_id, one in images.series.items() if ids[series_id] not in wanted]
    if not files:
        raise ListingError(
            f"{root}: expected the series that references were drawn on, found {len(images.series)} others"
        )
    text = f"images: {len(others)} series without a reference left out: {first_of(others)}"
    return identified("image", root, files, [Note(text)] if others else [])
