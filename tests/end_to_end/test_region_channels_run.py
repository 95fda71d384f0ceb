"""Results of nnU-Net's training by regions, with a probability for each: from its folders to every table."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import segscale as library
from segscale.errors import ConfigError
from segscale.flows.reports.export import export
from segscale.storage.reports import open_report
from tests.conftest import Segscale

nibabel = pytest.importorskip("nibabel")
pytestmark = pytest.mark.slow
N_CASES, SIZE, IGNORED = 11, (6, 16, 12), 4
LABELS: dict[str, Any] = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": IGNORED}
ORDER = [1, 2, 3]
REGIONS = {"whole": (0, (1, 2, 3)), "core": (1, (2, 3))}
"""Their channels, and their label values."""
CLASSES = ("background", "label_1", "label_2", "enhancing")
COUNTS = ["true_positive", "false_positive", "false_negative", "true_negative"]


def reference(number: int) -> NDArray[np.uint8]:
    """Labels in blocks, (D, H, W); the first rows are ignored."""
    blocks = np.random.default_rng(number).choice(4, (6, 4, 3), p=(0.55, 0.2, 0.15, 0.1)).astype(np.uint8)
    found = np.kron(blocks, np.ones((1, 4, 4), np.uint8))
    found[:, :2] = IGNORED
    return found


def channels(number: int) -> NDArray[np.float32]:
    """(K, D, H, W): likely where the region is, of a network that is often wrong, and by no means nested."""
    random, held = np.random.default_rng(100 + number), reference(number)
    likely = np.stack([np.isin(held, values) for values in ((1, 2, 3), (2, 3), (3,))])
    found: NDArray[np.float32] = (0.35 * likely + 0.65 * random.random(likely.shape)).astype(np.float32)
    return found


def label_map(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """As nnU-Net writes it (LabelManager.convert_probabilities_to_segmentation)."""
    found = np.zeros(probabilities.shape[1:], np.uint8)
    for channel, value in zip(probabilities, ORDER, strict=True):
        found[channel > 0.5] = value
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw data set, and results of which one is missing."""
    made = tmp_path_factory.mktemp("nnunet")
    document = {"channel_names": {"0": "T1"}, "numTraining": N_CASES, "file_ending": ".nii.gz", "labels": LABELS}
    for place in ("raw/labelsTr", "results"):
        (made / place).mkdir(parents=True)
    for place in ("raw", "results"):
        (made / place / "dataset.json").write_text(json.dumps(document | {"regions_class_order": ORDER}))
    for number in range(N_CASES):
        image = nibabel.Nifti1Image(reference(number).T, np.diag([1.0, 1.0, 3.0, 1.0]))
        nibabel.save(image, made / f"raw/labelsTr/case{number:02}.nii.gz")
        if number:
            np.savez_compressed(made / f"results/case{number:02}.npz", probabilities=channels(number))
            (made / f"results/case{number:02}.pkl").write_bytes(b"never opened")
    return made


@pytest.fixture(scope="module")
def run(segscale: Segscale, folder: Path) -> tuple[str, str]:
    """The folder of the report, and what was said."""
    settings = ("metrics.slices=true", "metrics.bootstrap=20", "cluster.workers=1")
    process = segscale.start(
        "evaluate", "--predictions", "results", "--references", "raw", "--output", "out",
        *(word for one in settings for word in ("--set", one)), cwd=folder,
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err  # one prediction is missing
    return str(folder / out.splitlines()[-1].removeprefix("report: ")), err


@pytest.fixture(scope="module")
def per_image(run: tuple[str, str]) -> Any:
    return pd.read_parquet(f"{run[0]}/per_image.parquet").set_index(["class_name", "image_id"]).sort_index()


def four(held: NDArray[np.bool_], found: NDArray[np.bool_], counted: NDArray[np.bool_]) -> list[int]:
    both = (held & found, ~held & found, held & ~found, ~held & ~found)
    return [int(np.count_nonzero(one & counted)) for one in both]


@pytest.mark.parametrize("name", list(REGIONS))
def test_a_region_is_counted_by_its_channel(per_image: Any, name: str) -> None:
    place, values = REGIONS[name]
    for number in range(1, N_CASES):
        row, counted = per_image.loc[(name, f"case{number:02}")], reference(number) != IGNORED
        held, p = np.isin(reference(number), values), channels(number)[place]
        assert row[COUNTS].tolist() == four(held, p >= 0.5, counted)
        soft = p[held & counted].sum(dtype=float), p[counted].sum(dtype=float)
        assert (row["soft_intersection"], row["soft_prediction_sum"]) == pytest.approx(soft)
        assert row["soft_dice"] == pytest.approx(2 * soft[0] / (soft[1] + row["reference_sum"]))
        assert (row["threshold"], bool(row["is_region"])) == (0.5, True)
    missing = per_image.loc[(name, "case00")]
    assert missing["prediction_missing"]
    assert missing["reference_pixels"] == np.isin(reference(0), values).sum()


@pytest.mark.parametrize(("value", "name"), list(enumerate(CLASSES)))
def test_a_class_is_counted_in_the_label_map(per_image: Any, value: int, name: str) -> None:
    for number in range(1, N_CASES):
        row, counted = per_image.loc[(name, f"case{number:02}")], reference(number) != IGNORED
        found = label_map(channels(number)) == value
        assert row[COUNTS].tolist() == four(reference(number) == value, found, counted)
        # One class has a channel of its own.
        known = channels(number)[2][counted].sum(dtype=float) if name == "enhancing" else np.nan
        assert row["soft_prediction_sum"] == pytest.approx(known, nan_ok=True)


def test_what_was_taken_for_granted_is_said(run: tuple[str, str]) -> None:
    report, said = run
    assert "10 predictions: 3 channels, taken for those of predictions.regions, in their order" in said
    asked = tomllib.loads(Path(report, "evaluate.toml").read_text(encoding="utf-8"))["predictions"]
    assert asked["regions"] == ["whole", "core", "enhancing"]
    assert asked["regions_class_order"] == ORDER


def test_thresholds_are_of_what_has_a_channel(run: tuple[str, str]) -> None:
    thresholds: Any = pd.read_parquet(f"{run[0]}/thresholds.parquet").set_index(["class_index", "image_id"])
    kept = thresholds["predicted_032"].dropna()
    assert set(kept.index.get_level_values("class_index")) == {3, 4, 5}
    counted = reference(3) != IGNORED
    assert kept[4, "case03"] == np.count_nonzero((channels(3)[0] >= 0.5) & counted)
    with pytest.raises(ConfigError, match="30 of 60 rows come from label maps, or are of classes without a channel"):
        library.rescore(run[0], threshold=0.25)


def test_means_over_classes_leave_regions_out(run: tuple[str, str], per_image: Any) -> None:
    per_sample: Any = open_report(run[0]).table("per_sample").set_index(["class_name", "metric"])
    means = [per_image.loc[name, "dice"].mean() for name in CLASSES[1:]]
    assert per_sample.loc[("all_macro", "dice"), "mean"] == pytest.approx(np.mean(means))
    sums = per_image.loc[list(CLASSES[1:]), COUNTS].groupby("image_id").sum()
    dice = 2 * sums["true_positive"] / (2 * sums["true_positive"] + sums["false_positive"] + sums["false_negative"])
    assert per_sample.loc[("all_micro", "dice"), "mean"] == pytest.approx(dice.drop("case00").mean())
    # Of classes without a probability there is no soft sum, so none over all of them.
    assert np.isnan(per_sample.loc[("all_micro", "soft_dice"), "mean"])
    assert per_sample.loc[("whole", "soft_dice"), "mean"] == pytest.approx(per_image.loc["whole", "soft_dice"].mean())


def test_slices_sum_to_the_volume(run: tuple[str, str], per_image: Any) -> None:
    slices = pd.read_parquet(f"{run[0]}/per_slice.parquet")
    sums = slices.groupby(["class_name", "image_id"])[COUNTS].sum()
    assert len(slices) == (N_CASES - 1) * SIZE[0] * 6
    pd.testing.assert_frame_equal(sums, per_image.loc[sums.index, COUNTS], check_dtype=False)


def test_what_is_made_of_the_report(run: tuple[str, str], tmp_path: Path) -> None:
    report, _ = run
    tables = library.rescore(report)
    pd.testing.assert_frame_equal(tables["per_sample"].reset_index(drop=True), open_report(report).table("per_sample"))
    differences = library.compare(report, report)["differences"]
    assert set(REGIONS) | set(CLASSES[1:]) < set(differences["class_name"])
    assert (differences["difference"].dropna() == 0).all()
    export(report, file=str(tmp_path / "summary.json"))
    assert set(json.loads((tmp_path / "summary.json").read_text())["mean"]) == {"1", "2", "3", "(1, 2, 3)", "(2, 3)"}
    page = Path(f"{report}/report.html").read_text(encoding="utf-8")
    assert any(f">Region {name}<" in page for name in REGIONS)


def test_the_written_configuration_is_the_same_run(segscale: Segscale, run: tuple[str, str]) -> None:
    report, _ = run
    process = segscale.start("run", f"{report}/evaluate.toml")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert Path(out.splitlines()[-1].removeprefix("report: ")).name == Path(report).name


def test_a_draft_names_the_channels(segscale: Segscale, folder: Path) -> None:
    process = segscale.start("init", "raw", "results", "--output", "draft.toml", cwd=folder)
    out, err = process.communicate(timeout=300)
    assert (folder / "draft.toml").exists(), out + err
    drafted = tomllib.loads((folder / "draft.toml").read_text(encoding="utf-8"))
    assert drafted["predictions"]["regions"] == ["whole", "core", "enhancing"]
