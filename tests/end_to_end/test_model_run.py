"""The main job with the bundled models: the demo, and real images of nuclei."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import zarr
from PIL import Image

from segscale.flows import report
from segscale.flows.cli.demo import demo_config
from segscale.tasks.models.bundled import FOLDER, bundled_names
from segscale.tasks.overlays.drawing import drawn
from segscale.tasks.overlays.shown import Shown, cut, reduced

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(segscale: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The demo as `make demo` runs it: its folder and how it ended."""
    folder = tmp_path_factory.mktemp("demo")
    outcome = segscale("demo", "--output", folder)
    assert outcome.code == 0, outcome.err
    return folder, outcome


def report_folder(out: str) -> Path:
    return Path(out.strip().splitlines()[-1].removeprefix("report: "))


def kept_labels(store: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """The predicted label map of every image, read from the Zarr store as any other program would."""
    (catalog_file,) = (path for path in (store / "catalog").glob("*.parquet"))
    catalog = pd.read_parquet(catalog_file).set_index("image_id")
    labels = {}
    for entry in (store / "ledger" / "predict").glob("*.json"):
        folder = store / json.loads(entry.read_text())["path"]
        array = zarr.open_group(folder / "arrays.zarr", mode="r")["labels"]
        assert isinstance(array, zarr.Array)
        for image_id in pd.read_parquet(folder / "rows.parquet", columns=["image_id"])["image_id"].unique():
            row = catalog.loc[image_id]
            labels[str(image_id)] = np.asarray(array[int(row["row"])])[: row["height"], : row["width"]]
    return labels


def check_counts(report: Path, store: Path, reference_of: Callable[[str], Path], n_images: int) -> None:
    per_image = pd.read_parquet(report / "per_image.parquet")
    assert len(per_image) == 2 * n_images
    labels = kept_labels(store)
    assert len(labels) == n_images
    for row in per_image[per_image["class_index"] == 1].itertuples():
        with Image.open(reference_of(str(row.image_id))) as image:
            reference = np.asarray(image) > 0
        prediction = labels[str(row.image_id)] == 1
        assert reference.shape == prediction.shape == (row.height, row.width)
        counts = (row.true_positive, row.false_positive, row.false_negative, row.true_negative)
        assert counts == (
            np.sum(reference & prediction),
            np.sum(~reference & prediction),
            np.sum(reference & ~prediction),
            np.sum(~reference & ~prediction),
        ), row.image_id


def value_of(table: pd.DataFrame, **where: object) -> float:
    chosen = table
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    return float(chosen["mean"].item())


def test_demo_ends_with_the_aggregations_side_by_side(demo: tuple[Path, Any]) -> None:
    _, outcome = demo
    head, *rows = outcome.out.splitlines()
    interval = ["95", "%", "interval"]
    assert head.split()[:9] == ["class", "metric", "head", "per-sample", *interval, "pooled", *interval][:9]
    assert any(row.split()[:2] == ["lesion", "Dice"] for row in rows)
    assert ["batch-summed", "metric", "head", "batch", "1", "batch", "8", "batch", "32"] in map(str.split, rows)
    assert report_folder(outcome.out).joinpath("run.json").is_file()


def test_demo_set_tells_pooled_and_per_sample_apart(demo: tuple[Path, Any]) -> None:
    report = report_folder(demo[1].out)
    per_sample = value_of(
        pd.read_parquet(report / "per_sample.parquet"), stratum="", class_name="lesion", metric="dice"
    )
    batches = pd.read_parquet(report / "batch_summed.parquet")
    pooled = value_of(batches, stratum="", class_name="lesion", metric="dice", pooled=True)
    assert abs(pooled - per_sample) >= 0.05
    assert per_sample > 0.4


def test_demo_set_is_as_described(demo: tuple[Path, Any]) -> None:
    folder, outcome = demo
    lesion = pd.read_parquet(report_folder(outcome.out) / "per_image.parquet").query("class_name == 'lesion'")
    assert len(lesion) == 240
    assert (lesion["reference_sum"] == 0).sum() == 60
    assert len(set(zip(lesion["height"], lesion["width"], strict=True))) >= 4
    sizes = lesion["reference_sum"][lesion["reference_sum"] > 0]
    assert sizes.max() > 20 * sizes.median()
    assert (folder / "data" / "manifest.csv").is_file()


def test_demo_counts_equal_plain_numpy_on_the_kept_labels(demo: tuple[Path, Any]) -> None:
    folder, outcome = demo
    check_counts(
        report_folder(outcome.out), folder / "store", lambda name: folder / "data" / "masks" / f"{name}.png", 240
    )


def test_demo_page_shows_the_kept_labels(demo: tuple[Path, Any]) -> None:
    folder, outcome = demo
    page = (report_folder(outcome.out) / "report.html").read_text()
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="([^,]+), lesion: .* Dice ([0-9.]+)', page)
    assert len(pictures) == 24
    labels = kept_labels(folder / "store")
    for data, image_id, _ in pictures:
        with Image.open(folder / "data" / "masks" / f"{image_id}.png") as image:
            masks = np.asarray(image) > 0, labels[image_id] == 1
        expected = drawn(reduced(cut(Shown(*masks, np.zeros_like(masks[0])))))
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert (np.asarray(image) == expected).all()


def test_demo_again_does_nothing(segscale: Any, demo: tuple[Path, Any]) -> None:
    folder, first = demo
    again = segscale("demo", "--output", folder)
    assert again.code == 0, again.err
    assert "no file was read" in again.err
    assert again.err.count("nothing to do") == 2
    assert report_folder(again.out) == report_folder(first.out)


def is_unseen(image_id: str) -> bool:
    """As examples/nuclei/make_manifest.py splits."""
    return int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 100 < 25


@pytest.mark.nightly(part="models")
def test_real_nuclei(segscale: Any, nuclei_folder: Path, tmp_path: Path, write_config: Callable[..., Path]) -> None:
    manifest = tmp_path / "manifest.csv"
    # A quarter of the set, those that the bundled model never saw; the whole takes minutes.
    images = [path for path in sorted((nuclei_folder / "images").glob("*.png")) if is_unseen(path.stem)]
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "image", "reference", "split"])
        for image in images:
            writer.writerow([image.stem, image, nuclei_folder / "masks" / image.name, "test"])
    config = write_config(
        dataset={
            "name": '"nuclei"',
            "manifest": '"manifest.csv"',
            "roots": f'["{nuclei_folder}"]',
            "classes": '["background", "nucleus"]',
            "normalize": '"percentile"',
        },
        model={"path": '"nuclei"'},
        metrics={"group_by": '["split"]', "bootstrap": "200"},
    )
    outcome = segscale("run", config)
    assert outcome.code == 0, outcome.err
    report = report_folder(outcome.out)
    assert len(images) == 134
    assert pd.read_parquet(report / "per_image.parquet")[["height", "width"]].drop_duplicates().shape[0] == 9
    check_counts(report, tmp_path / "work", lambda name: nuclei_folder / "masks" / f"{name}.png", 134)
    table = pd.read_parquet(report / "per_sample.parquet")
    assert value_of(table, stratum="split=test", class_name="nucleus", metric="dice") >= 0.9


def test_a_report_alone_has_the_pictures_of_what_was_predicted_before(demo: tuple[Path, Any]) -> None:
    config = demo_config(demo[0])
    again = config.model_copy(update={"report": config.report.model_copy(update={"run_id": "again"})})
    page = Path(report.run(again).page)
    assert page.parent != report_folder(demo[1].out)
    assert page.read_bytes().count(b"data:image/png") > 0


def test_bundled_models_are_small_and_described() -> None:
    assert bundled_names() == ["nuclei", "phantom"]
    assert sum(path.stat().st_size for path in FOLDER.glob("*.keras")) <= 5_000_000
    for name in bundled_names():
        card = (FOLDER / f"{name}.md").read_text()
        for word in ("Data", "Licence", "Command", "Scores"):
            assert f"## {word}" in card, (name, word)


@pytest.mark.nightly(part="models")
def test_colours_fail_alone_where_the_network_takes_one_channel(
    segscale: Any, phantoms: Path, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for number in range(4):
            name = f"phantom_{number:04d}.png"
            (tmp_path / folder / name).write_bytes((phantoms / folder / name).read_bytes())
    for number, tint in ((0, 0), (1, 9)):
        path = tmp_path / "images" / f"phantom_{number:04d}.png"
        with Image.open(path) as image:
            grey = np.asarray(image)
        colours = np.stack([grey, grey, np.minimum(grey, 240) + tint if tint else grey], axis=-1)
        Image.fromarray(colours).save(path)
    config = write_config(
        dataset={"name": '"tinted"', "images": '"images"', "references": '"masks"', "label_values": "[0, 255]"},
        model={"path": '"phantom"'},
    )
    outcome = segscale("run", config)
    assert outcome.code == 1, outcome.err
    failures = pd.read_parquet(report_folder(outcome.out) / "failures.parquet")
    # Three equal channels are one: only the tinted image has colours.
    assert failures[["image_id", "stage"]].to_numpy().tolist() == [["phantom_0001", "predict"]]
    assert "colours" in failures["message"].item()
