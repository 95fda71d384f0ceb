"""Surfaces and lesions of a run: of a network and of the label maps that it left, over processes and over Dask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from segscale.storage import shards
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.tasks import predict, shard_plan
from segscale.tasks.shard_rows import read_shard_rows
from tests.conftest import Segscale
from tests.end_to_end.test_volumes_run import CASES, volumes

__all__ = ["volumes"]

pytestmark = pytest.mark.slow
MEASURED = {"surface": "true", "lesions": "true", "nsd_tolerances_mm": "[1.0, 2.5]", "bootstrap": "50"}
TABLES = ("surface", "lesion_counts", "lesions")
Write = Callable[..., Path]


def report_of(out: str) -> Path:
    return Path(out.strip().splitlines()[-1].removeprefix("report: "))


def predicted(segscale: Segscale, write_config: Write, **dataset: str) -> Path:
    config = write_config(
        "predicted.toml",
        dataset={"name": '"volumes"', "images": '"images/{id}.nii"', "references": '"masks"', **dataset},
        model={"path": '"phantom"', "engine": '"keras"', "precision": '"float32"', "batch_size": "2"},
        metrics=MEASURED,
        store={"path": '"predicted"'},
        cluster={"workers": "1"},
    )
    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    return report_of(outcome.out)


def write_label_maps(store: ObjectStore, folder: Path) -> None:
    """What the network left in the store, as arrays in the order of the references."""
    folder.mkdir()
    ledger = Ledger(store)
    ingested, counted = (
        [ledger.read(stage, key) for key in ledger.done(stage)] for stage in (shard_plan.STAGE, predict.STAGE)
    )
    rows_of = {row.image_id: row for entry in ingested for row in read_shard_rows(store, entry)}
    for entry in counted:
        (labels,) = shards.open_arrays(store, entry, "labels")
        for image_id in dict.fromkeys(shards.read_rows(store, entry)["image_id"]):
            *_, axis = CASES[image_id]
            np.save(folder / f"{image_id}.npy", np.moveaxis(rows_of[image_id].crop(labels), 0, axis))


@pytest.mark.usefixtures("volumes")
def test_a_network_and_its_label_maps_measure_alike_however_it_is_run(
    segscale: Segscale, tmp_path: Path, write_config: Write
) -> None:
    of_network = predicted(segscale, write_config)
    write_label_maps(ObjectStore(str(tmp_path / "predicted")), tmp_path / "labels")

    def scored(name: str, workers: int) -> Path:
        config = write_config(
            f"{name}.toml",
            dataset={"name": '"scored"', "references": '"masks"'},
            predictions={"path": '"labels"', "name": '"phantom"'},
            metrics=MEASURED,
            store={"path": f'"{name}"'},
            report={"path": f'"reports-{name}"'},
            cluster={"workers": str(workers)},
        )
        outcome = segscale("run", config)
        assert outcome.code == 0, outcome.err
        report = report_of(outcome.out)
        again = segscale("run", config)
        assert "no file was read" in again.err
        assert report_of(again.out) == report
        assert segscale("verify", config, "--full").code == 0
        return report

    processes, dask = scored("processes", 0), scored("dask", 1)
    files = {path.name: path.read_bytes() for path in processes.glob("*.parquet")}
    assert files == {path.name: path.read_bytes() for path in dask.glob("*.parquet")}
    assert {f"{table}.parquet" for table in TABLES} <= files.keys()
    for table in TABLES:
        one, other = (
            pd.read_parquet(report / f"{table}.parquet").drop(columns=["run_id", "dataset", "model", "head"])
            for report in (of_network, processes)
        )
        keys = ["image_id", "class_index"]
        one, other = (frame.sort_values(keys, kind="stable", ignore_index=True) for frame in (one, other))
        assert len(one)
        pd.testing.assert_frame_equal(one, other)
    surface = pd.read_parquet(processes / "surface.parquet").set_index("image_id")
    for name, (spacing, size, _) in CASES.items():
        assert surface.loc[name, "distance_unit"] == "mm"
        diagonal = np.hypot.reduce([(n - 1) * step for n, step in zip(size, spacing, strict=True)])
        assert surface.loc[name, "worst_distance"] == pytest.approx(diagonal)
    assert 'id="measured"' in (processes / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("volumes")
def test_lesions_that_references_number_are_those_of_a_network_too(
    segscale: Segscale, tmp_path: Path, write_config: Write
) -> None:
    for path in (tmp_path / "masks").iterdir():
        image = nibabel.Nifti1Image.from_bytes(path.read_bytes())
        mask = np.asarray(image.dataobj)
        # Along the first axis two halves that touch, each a lesion.
        numbers = (np.where(np.arange(len(mask)) < len(mask) // 2, 3, 700)[:, None, None] * mask).astype(np.uint16)
        path.write_bytes(nibabel.Nifti1Image(numbers, image.affine).to_bytes())
    numbered = {"instances": '"references"', "foreground": '"any"'}
    of_network = predicted(segscale, write_config, **numbered)
    write_label_maps(ObjectStore(str(tmp_path / "predicted")), tmp_path / "labels")
    config = write_config(
        "scored.toml",
        dataset={"name": '"scored"', "references": '"masks"', **numbered},
        predictions={"path": '"labels"', "name": '"phantom"'},
        metrics=MEASURED,
        store={"path": '"scored"'},
        cluster={"workers": "0"},
    )
    of_label_maps = report_of(segscale("run", config).out)
    one, other = (
        pd.read_parquet(report / "lesions.parquet").drop(columns=["run_id", "dataset", "model", "head"])
        for report in (of_network, of_label_maps)
    )
    keys = ["image_id", "side", "label"]
    one, other = (frame.sort_values(keys, kind="stable", ignore_index=True) for frame in (one, other))
    pd.testing.assert_frame_equal(one, other)
    of_references = one[one["side"] == "reference"].groupby("image_id")["label"].agg(list)
    assert of_references.to_dict() == {name: [3, 700] for name in CASES}
    assert segscale("verify", tmp_path / "predicted.toml", "--full").code == 0
