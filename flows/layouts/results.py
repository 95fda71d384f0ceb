"""Results: what nnU-Net writes into the folder of its predictions, of which label maps or probabilities are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from segscale.storage.dataset_json import folder_of
from segscale.storage.enumeration import counted, first_of
from segscale.storage.file_names import may_hold_an_array, stem
from segscale.storage.listing import Note, names_in
from segscale.storage.patterns import escaped, is_pattern
from segscale.storage.role_files import RoleFiles, role_files

PROBABILITIES = ".npz"
_BESIDE = frozenset(
    {
        "dataset.json", "plans.json", "summary.json", "postprocessing.json", "predict_from_raw_data_args.json",
        "splits_final.json", "debug.json",
    }
)  # fmt: skip
"""What nnU-Net leaves beside its results; and any pickle."""
_PICKLED = ".pkl"


def is_a_pattern(path: str) -> bool:
    """Whether somebody said by a pattern which files are meant."""
    return any(map(is_pattern, path.split("/")))


def predictions_in(path: str, kind: str, file_ending: str) -> RoleFiles:
    """The predictions that a folder of results holds: label maps, and probabilities (.npz) where `kind` asks for these
    or nothing else is there. A pattern is taken as it is. Raises ListingError where there are none.
    """
    if is_a_pattern(path):
        return role_files(path, "prediction")
    folder = escaped(folder_of(path))
    names = names_in(folder_of(path))
    probabilities = [name for name in names if name.lower().endswith(PROBABILITIES)]
    labels, ending = _labels(names, file_ending)
    takes_probabilities = bool(probabilities) and (kind == "probabilities" or not labels)
    taken, left_out = (probabilities, labels) if takes_probabilities else (labels, probabilities)
    found = role_files(f"{folder}/*{escaped(PROBABILITIES if takes_probabilities else ending)}", "prediction")
    notes = [*_of_choice(taken, left_out, takes_probabilities), *_of_others(names, {*taken, *left_out})]
    return replace(found, notes=(*found.notes, *notes))


def _labels(names: Sequence[str], file_ending: str) -> tuple[list[str], str]:
    """Those with the ending of label maps; where none has it, with the one ending that arrays there have."""
    found = [name for name in names if name.lower().endswith(file_ending.lower())]
    if found:
        return found, file_ending
    others = [name for name in names if may_hold_an_array(name) and not name.lower().endswith(PROBABILITIES)]
    endings = Counter(name[len(stem(name)) :] for name in others)
    return (others, next(iter(endings))) if len(endings) == 1 else ([], file_ending)


def _of_choice(taken: Sequence[str], left_out: Sequence[str], takes_probabilities: bool) -> list[Note]:
    if not left_out:
        return []
    these, others, kind = ("probabilities", "label maps", "labels")
    if not takes_probabilities:
        these, others, kind = ("label maps", "probabilities", "probabilities")
    alone = sorted({stem(name) for name in left_out} - {stem(name) for name in taken})
    said = f"predictions: {counted(len(taken), 'file')} of {these} taken, {len(left_out)} of {others} left out"
    if alone:
        return [Note(f"{said}, {len(alone)} of these with nothing else of their case: {first_of(alone)}")]
    return [Note(f'{said}; predictions.kind = "{kind}" takes these', warns=False)]


def _of_others(names: Sequence[str], known: set[str]) -> list[Note]:
    others = [name for name in names if name not in known and name not in _BESIDE]
    pickled = [name for name in others if name.lower().endswith(_PICKLED)]
    strange = [name for name in others if name not in set(pickled)]
    notes = []
    if pickled:
        text = f"predictions: {counted(len(pickled), 'pickled file')} not read: {first_of(pickled)}"
        notes.append(Note(text, warns=False))
    if strange:
        text = f"predictions: {counted(len(strange), 'file')} of another kind left out: {first_of(strange)}"
        notes.append(Note(text))
    return notes
