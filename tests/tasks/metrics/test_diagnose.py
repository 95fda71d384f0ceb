"""Mistakes planted in the arrays of a run, counted and reported as a run does; and runs that are sound."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.diagnose import diagnose
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.reference_signatures import IgnoredBy, ignored_by
from segscale.tasks.metrics.settings import ScoreSettings

Float32Array = NDArray[np.float32]
Spoil = Callable[[NDArray[np.uint8], Float32Array], Float32Array]
CLASSES = ("background", "lesion", "tumour")
COUNTS = ["true_positive", "false_positive", "false_negative", "true_negative", "reference_sum",
          "soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum"]  # fmt: skip
ROWS, COLUMNS = np.mgrid[:48, :48]


def _disc(row: float, column: float, radius: float) -> Float32Array:
    """A disc with a soft edge of a pixel: 1 inside, 0 outside."""
    distance = np.hypot(ROWS - row, COLUMNS - column)
    return np.asarray(np.clip(radius - distance + 0.5, 0, 1), np.float32)


def _images(n_images: int) -> Iterable[tuple[NDArray[np.uint8], Float32Array]]:
    """References and good probabilities: discs of any size, found half a pixel beside, noise around 0.05."""
    generator = np.random.default_rng(4)
    for place in range(n_images):
        row, column = generator.uniform(14, 34, 2)
        radius = generator.uniform(3, 12)
        reference = (_disc(row, column, radius) >= 0.5).astype(np.uint8)
        if place % 13 == 5:
            reference[:] = 0
        shift = generator.normal(0, 0.4, 2)
        found = _disc(row + shift[0], column + shift[1], radius) * reference.any()
        noise = generator.uniform(0, 0.1, reference.shape).astype(np.float32)
        yield reference, np.clip(0.9 * found + noise, 0, 1).astype(np.float32)


HEALTHY = list(_images(37))


def _diagnose(
    images: Iterable[tuple[NDArray[np.uint8], Float32Array]],
    settings: ScoreSettings | None = None,
    *,
    n_classes: int = 2,
    label_maps: bool = False,
    failed: int = 0,
) -> list[Finding]:
    rows = []
    for place, (reference, prediction) in enumerate(images):
        given = {"label_map": prediction.astype(np.uint8)} if label_maps else {"probabilities": prediction}
        counts = count_overlap(reference, n_classes=n_classes, **given)
        for index in range(n_classes):
            row = {name: getattr(counts, name)[index] for name in COUNTS}
            status = "failed" if place < failed else "ok"
            rows.append({"image_id": place, "class_index": index, "class_name": CLASSES[index], "head": "", **row,
                         "status": status})  # fmt: skip
    frame = pd.DataFrame(rows).astype({name: "Int64" for name in COUNTS if not name.startswith("soft")})
    frame.loc[frame["status"] == "failed", COUNTS] = pd.NA
    chosen = settings or ScoreSettings(bootstrap=0)
    per_image = score_images(frame, chosen)
    return diagnose(
        per_image, per_sample(per_image, chosen), batch_summed(per_image, chosen), gap(per_image, chosen), chosen
    )


def _loud(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.signature, one.severity) for one in findings if one.severity != "note"]


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param(_diagnose(HEALTHY), id="probabilities"),
        pytest.param(_diagnose([(r, (p >= 0.5).astype(np.float32)) for r, p in HEALTHY], label_maps=True), id="labels"),
        pytest.param(_diagnose(HEALTHY[:1]), id="one image"),
        pytest.param(_diagnose(HEALTHY[5:6]), id="one image without a lesion"),
        pytest.param(
            _diagnose([(r * 2, np.stack([1 - p, p / 4, 3 * p / 4], -1)) for r, p in HEALTHY], n_classes=3),
            id="three classes, one of them nowhere",
        ),
        pytest.param(
            _diagnose(HEALTHY, ScoreSettings(bootstrap=0, smooth=1.0, empty="nan")), id="smoothing, no effect"
        ),
    ],
)
def test_a_sound_run_has_no_warning(findings: list[Finding]) -> None:
    assert _loud(findings) == []


def test_a_sound_run_of_like_images_has_no_finding_at_all() -> None:
    alike = [((_disc(24, 24, 9) >= 0.5).astype(np.uint8), _disc(24.4, 24, 9))] * 20
    assert _diagnose(alike) == []


def _softmax_of_one(_: NDArray[np.uint8], probabilities: Float32Array) -> Float32Array:
    logits = np.log(probabilities + 1e-6)[..., None]
    return np.asarray((np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))[..., 0], np.float32)


PLANTED = [
    pytest.param(_softmax_of_one, {}, "everything-foreground", id="softmax over one channel"),
    pytest.param(
        lambda _, p: p[..., None].argmax(axis=-1).astype(np.float32), {"label_maps": True}, "nothing-foreground",
        id="argmax over one channel",
    ),
    pytest.param(lambda _, p: 1 - p, {}, "wrong-channel", id="the background channel"),
    pytest.param(lambda _, p: p * 0.3, {}, "nothing-foreground", id="all-background prediction"),
    pytest.param(
        lambda _, p: np.where(ROWS + COLUMNS < 2, 0.6, 0.4 * p).astype(np.float32), {}, "hardly-any-overlap",
        id="another channel that hardly reacts",
    ),
    pytest.param(
        lambda _, p: np.roll(p, 24, axis=1) * (_disc(24, 24, 14) < 0.5), {}, "hardly-any-overlap",
        id="references of another grid",
    ),
    pytest.param(lambda _, p: np.full_like(p, 0.31), {}, "nothing-foreground", id="constant below the threshold"),
    pytest.param(lambda _, p: np.full_like(p, 0.7), {}, "everything-foreground", id="constant above the threshold"),
    pytest.param(
        lambda r, p: np.full_like(p, 0.3 + 0.4 * bool(r.sum() > 150)), {}, "constant-prediction",
        id="one value per image",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "options", "signature"), PLANTED)
def test_a_planted_prediction_is_found(spoil: Spoil, options: dict[str, Any], signature: str) -> None:
    findings = _diagnose([(reference, spoil(reference, p)) for reference, p in HEALTHY], **options)
    assert _loud(findings) == [(signature, "error")]


def test_smoothed_empty_references_are_found() -> None:
    noisy = [(reference, np.where(np.arange(48) == 0, 0.6, p).astype(np.float32)) for reference, p in HEALTHY]
    findings = _diagnose(noisy, ScoreSettings(bootstrap=0, smooth=50.0))
    assert _loud(findings) == [("smoothed-empty-reference", "warning")]


def test_failed_images_are_found() -> None:
    assert _loud(_diagnose(HEALTHY, failed=3)) == [("failed-images-dropped", "warning")]


def test_missed_small_lesions_are_notes() -> None:
    missed = [(reference, p * (reference.sum() > 150)) for reference, p in HEALTHY]
    findings = _diagnose(missed)
    assert _loud(findings) == []
    assert {"pooled-differs", "batch-size-dependent"} <= {one.signature for one in findings}


def test_errors_come_before_warnings_and_notes() -> None:
    findings = _diagnose([(reference, 1 - p) for reference, p in HEALTHY], failed=2)
    severities = [one.severity for one in findings]
    assert severities[:2] == ["error", "warning"]
    assert set(severities[2:]) <= {"note"}


@pytest.mark.parametrize(
    ("n_ignored", "seen"),
    [
        pytest.param([0, 0, 0], False, id="references are empty, and nothing is ignored"),
        pytest.param([7, 0, 90], True, id="what was to be found is ignored"),
    ],
)
@pytest.mark.parametrize("missing", [0, 1])
def test_ignored_pixels_that_leave_every_reference_empty(n_ignored: list[int], seen: bool, missing: int) -> None:
    findings = _of_references([0, 0, 0], n_ignored, missing)
    chosen = [one for one in findings if one.signature == "nothing-but-ignored"]
    assert [one.severity for one in chosen] == (["error"] if seen else [])
    if seen:
        assert chosen[0].evidence.startswith(f"{2 - missing} of {3 - missing} images have ignored pixels, ")
        assert chosen[0].evidence.endswith("no reference has a pixel of lesion")
        assert "dataset.ignore_label" in chosen[0].remedy
        assert findings[0] is chosen[0]


@pytest.mark.parametrize("missing", [0, 1])
def test_one_reference_with_a_pixel_is_enough(missing: int) -> None:
    findings = _of_references([4, 0, 0], [7, 3, 90], missing)
    assert "nothing-but-ignored" not in {one.signature for one in findings}


def test_masks_that_leave_everything_out_are_named() -> None:
    chosen, *_ = _of_references([0, 0, 0], [100, 100, 100], 0, ignored=ignored_by(None, "masks/*.png"))
    assert (chosen.signature, chosen.severity) == ("nothing-but-ignored", "error")
    assert "masks leave out all" in chosen.cause
    assert chosen.evidence.startswith("3 of 3 images have ignored pixels, 3 of them nothing else, 300 in all; ")
    assert "dataset.masks" in chosen.remedy
    assert "ignore_label" not in chosen.cause + chosen.remedy


@pytest.mark.parametrize(
    ("n_ignored", "likely"),
    [
        pytest.param([100, 40, 0], "very likely the masks leave out all", id="a mask of zeros"),
        pytest.param([50, 40, 0], "the masks leave out all", id="no mask of zeros"),
    ],
)
def test_masks_are_named_first_where_a_label_is_ignored_too(n_ignored: list[int], likely: str) -> None:
    chosen, *_ = _of_references([0, 0, 0], n_ignored, 0, ignored=ignored_by(255, "masks/*.png"))
    assert chosen.cause.startswith(likely)
    assert chosen.cause.index("masks") < chosen.cause.index("dataset.ignore_label")
    assert chosen.remedy.index("dataset.masks") < chosen.remedy.index("dataset.ignore_label")


def test_without_masks_the_ignored_label_is_named() -> None:
    chosen, *_ = _of_references([0, 0, 0], [100, 40, 0], 0, ignored=ignored_by(0, ""))
    assert "the value that is ignored is, very likely, the one that was to be found" in chosen.cause


def _of_references(
    sizes: list[int], n_ignored: list[int], missing: int, *, ignored: IgnoredBy = "label"
) -> list[Finding]:
    """Of images with references of these sizes and so many ignored pixels; the first predictions are missing."""
    rows = []
    for place, (size, left_out) in enumerate(zip(sizes, n_ignored, strict=True)):
        for index, pixels in enumerate((100 - size - left_out, size)):
            counts = dict.fromkeys(COUNTS, 0) | {"false_negative": pixels, "reference_sum": pixels}
            rows.append({
                "image_id": place, "class_index": index, "class_name": CLASSES[index], "head": "", **counts,
                "n_pixels": 100, "n_ignored": left_out, "status": "failed" if place < missing else "ok",
                "prediction_missing": place < missing, "reference_pixels": pixels,
            })  # fmt: skip
    chosen = ScoreSettings(bootstrap=0)
    frame = score_images(pd.DataFrame(rows), chosen)
    tables = per_sample(frame, chosen), batch_summed(frame, chosen), gap(frame, chosen)
    return diagnose(frame, *tables, chosen, ignored)
