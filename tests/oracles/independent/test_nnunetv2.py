"""Beside nnU-Net's evaluation of a folder: counts, Dice and IoU of every case, label and region, as they are stored.

The formula of its documentation is written down here, over voxels that SimpleITK reads. The package itself needs a
build of torchvision that fits torch's, so it has an environment of its own, whose Python SEGSCALE_NNUNET names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

import segscale
from segscale.flows.config.dataset import Dataset
from segscale.flows.config.described import channels_of, keys_of
from segscale.flows.config.evaluation import parse_config
from segscale.storage.dataset_json import read_dataset_json
from segscale.tasks.metrics.region_channels import written_labels
from tests.oracles.independent.conftest import DATA

pytestmark = [pytest.mark.oracle, pytest.mark.data]

SCT = DATA / "formats" / "sct_spinal_cord"
COLUMNS = {"TP": "true_positive", "FP": "false_positive", "FN": "false_negative", "TN": "true_negative"}
IGNORED = 3
Labels = NDArray[Any]
Members = tuple[int, ...]
PROGRAM = """
import json, sys
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
if __name__ == "__main__":
    references, predictions, summary, asked, ignored = sys.argv[1:]
    asked = [tuple(one) if isinstance(one, list) else one for one in json.loads(asked)]
    compute_metrics_on_folder(references, predictions, summary, SimpleITKIO(), ".nii.gz", asked, json.loads(ignored), 2)
"""


@dataclass(frozen=True, slots=True)
class Folders:
    """References and predictions as nnU-Net lays them out, and how each of us is asked about them."""

    folder: Path
    classes: dict[str, int]
    """Names and label values, the background first."""
    regions: dict[str, Members] = field(default_factory=dict)
    ignored: int | None = None

    @property
    def asked(self) -> dict[str, int | Members]:
        """What nnU-Net takes for labels or regions, by our names."""
        return dict(self.regions) or {name: value for name, value in self.classes.items() if value}

    @property
    def references(self) -> Path:
        return self.folder / "labelsTr"

    @property
    def predictions(self) -> Path:
        return self.folder / "results"


def shifted(mask: Labels, number: int) -> Labels:
    """What a network might have said: moved by a voxel or two, along another axis in every case."""
    return np.roll(mask, 1 + number % 2, number % 3)


def eroded(mask: Labels) -> Labels:
    """The voxels of a binary mask whose six neighbours are all in it."""
    inside = mask.copy()
    for axis in range(3):
        inside &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return inside


def rim_and_core(mask: Labels) -> Labels:
    """Label 1 at the edge of a binary mask, label 2 inside it."""
    return mask.astype(np.uint8) + eroded(mask)


def lesions(patient: str) -> Labels:
    """The slices of a patient as a binary volume."""
    paths = sorted((DATA / "ms_lesions" / "masks").glob(f"{patient}_*.png"))
    return np.stack([np.asarray(Image.open(path)) > 0 for path in paths])


def save(path: Path, labels: Labels, like: Any = None, dtype: str = "uint8") -> None:
    """Write labels (D, H, W) where `like` lies, or with voxels of 3 x 1 x 1 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0, 1.0, 3.0, 1.0]) if like is None else like.affine
    nibabel.Nifti1Image(labels.T.astype(dtype), affine).to_filename(path)


def draw_lesions(folder: Path, ignored: int | None = None) -> None:
    """Three patients and one without any lesion; where something is ignored, a slab of each reference."""
    for number, patient in enumerate(("p07", "p19", "p26", "healthy")):
        mask = np.zeros_like(lesions("p07")) if patient == "healthy" else lesions(patient)
        reference, predicted = rim_and_core(mask), rim_and_core(shifted(mask, number))
        if patient == "p26":
            predicted[predicted == 2] = 0  # one class is never found
        if ignored is not None:
            reference[:, : 40 + number] = ignored
        dtype = ("uint8", "int16", "float64", "int32")[number]
        save(folder / "labelsTr" / f"{patient}.nii.gz", reference, dtype=dtype)
        save(folder / "results" / f"{patient}.nii.gz", predicted)


def draw_cords(folder: Path) -> None:
    """Masks of the spinal cord as they are, and predictions: a network's of one, drawn ones of the others."""
    sources = {
        "t1": SCT / "t1" / "t1w_seg-manual.nii.gz",
        "t2": SCT / "t2" / "t2_seg-manual.nii.gz",
        "lesion": SCT / "t2" / "t2_fake_lesion_sc_seg.nii.gz",
        "mt": SCT / "mt" / "mt1_seg.nii.gz",
        "grey": SCT / "mt" / "mt1_gmseg_goldstandard.nii.gz",
    }
    (folder / "labelsTr").mkdir(parents=True)
    for number, (case, source) in enumerate(sources.items()):
        (folder / "labelsTr" / f"{case}.nii.gz").write_bytes(source.read_bytes())
        image = nibabel.load(source)
        mask = np.asarray(image.dataobj).T > 0
        drawn = eroded(mask) if number % 2 else shifted(mask, number)
        save(folder / "results" / f"{case}.nii.gz", drawn, image)
    found = SCT / "t2" / "t2_seg-deepseg_sc-3d.nii.gz"
    (folder / "results" / "t2.nii.gz").write_bytes(found.read_bytes())


def draw_levels(folder: Path) -> None:
    """Labels with a gap, as floats: the levels of a spinal cord."""
    image = nibabel.load(SCT / "t2" / "t2_seg-manual_labeled.nii.gz")
    levels = np.asarray(image.dataobj).T
    for number in range(2):
        save(folder / "labelsTr" / f"case{number}.nii.gz", levels, image, "float64")
        save(folder / "results" / f"case{number}.nii.gz", shifted(levels, number), image)


LESIONS = {"background": 0, "rim": 1, "core": 2}
REGIONS = {"whole": (1, 2), "inner": (2,)}
SETS: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "lesions": (draw_lesions, {"classes": LESIONS}),
    "lesions with an ignore label": (
        lambda folder: draw_lesions(folder, IGNORED),
        {"classes": LESIONS, "ignored": IGNORED},
    ),
    "regions of lesions": (draw_lesions, {"classes": LESIONS, "regions": REGIONS}),
    "regions with an ignore label": (
        lambda folder: draw_lesions(folder, IGNORED),
        {"classes": LESIONS, "regions": REGIONS, "ignored": IGNORED},
    ),
    "spinal cords": (draw_cords, {"classes": {"background": 0, "cord": 1}}),
    "levels of a spinal cord": (
        draw_levels,
        {"classes": {"background": 0, "c2": 2, "c3": 3, "c4": 4, "c5": 5}},
    ),
}


@pytest.fixture(scope="module", params=list(SETS))
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    draw, how = SETS[request.param]
    if "regions" in how and "regions" not in Dataset.model_fields:
        pytest.skip("no regions in this version")
    if not SCT.is_dir() or not (DATA / "ms_lesions").is_dir():
        pytest.skip("no real masks: set SEGSCALE_DATA")
    folder = tmp_path_factory.mktemp("nnunet")
    draw(folder)
    return Folders(folder, **how)


@pytest.fixture(scope="module")
def ours(folders: Folders) -> pd.DataFrame:
    """Rows of `per_image` by case and name of the class or region."""
    dataset: dict[str, Any] = {"label_values": list(folders.classes.values())}
    if folders.ignored is not None:
        dataset["ignore_label"] = folders.ignored
    if folders.regions:
        dataset["regions"] = {name: list(members) for name, members in folders.regions.items()}
    report = segscale.evaluate(
        references=folders.references,
        predictions=folders.predictions,
        classes=list(folders.classes),
        output=folders.folder / "output",
        settings={"dataset": dataset, "metrics": {"bootstrap": 20}},
    )
    return report.table("per_image").set_index(["image_id", "class_name"]).sort_index()


def read(path: Path) -> Labels:
    labels: Labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    return labels


def formula(reference: Labels, predicted: Labels, asked: int | Members, ignored: int | None) -> dict[str, float]:
    """What nnU-Net's documentation says of one case: of a label, or of a region that is a union of labels."""
    counted = np.ones(reference.shape, bool) if ignored is None else reference != ignored
    truth, found = np.isin(reference, asked) & counted, np.isin(predicted, asked) & counted
    tp, fp, fn = int((truth & found).sum()), int((found & ~truth).sum()), int((truth & ~found).sum())
    scores = {"Dice": 2 * tp / (2 * tp + fp + fn), "IoU": tp / (tp + fp + fn)} if tp + fp + fn else {}
    tn = int(counted.sum()) - tp - fp - fn
    return {"Dice": np.nan, "IoU": np.nan, **scores, "TP": tp, "FP": fp, "FN": fn, "TN": tn}


def check_same(row: Any, theirs: dict[str, float]) -> None:
    """Counts exactly, scores to the last digits."""
    assert {name: row[column] for name, column in COLUMNS.items()} == {name: theirs[name] for name in COLUMNS}
    for ours, name in (("dice", "Dice"), ("iou", "IoU")):
        assert row[ours] == pytest.approx(theirs[name], rel=1e-14, nan_ok=True), name


def test_its_formula(folders: Folders, ours: pd.DataFrame) -> None:
    cases = sorted(folders.references.iterdir())
    assert len(cases) == ours.index.get_level_values("image_id").nunique()
    for path in cases:
        reference, predicted = read(path), read(folders.predictions / path.name)
        for name, asked in folders.asked.items():
            theirs = formula(reference, predicted, asked, folders.ignored)
            check_same(ours.loc[path.name.removesuffix(".nii.gz"), name], theirs)


@pytest.fixture(scope="module")
def summary(folders: Folders) -> Path:
    """What nnU-Net writes of the folders."""
    if not os.environ.get("SEGSCALE_NNUNET"):
        pytest.skip("SEGSCALE_NNUNET names a Python that has nnunetv2")
    program, written = folders.folder / "program.py", folders.folder / "summary.json"
    program.write_text(PROGRAM)  # its processes import it anew
    arguments = (folders.references, folders.predictions, written, json.dumps(list(folders.asked.values())))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [os.environ["SEGSCALE_NNUNET"], program, *arguments, json.dumps(folders.ignored)],
        check=True,
        env=environment,
        timeout=300,
    )
    return written


def test_the_package(folders: Folders, ours: pd.DataFrame, summary: Path) -> None:
    theirs = json.loads(summary.read_text())
    assert len(theirs["metric_per_case"]) == len(list(folders.references.iterdir()))
    for case in theirs["metric_per_case"]:
        image_id = Path(case["reference_file"]).name.removesuffix(".nii.gz")
        for name, asked in folders.asked.items():
            check_same(ours.loc[image_id, name], case["metrics"][str(asked)])


def test_nothing_remains_between_its_summary_and_our_report(
    folders: Folders, ours: pd.DataFrame, summary: Path
) -> None:
    (report,) = (folders.folder / "output" / "reports").glob("*/*")
    found = segscale.reconcile(str(report), str(summary))
    assert len(found.cases) == len(ours.loc[(slice(None), list(folders.asked)), :])
    assert set(found.cases["state"]) == {"equal"}
    assert set(found.totals["verdict"]) <= {"explained", "undefined"}
    of_labels = found.totals[found.totals["label"] != "foreground"]
    assert set(of_labels["class_name"]) == set(folders.asked)
    stated = json.loads(summary.read_text())["mean"]
    rows: Iterable[Any] = of_labels.itertuples()
    for row in rows:
        name = {"dice": "Dice", "iou": "IoU"}[row.metric]
        assert row.theirs == pytest.approx(stated[str(folders.asked[row.class_name])][name], nan_ok=True)
        if row.aggregation == "per_sample":
            assert row.ours == pytest.approx(row.theirs, rel=1e-14, nan_ok=True)
            scores = ours.xs(row.class_name, level="class_name")[row.metric]
            assert row.ours == pytest.approx(scores.mean(), nan_ok=True)


WRITE = """
import json, sys
import numpy as np
from nnunetv2.utilities.label_handling.label_handling import LabelManager
labels, order, channels, written = sys.argv[1:]
found = LabelManager(json.loads(labels), json.loads(order))
np.save(written, found.convert_probabilities_to_segmentation(np.load(channels)))
"""


@pytest.mark.skipif(not os.environ.get("SEGSCALE_NNUNET"), reason="SEGSCALE_NNUNET names a Python that has nnunetv2")
def test_the_label_map_that_channels_of_regions_write(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    order = [2, 1, 3]
    channels = (np.random.default_rng(1).integers(0, 9, (3, 8, 9, 10)) / 8).astype(np.float32)  # some at the threshold
    np.save(tmp_path / "channels.npy", channels)
    arguments = (json.dumps(labels), json.dumps(order), tmp_path / "channels.npy", tmp_path / "written.npy")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([os.environ["SEGSCALE_NNUNET"], "-c", WRITE, *arguments], check=True, env=environment, timeout=300)
    described = {"labels": labels, "regions_class_order": order, "channel_names": {"0": "T1"}}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    found = read_dataset_json(str(tmp_path))
    assert found is not None
    config = parse_config(
        {
            "dataset": {"name": "set", "images": "i", "references": "r", **keys_of(found)},
            "predictions": channels_of(found),
        },
        base=tmp_path,
        source="made",
    )
    ours = written_labels(np.moveaxis(channels, 0, -1), config.region_channels, 0.5)
    assert ours.tolist() == np.load(tmp_path / "written.npy").tolist()
