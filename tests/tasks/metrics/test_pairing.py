"""Which images of two runs are paired, and which runs are refused."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from segscale.tasks.metrics.pairing import pair_images, refuse_different_settings
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
COUNTS = [(6, 2, 4), (0, 0, 5), (50, 1, 1)]
HASHES = {"image_sha256": ["i0", "i1", "i2"], "reference_sha256": ["r0", "r1", "r2"]}


@pytest.fixture
def frame(frame_of: Frames) -> pd.DataFrame:
    return frame_of(COUNTS, **HASHES)


def test_images_are_paired_by_id_whatever_their_order(frame: pd.DataFrame) -> None:
    pairs = pair_images(frame, frame.iloc[::-1].reset_index(drop=True))
    assert pairs.panel.images["image_id"].tolist() == ["image0", "image1", "image2"]
    assert [(one.class_index, one.class_name) for one in pairs.classes] == [(0, "background"), (1, "lesion")]
    assert pairs.classes[1].a.true_positive.tolist() == pairs.classes[1].b.true_positive.tolist() == [6, 0, 50]
    assert pairs.unpaired.empty


def test_an_image_that_failed_in_a_run_is_named_and_not_paired(frame_of: Frames, frame: pd.DataFrame) -> None:
    pairs = pair_images(frame, frame_of(COUNTS, failed=[1], **HASHES))
    assert pairs.classes[1].a.true_positive.tolist() == [6, 50]
    assert pairs.unpaired.to_dict("records") == [{"image_id": "image1", "status_a": "ok", "status_b": "failed"}]


def test_a_failed_image_may_lack_its_hash(frame_of: Frames, frame: pd.DataFrame) -> None:
    lost = frame_of(COUNTS, failed=[1], **HASHES).replace({"r1": "", "i1": None})
    assert len(pair_images(frame, lost).unpaired) == 1


@pytest.mark.parametrize("unnamed", ["", None])
def test_where_a_run_names_no_images_its_references_are_enough(frame: pd.DataFrame, unnamed: str | None) -> None:
    without = frame.assign(image_sha256=unnamed)
    for a, b in ((frame, without), (without, frame), (without, without)):
        assert len(pair_images(a, b).classes) == 2
        with pytest.raises(ValueError, match="different references: reference_sha256"):
            pair_images(a, b.replace({"reference_sha256": {"r1": "other"}}))


@pytest.mark.parametrize(
    ("heads_a", "heads_b", "expected"),
    [
        pytest.param(["x1", "x4"], ["x4", "x1"], [("x1", "x1"), ("x4", "x4")], id="by name"),
        pytest.param(["x1", "x4"], ["x4"], [("x4", "x4")], id="only those of both"),
        pytest.param(["x1", "x4"], [""], [("x4", "")], id="else the last of each"),
    ],
)
def test_heads_are_paired(frame_of: Frames, heads_a: list[str], heads_b: list[str], expected: list[Any]) -> None:
    a, b = (frame_of(COUNTS, heads=heads, **HASHES) for heads in (heads_a, heads_b))
    assert list(dict.fromkeys((one.head_a, one.head_b) for one in pair_images(a, b).classes)) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"image_sha256": {"i1": "other"}}, r"images: image_sha256 .* 1 of 3 .*image1", id="image"),
        pytest.param({"reference_sha256": {"r2": "x"}}, "references: reference_sha256 .*image2", id="reference"),
        pytest.param({"reference_sha256": {"r0": ""}}, "unknown for 1 of 3", id="an ok image without a hash"),
        pytest.param({"image_id": {"image2": "image9"}}, r"1 only in a \(image2\), 1 only in b \(image9\)", id="ids"),
        pytest.param({"class_name": {"lesion": "tumour"}}, "different classes: .*tumour", id="classes"),
        pytest.param({"status": {"ok": "failed"}}, "no image is ok in both", id="nothing left"),
        pytest.param({"reference_sum": {10: 11}}, "read differently: class .* 1 of 3", id="label values"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused(
    frame: pd.DataFrame, change: dict[str, dict[Any, Any]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        pair_images(frame, frame.replace(change))


def test_a_table_without_hashes_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"run b: expected the columns .*reference_sha256.* are missing"):
        pair_images(frame, frame.drop(columns="reference_sha256"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"empty": "one"}, "metrics.empty: expected the same in both runs, got 'nan' and 'one'", id="empty"
        ),
        pytest.param({"smooth": 1.0}, "metrics.smooth", id="smooth"),
        pytest.param({"tversky_beta": 0.5}, "metrics.tversky_beta", id="another Tversky index"),
    ],
)
def test_settings_that_score_equal_counts_differently_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_different_settings(ScoreSettings(), ScoreSettings(**change))


def test_settings_that_only_summarise_may_differ() -> None:
    refuse_different_settings(ScoreSettings(), ScoreSettings(seed=7, bootstrap=5, batch_sizes=(2,)))
