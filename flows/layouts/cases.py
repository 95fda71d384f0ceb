"""A folder for each case: with its image and its mask, or with a file for each structure as TotalSegmentator writes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from segscale.errors import ConfigError, ListingError
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.layouts.listed import Found, OneFile, identified, named
from segscale.flows.layouts.look import CASE, STRUCTURE, STRUCTURES
from segscale.flows.layouts.results import is_a_pattern
from segscale.storage.dataset_json import folder_of
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import may_hold_an_array, stem
from segscale.storage.listing import Note, list_files
from segscale.storage.patterns import escaped
from segscale.storage.role_files import RoleFiles, role_files

_WORD = re.compile(r"[a-z]+")
_MASKS = frozenset(
    {
        "mask", "masks", "seg", "segm", "segmentation", "label", "labels", "labelmap", "lbl", "gt", "groundtruth",
        "truth", "reference", "ref", "annotation", "manual",
    }
)  # fmt: skip
_PREDICTIONS = frozenset({"pred", "preds", "prediction", "predicted", "output", "result", "auto"})
_IMAGES = frozenset({"image", "img", "scan", "ct", "mr", "mri", "pet", "us", "volume"})


def files_of(config: EvaluationConfig) -> Found:
    """The files of the cases below the folder that `dataset.references` names. Raises ConfigError.

    Where cases have a folder `segmentations`, each structure of each case is a row of its own, CASE/STRUCTURE, with
    both as columns. Existing predictions are scored without images.
    """
    root, path = config.dataset.references, config.predictions.path
    with named("dataset.references"):
        if is_a_pattern(root):
            raise ListingError(f'{root}: expected the folder of all cases; of patterns write layout = "files"')
        structures = _structures(root, f"*/{STRUCTURES}/*")
        references = _of_structures("reference", root, structures) if structures else _masks(root)
    if not path:
        if structures:
            raise ConfigError(
                f"dataset.references: {root}: holds a file for each structure, and a network predicts all in one; "
                "expected predictions of the same kind (predictions.path), or one mask for each case"
            )
        with named("dataset.references"):
            return Found((_images(root), references))
    with named("predictions.path"):
        return Found((references, _predictions(path, bool(structures))))


def _structures(root: str, below: str) -> list[OneFile]:
    """Of each array file in the folders of cases the structure that it is called by."""
    return [
        OneFile(f"{case}/{structure}", url, version, relative, {CASE: case, STRUCTURE: structure})
        for url, relative, version in _arrays(root, below)
        for case, structure in [(relative.split("/")[0], stem(relative))]
    ]


def _arrays(root: str, below: str) -> list[tuple[str, str, str]]:
    """(URL, path below the root, version) of what may hold an array."""
    try:
        files = list_files(f"{escaped(folder_of(root))}/{below}").files
    except ListingError:
        return []
    return [
        (url, relative, version)
        for url, relative, version in files.itertuples(index=False)
        if may_hold_an_array(relative)
    ]


def _of_structures(role: str, root: str, files: Sequence[OneFile]) -> RoleFiles:
    held = {one.fields[CASE] for one in files}
    others = sorted({relative.split("/")[0] for _, relative, _ in _arrays(root, "*/*")} - held)
    text = f"{role}s: {counted(len(others), 'folder')} without {STRUCTURES} left out: {first_of(others)}"
    return identified(role, root, files, [Note(text)] if others else [])


def _predictions(path: str, of_structures: bool) -> RoleFiles:
    if is_a_pattern(path) or not of_structures:
        return role_files(path, "prediction")
    files = _structures(path, f"*/{STRUCTURES}/*") or _structures(path, "*/*")
    if not files:
        raise ListingError(
            f"{path}: expected a folder for each case with a file for each structure, in it or in {STRUCTURES}, as the "
            "references are; found none"
        )
    # The same columns of references say it already.
    return identified("prediction", path, [OneFile(one.image_id, one.url, one.version, one.relative) for one in files])


def _masks(root: str) -> RoleFiles:
    return identified("reference", root, list(_one_of_each(root, "reference")))


def _images(root: str) -> RoleFiles:
    return identified("image", root, list(_one_of_each(root, "image")))


def _one_of_each(root: str, role: str) -> Iterator[OneFile]:
    """The mask, or the image, of each case. Raises ListingError where several may be meant."""
    cases: dict[str, list[OneFile]] = defaultdict(list)
    for url, relative, version in _arrays(root, "*/*"):
        case = relative.split("/")[0]
        cases[case].append(OneFile(case, url, version, relative))
    found = 0
    for case, files in cases.items():
        meant = [one for one in files if _role(one) == role]
        if role == "image" and len(meant) > 1:
            meant = [one for one in meant if _words(one) & _IMAGES] or meant
        if len(meant) > 1:
            raise ListingError(
                f"{root}: {first_of([one.relative for one in meant])} may each be the {role} of {case}: expected one; "
                'name it by a pattern with layout = "files", such as cases/{id}/mask.nii.gz'
            )
        found += len(meant)
        yield from meant
    if not found:
        raise ListingError(
            f"{root}: expected a folder for each case, with {STRUCTURES}/ or with a file called "
            f"{'mask, seg, label or the like' if role == 'reference' else 'image, ct or the like'}; found none"
        )


def _role(file: OneFile) -> str:
    words = _words(file)
    return "prediction" if words & _PREDICTIONS else "reference" if words & _MASKS else "image"


def _words(file: OneFile) -> set[str]:
    """Of the name of a file with its endings, of which .seg.nrrd says something, and without that of its case."""
    return set(_WORD.findall(file.relative.rpartition("/")[2].replace(file.image_id, " ").lower()))
