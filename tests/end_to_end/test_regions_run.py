"""Regions of a run: counted beside the classes, from the files to every table, the page and what is made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import segscale as library
from segscale.flows.reports.export import export
from segscale.storage.reports import open_report
from tests.conftest import Segscale
from tests.drawn_pairs import save

pytestmark = pytest.mark.slow
N_IMAGES, SIZE, VALUES = 12, (24, 32), (0, 10, 20, 30)
CLASSES = "background,oedema,core,enhancing"
REGIONS = {"whole": (10, 20, 30), "tumour core": (20, 30), "enhancing alone": (30,)}
FEW = {"cluster.workers": "1", "metrics.bootstrap": "20", "dataset.label_values": "[0, 10, 20, 30]"}


def drawn(seed: int) -> NDArray[np.uint8]:
    """Label values in blocks of 4 x 4 pixels."""
    blocks = np.random.default_rng(seed).choice(VALUES, (6, 8), p=(0.6, 0.2, 0.1, 0.1)).astype(np.uint8)
    return np.kron(blocks, np.ones((4, 4), np.uint8))


def reference(number: int) -> NDArray[np.uint8]:
    found = drawn(number)
    found[:2] = 255  # ignored
    return found


def prediction(number: int) -> NDArray[np.uint8]:
    return np.where(np.random.default_rng(99 - number).random(SIZE) < 0.7, drawn(number), drawn(50 + number))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps with four values; one prediction is missing."""
    made = tmp_path_factory.mktemp("regions")
    for number in range(N_IMAGES):
        save(made / f"masks/case{number:02}.png", reference(number))
        if number:
            save(made / f"preds/case{number:02}.png", prediction(number))
    return made


def evaluated(segscale: Segscale, folder: Path, output: str, *options: str) -> str:
    """The folder of the report."""
    settings = [word for key, value in FEW.items() for word in ("--set", f"{key}={value}")]
    process = segscale.start(
        "evaluate", "--predictions", "preds", "--references", "masks", "--classes", CLASSES, "--output", output,
        "--set", "dataset.ignore_label=255", *settings, *options, cwd=folder,
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err  # one prediction is missing
    return out.splitlines()[-1].removeprefix("report: ")


@pytest.fixture(scope="module")
def report(segscale: Segscale, folder: Path) -> str:
    table = ", ".join(f'"{name}" = {list(values)}' for name, values in REGIONS.items())
    return evaluated(segscale, folder, "with", "--set", f"dataset.regions={{{table}}}")


@pytest.fixture(scope="module")
def without(segscale: Segscale, folder: Path) -> str:
    return evaluated(segscale, folder, "without")


def test_counts_are_those_of_binary_masks(report: str) -> None:
    per_image = pd.read_parquet(f"{report}/per_image.parquet")
    indices = dict(zip(per_image["class_name"], per_image["class_index"], strict=True))
    assert [indices[name] for name in REGIONS] == [4, 5, 6]
    assert (per_image["is_region"] == (per_image["class_index"] >= 4)).all()
    for name, values in REGIONS.items():
        rows = per_image[per_image["class_name"] == name].set_index("image_id")
        for number in range(N_IMAGES):
            labels, row = reference(number), rows.loc[f"case{number:02}"]
            counted = labels != 255
            held = np.isin(labels, values)[counted]
            assert row["reference_pixels"] == held.sum()
            if not number:
                assert row["prediction_missing"]
                continue
            found = np.isin(prediction(number), values)[counted]
            expected = [(held & found).sum(), (~held & found).sum(), (held & ~found).sum(), (~held & ~found).sum()]
            columns = ["true_positive", "false_positive", "false_negative", "true_negative"]
            assert [row[name] for name in columns] == expected
            assert row["dice"] == pytest.approx(2 * expected[0] / (held.sum() + found.sum()))


def test_everything_else_is_as_it_is_without_them(report: str, without: str) -> None:
    with_them, plain = open_report(report), open_report(without)
    assert set(with_them.run()["files"]) == set(plain.run()["files"])
    for name in ("per_image", "per_sample", "batch_summed", "intervals", "gap"):
        table = with_them.table(name)
        classes = table[~table["class_name"].isin(list(REGIONS))].reset_index(drop=True)
        same = classes.drop(columns=["run_id", "is_region"], errors="ignore")
        pd.testing.assert_frame_equal(same, plain.table(name).drop(columns="run_id"), check_exact=True)
        assert set(REGIONS) < set(table["class_name"])


def test_the_page_shows_them(report: str) -> None:
    page = Path(f"{report}/report.html").read_text(encoding="utf-8")
    assert any(f">Region {name}<" in page for name in REGIONS)
    assert "4 classes and regions with the largest gap" in page


def test_a_rescore_is_the_report(report: str) -> None:
    tables = library.rescore(report)
    written = open_report(report).table("per_sample")
    pd.testing.assert_frame_equal(tables["per_sample"].reset_index(drop=True), written)


def test_runs_with_equal_regions_are_compared(report: str) -> None:
    differences = library.compare(report, report)["differences"]
    assert set(REGIONS) < set(differences["class_name"])
    assert (differences["difference"].dropna() == 0).all()
    assert set(differences.loc[differences["class_index"] == -1, "class_name"]) == {
        "all_macro", "all_micro", "all_channels_micro",
    }  # fmt: skip


def test_a_summary_of_nnunet_calls_them_as_it_does(report: str, tmp_path: Path) -> None:
    export(report, file=str(tmp_path / "summary.json"))
    summary = json.loads((tmp_path / "summary.json").read_text())
    mean = summary["mean"]
    assert set(mean) == {"10", "20", "30", "(10, 20, 30)", "(20, 30)"}
    foreground = np.mean([mean[label]["Dice"] for label in ("10", "20", "30")])
    assert summary["foreground_mean"]["Dice"] == pytest.approx(foreground)
