"""Small data sets as nnU-Net and the Decathlon lay theirs, of files that hold their own names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import list_dataset
from segscale.flows.layouts.listed import DatasetListing
from tests.storage.made_files import make

LESION = {"background": 0, "lesion": 1}
RAW: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": LESION, "numTraining": 2, "file_ending": ".nii.gz"}


def describe(folder: Path, document: dict[str, Any], **changed: Any) -> Path:
    """Write a dataset.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(document | changed))
    return folder


def raw(folder: Path, *names: str, **changed: Any) -> Path:
    """An nnU-Net raw folder: names such as Tr/a stand for an image of one channel and its label map."""
    ending = changed.get("file_ending", ".nii.gz")
    for name in names:
        split, case = name.split("/")
        make(folder, f"images{split}/{case}_0000{ending}", f"labels{split}/{case}{ending}")
    return describe(folder, RAW, **changed)


def configured(base: Path, dataset: dict[str, Any], **sections: dict[str, Any]) -> EvaluationConfig:
    return parse_config({"dataset": {"name": "set"} | dataset} | sections, base=base, source="c.toml")


def listed(base: Path, dataset: dict[str, Any], **sections: dict[str, Any]) -> DatasetListing:
    return list_dataset(configured(base, dataset, **sections))


def refused(base: Path, dataset: dict[str, Any], **sections: dict[str, Any]) -> str:
    """What is said where the configuration or the listing is refused."""
    with pytest.raises(ConfigError) as caught:
        listed(base, dataset, **sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def told(listing: DatasetListing) -> list[str]:
    return [note.text for note in listing.notes]


def places(listing: DatasetListing, role: str, base: Path) -> list[str]:
    """Where the files of a role lie; "" for none that is there."""
    rows = zip(listing.images[role], listing.images[f"{role}_version"], strict=True)
    return [url.removeprefix(f"file://{base}/") if version else "" for url, version in rows]
