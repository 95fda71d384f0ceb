"""dataset.json: what nnU-Net and the Medical Segmentation Decathlon say of a data set, beside its folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from segscale.errors import ListingError
from segscale.storage.enumeration import first_of, printable
from segscale.storage.patterns import Pattern
from segscale.storage.sources import read_file

NAME = "dataset.json"
IGNORED = "ignore"
"""How nnU-Net calls the label of voxels that count in nothing."""
_OWN = frozenset({"channel_names", "modality", "file_ending", "training", "numTraining"})
"""Keys of which at least one stands in it, beside labels."""
_WITHOUT_ENDING = ".nii.gz"
"""The only files that were read when dataset.json named no ending."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the values of label maps mean."""

    classes: tuple[str, ...]
    """The background, then one for each other value, the smallest first; label_N where no single value N is named."""
    values: tuple[int, ...]
    """Of each class."""
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Names of several values each."""
    ignored: int | None = None
    unnamed: tuple[int, ...] = ()
    """Values that stand in regions alone, whose classes somebody may well call otherwise."""

    def __str__(self) -> str:
        named = [f"{name} ({value})" for name, value in zip(self.classes, self.values, strict=True)]
        said = f"classes {', '.join(named)}"
        if self.regions:
            regions = (f"{name} {list(values)}" for name, values in self.regions.items())
            said += f"; regions {', '.join(regions)}"
        return said + (f"; {self.ignored} is ignored" if self.ignored is not None else "")


@dataclass(frozen=True, slots=True)
class Case:
    """An image with its label map, as paths relative to the folder of dataset.json."""

    image: str
    label: str


@dataclass(frozen=True, slots=True)
class DatasetJson:
    """A dataset.json that was read."""

    folder: str
    """Where it lies: a path or a URL, without wildcards."""
    labels: Labels
    channels: tuple[str, ...] = ()
    """What each channel of the images is called, such as CT; () where nothing is said."""
    file_ending: str = _WITHOUT_ENDING
    """Of images and label maps."""
    training: tuple[Case, ...] = ()
    """The pairs that it lists."""
    is_nnunet: bool = False
    """Whether it says what only nnU-Net's own does: the ending of files, or channels by that name."""
    written: Mapping[str, int] = field(default_factory=dict)
    """Of a data set with regions what each channel of probabilities is of, a class or a region, in their order, and the
    value that it writes into label maps, later ones over earlier ones: regions_class_order. Empty where that is not
    said."""

    @property
    def path(self) -> str:
        """Of the file."""
        return f"{self.folder}/{NAME}"


def folder_of(pattern: str) -> str:
    """The folder that a pattern starts in, as it is written on the disk; of a folder itself, without a slash behind."""
    root = Pattern.of(pattern).root
    return root.rstrip("/") or "/"


def read_dataset_json(folder: str) -> DatasetJson | None:
    """That of a folder; None where none lies there, or one of another kind, which has no labels.

    Raises ListingError for one that is damaged, or says what cannot be meant; OSError.
    """
    path = f"{folder}/{NAME}"
    try:
        data = read_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        document = json.loads(data)
    except ValueError:
        raise ListingError(f"{path}: expected JSON, this is none") from None
    if not (isinstance(document, dict) and "labels" in document and _OWN.intersection(document)):
        return None
    channels = document.get("channel_names", document.get("modality", {}))
    ending = document.get("file_ending", _WITHOUT_ENDING)
    if not isinstance(ending, str) or not ending.startswith("."):
        raise ListingError(f"{path}: file_ending: expected an ending such as .nii.gz, got {_shown(ending)}")
    labels = _labels(path, document)
    return DatasetJson(
        folder,
        labels,
        tuple(str(name) for name in (channels.values() if isinstance(channels, dict) else ())),
        ending,
        tuple(_cases(path, document.get("training", []))),
        "file_ending" in document or "channel_names" in document,
        _written(path, document, labels),
    )


def dataset_json_of(references: str, predictions: str = "") -> DatasetJson | None:
    """The dataset.json of a data set: in the folder of the references, beside it, or among the predictions, as nnU-Net
    copies it there. None where there is none.

    Raises ListingError where those of references and predictions give other meanings to values, or to channels; and as
    reading does.
    """
    folder = folder_of(references)
    own = read_dataset_json(folder) or read_dataset_json(_above(folder))
    theirs = read_dataset_json(folder_of(predictions)) if predictions else None
    if own and theirs and own.labels != theirs.labels:
        raise ListingError(
            f"{own.path} and {theirs.path} give other meanings to values: {own.labels}, and {theirs.labels}; expected "
            "predictions of this data set"
        )
    if own and theirs and theirs.written:
        if own.written and list(own.written.items()) != list(theirs.written.items()):
            raise ListingError(
                f"{own.path} and {theirs.path} give other meanings to channels of regions: {dict(own.written)}, and "
                f"{dict(theirs.written)} (labels, regions_class_order); expected predictions of this data set"
            )
        return replace(own, written=theirs.written)
    return own or theirs


def _above(folder: str) -> str:
    parent, slash, _ = folder.rpartition("/")
    if not slash:
        return "."
    # Above a bucket there is nothing.
    return folder if parent.endswith(":/") else parent or "/"


def _labels(path: str, document: Mapping[str, Any]) -> Labels:
    named = dict(_named_values(path, document["labels"]))
    ignored = named.pop(IGNORED, None)
    if ignored is not None and len(ignored) > 1:
        raise ListingError(f"{path}: labels: {IGNORED}: expected one value, got {_shown(list(ignored))}")
    single = {name: values[0] for name, values in named.items() if len(values) == 1}
    regions = {name: values for name, values in named.items() if len(values) > 1}
    by_value: dict[int, str] = {}
    for name, value in single.items():
        if value in by_value:
            raise ListingError(f"{path}: labels: {by_value[value]} and {name} are both {value}: expected two values")
        by_value[value] = name
    if 0 not in by_value:
        raise ListingError(f"{path}: labels: expected a background of the value 0; there are {first_of(list(named))}")
    unnamed = tuple(sorted({value for values in regions.values() for value in values} - by_value.keys()))
    by_value |= {value: f"label_{value}" for value in unnamed}
    values = (0, *sorted(by_value.keys() - {0}))
    classes = tuple(by_value[value] for value in values)
    labels = Labels(classes, values, regions, ignored[0] if ignored else None, unnamed)
    _check(path, labels)
    return labels


def _check(path: str, labels: Labels) -> None:
    names = (*labels.classes, *labels.regions)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ListingError(f"{path}: labels: {twice} is a class and a region, or two of one kind; rename one")
    for name, values in labels.regions.items():
        if 0 in values or labels.ignored in values:
            what = "the background" if 0 in values else f"what is called {IGNORED}"
            raise ListingError(f"{path}: labels: {name} {list(values)} holds {what}, which is part of no region")
    if labels.ignored in labels.values:
        raise ListingError(f"{path}: labels: {IGNORED} is {labels.ignored}, as {_name_of(labels)}: expected another")


def _written(path: str, document: Mapping[str, Any], labels: Labels) -> Mapping[str, int]:
    order = document.get("regions_class_order")
    if order is None:
        return {}
    if not (isinstance(order, list) and all(type(value) is int and value in labels.values for value in order)):
        # Results hold these values, so each has to be one that references hold.
        raise ListingError(
            f"{path}: regions_class_order: expected values that labels name, {list(labels.values[1:])}, got "
            f"{_shown(order)}: results would hold values that references do not"
        )
    if not labels.regions:
        return {}
    background = labels.classes[0]
    channels = [name for name, _ in _named_values(path, document["labels"]) if name not in (background, IGNORED)]
    if len(channels) != len(order):
        raise ListingError(
            f"{path}: regions_class_order: expected a value for each of {', '.join(map(printable, channels))}, got "
            f"{_shown(order)}"
        )
    return dict(zip(channels, order, strict=True))


def _name_of(labels: Labels) -> str:
    return next(name for name, value in zip(labels.classes, labels.values, strict=True) if value == labels.ignored)


def _named_values(path: str, given: object) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names with their values: {"lesion": 1, "all": [1, 2]} as in nnU-Net, {"1": "lesion"} as in the Decathlon."""
    if not isinstance(given, dict) or not given:
        _refuse(path, given)
    by_number = all(key.isdecimal() for key in given) and all(isinstance(value, str) for value in given.values())
    pairs = [(name, int(value)) for value, name in given.items()] if by_number else list(given.items())
    seen: set[str] = set()
    for name, value in pairs:
        values = value if isinstance(value, list) else [value]
        if not name.strip() or not values or any(type(one) is not int for one in values):
            _refuse(path, {name: value})
        if name in seen:
            raise ListingError(f"{path}: labels: two values are called {printable(name)}; rename one")
        seen.add(name)
        yield name, tuple(dict.fromkeys(values))


def _refuse(path: str, given: object) -> NoReturn:
    raise ListingError(
        f'{path}: labels: expected names with their values, such as {{"background": 0, "lesion": 1}}, got '
        f"{_shown(given)}"
    )


def _cases(path: str, given: object) -> Iterator[Case]:
    """Of the list of training; a case is named by its two files."""
    if not isinstance(given, list):
        raise ListingError(f"{path}: training: expected a list of pairs, got {_shown(given)}")
    for pair in given:
        image, label = (pair.get("image"), pair.get("label")) if isinstance(pair, dict) else (None, None)
        if not (isinstance(image, str) and isinstance(label, str) and image and label):
            raise ListingError(f"{path}: training: expected an image and a label for each, got {_shown(pair)}")
        yield Case(_below(path, image), _below(path, label))


def _below(path: str, given: str) -> str:
    parts: Sequence[str] = [part for part in given.split("/") if part not in ("", ".")]
    if given.startswith("/") or ".." in parts or "://" in given:
        raise ListingError(f"{path}: training: {printable(given)}: expected a path below the folder of {NAME}")
    return "/".join(parts)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return printable(text if len(text) <= 80 else f"{text[:77]}...")
