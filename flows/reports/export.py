"""Export a written report: its tables as CSV, or its counts in the shape of nnU-Net's summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows.reports.tables import readable_reports
from segscale.storage.nearby import why_not_written
from segscale.storage.reports import Report, open_report
from segscale.storage.table_csv import encode_csv
from segscale.tasks.metrics.nnunet_summary import COLUMNS, Label, nnunet_summary
from segscale.tasks.metrics.per_image import IS_REGION

SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what could not be known."""

    files: tuple[str, ...]
    unknown: tuple[str, ...]
    """What a summary of nnU-Net's says and the report does not tell, a sentence each."""


def export(path: str, folder: str = "", file: str = "", head: str | None = None) -> Exported:
    """Write every table of a report as CSV into `folder`, and its counts as nnU-Net's summary.json into `file`.

    Raises ConfigError for what is no report, where one of several heads has to be named, and, before anything is
    written, where a file is there already.
    """
    with readable_reports():
        report = open_report(path)
        names = sorted(name.removesuffix(SUFFIX) for name in report.run()["files"] if name.endswith(SUFFIX))
        tables = {Path(folder) / f"{name}.csv": name for name in names} if folder else {}
        _refuse_standing([*tables, *([Path(file)] if file else [])])
        # It may be refused, so it is made before anything is written.
        summary, unknown = summary_of(report, head) if file else ({}, [])
        for place, name in tables.items():
            _write_new(place, encode_csv(report.table(name)))
        if file:
            # As nnU-Net writes it: NaN stands there as such.
            _write_new(Path(file), (json.dumps(summary, indent=4, sort_keys=True) + "\n").encode())
    return Exported((*map(str, tables), *([file] if file else [])), tuple(unknown))


def summary_of(report: Report, head: str | None) -> tuple[dict[str, Any], list[str]]:
    """What nnU-Net's evaluation would say of the cases of a report; and in sentences what the report does not tell."""
    has_regions = IS_REGION in report.columns("per_image")
    per_image = report.table("per_image", (*COLUMNS, *(("class_name", IS_REGION) if has_regions else ())))
    labels, are_named = labels_of(report, per_image)
    summary = nnunet_summary(per_image, labels, head)
    unknown = ["reference_file and prediction_file are the ids of images: a report keeps no paths"]
    if not are_named:
        unknown.append("labels are the indices of classes (1, 2, ...): the configuration names no label_values")
    n_images = per_image["image_id"].nunique()
    if n_failed := n_images - len(summary["metric_per_case"]):
        unknown.append(f"{n_failed} of {n_images} images failed and are no cases; failures.parquet says why")
    return summary, unknown


def labels_of(report: Report, per_image: pd.DataFrame) -> tuple[dict[int, Label], bool]:
    """The label value of each class and the values of each region, by its index; and whether the configuration names
    them, or they are the indices of classes.

    per_image: class_index, and of reports with regions class_name and is_region.
    """
    dataset = report.run()["config"].get("dataset", {})
    values, regions = dataset.get("label_values"), dataset.get("regions", {})
    of_regions = {index: tuple(regions[name]) for index, name in _region_names(per_image)}
    indices = sorted(index for index in per_image["class_index"].unique() if index >= 0 and index not in of_regions)
    return dict(zip(indices, values or indices, strict=True)) | of_regions, bool(values)


def _region_names(per_image: pd.DataFrame) -> Iterable[tuple[int, str]]:
    """The class index and the name of each region, in order."""
    if IS_REGION not in per_image:
        return []
    rows = per_image.loc[per_image[IS_REGION].to_numpy(bool), ["class_index", "class_name"]].drop_duplicates()
    return sorted(zip(rows["class_index"].tolist(), rows["class_name"], strict=True))


def _refuse_standing(files: Iterable[Path]) -> None:
    standing = [str(file) for file in files if file.exists() or file.is_symlink()]
    if standing:
        others = f" and {len(standing) - 1} others" if len(standing) > 1 else ""
        raise ConfigError(
            f"{standing[0]}{others}: there already, and nothing is overwritten; name another place or remove it"
        )


def _write_new(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whatever came there meanwhile stays.
        with file.open("xb") as opened:
            opened.write(data)
    except OSError as error:
        reason = why_not_written(str(file.parent), error)
        raise ConfigError(f"{file}: expected a place that can be written: {reason}") from None
