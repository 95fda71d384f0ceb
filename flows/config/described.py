"""A configuration with what a data set says of itself: the meaning of label values, where dataset.json has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segscale.errors import ConfigError, ListingError, UrlError
from segscale.flows.config.dataset import Dataset
from segscale.flows.config.values import anchored
from segscale.storage.dataset_json import DatasetJson, dataset_json_of
from segscale.storage.enumeration import printable
from segscale.storage.patterns import escaped
from segscale.tasks.refusal import as_toml

DESCRIBED = ("nnunet", "msd")
"""Layouts with a dataset.json."""


def with_description(document: dict[str, Any], base: Path) -> dict[str, Any]:
    """The document of a configuration with those keys of [dataset] that nothing was said of, as dataset.json has them.

    Raises ConfigError where it says otherwise than the document, where it cannot be read, and where there is none and
    nobody says what the classes are.
    """
    dataset, predictions = document.get("dataset"), document.get("predictions")
    if not isinstance(dataset, dict) or dataset.get("layout") not in DESCRIBED:
        return document
    references, path = dataset.get("references"), predictions.get("path", "") if isinstance(predictions, dict) else ""
    if not (isinstance(references, str) and isinstance(path, str) and references):
        # What is no text is refused where all keys are.
        return document
    folder = Path(escaped(str(base)))
    found = description(anchored(references, folder), anchored(path, folder))
    if found is None:
        if "classes" in dataset:
            # Reports of a set that is gone are still to be had.
            return document
        raise _none(dataset["layout"], references)
    keys = keys_of(found, bool(dataset.get("foreground")))
    _refuse_contradiction(dataset, keys, found)
    described = document | {"dataset": keys | dataset}
    if isinstance(predictions, dict) and path and may_be_of_regions(dataset, predictions):
        described["predictions"] = channels_of(found) | predictions
    return described


def description(references: str, predictions: str) -> DatasetJson | None:
    """The dataset.json of a data set; None where there is none. Raises ConfigError for one that cannot be meant."""
    try:
        return dataset_json_of(references, predictions)
    except (ListingError, UrlError, OSError, ImportError) as error:
        raise ConfigError(f"dataset.layout: {printable((str(error).splitlines() or [''])[0])}") from None


def checked_description(dataset: Dataset, predictions: str) -> DatasetJson:
    """The dataset.json of a data set that is configured so. Raises ConfigError where there is none, or it says
    otherwise.
    """
    found = description(dataset.references, predictions)
    if found is None:
        raise _none(dataset.layout, dataset.references)
    _refuse_contradiction(dataset.model_dump(), keys_of(found, bool(dataset.foreground)), found)
    return found


def keys_of(found: DatasetJson, any_foreground: bool = False) -> dict[str, Any]:
    """What a dataset.json says, as keys of [dataset]; of values nothing where `any_foreground` takes all but 0."""
    labels = found.labels
    keys: dict[str, Any] = {"classes": list(labels.classes)}
    if not any_foreground:
        keys["label_values"] = list(labels.values)
    if labels.regions:
        keys["regions"] = {name: list(values) for name, values in labels.regions.items()}
    if labels.ignored is not None:
        keys["ignore_label"] = labels.ignored
    return keys


def channels_of(found: DatasetJson) -> dict[str, Any]:
    """What it says of channels of regions, as keys of [predictions]; whether there are such, their number tells."""
    if not found.written:
        return {}
    return {"regions": list(found.written), "regions_class_order": list(found.written.values())}


def may_be_of_regions(dataset: Mapping[str, Any], predictions: Mapping[str, Any]) -> bool:
    """Whether two sections of a configuration leave open what of channels of regions is to be known."""
    is_said = {"regions", "regions_class_order"}.intersection(predictions)
    return not is_said and not dataset.get("foreground") and predictions.get("channels", "") in ("", "regions")


def _none(layout: str, references: str) -> ConfigError:
    return ConfigError(
        f"dataset.layout: {as_toml(layout)} needs a dataset.json in {references}, in the folder above it, or among the "
        "predictions; found none"
    )


def _refuse_contradiction(said: Mapping[str, Any], keys: Mapping[str, Any], found: DatasetJson) -> None:
    """Raise ConfigError where one of the keys is said otherwise."""
    for key, value in keys.items():
        if key not in said or _plain(said[key]) == _plain(value):
            continue
        if key == "classes" and _names_the_unnamed(said[key], found):
            continue
        raise ConfigError(
            f"dataset.{key}: {as_toml(said[key])} in the configuration, {as_toml(value)} in {found.path}: leave it "
            'out, or correct one of them, or write layout = "files", which reads no dataset.json'
        )


def _names_the_unnamed(said: object, found: DatasetJson) -> bool:
    """Whether names differ for those values alone that have none in dataset.json."""
    labels = found.labels
    if not isinstance(said, list | tuple) or len(said) != len(labels.classes):
        return False
    of_values = zip(said, labels.classes, labels.values, strict=True)
    return all(name == own or value in labels.unnamed for name, own, value in of_values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    return tuple(value) if isinstance(value, list | tuple) else value
