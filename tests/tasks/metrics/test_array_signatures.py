"""Mistakes planted in raw arrays, and sound arrays that must stay without a finding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.tasks.metrics.diagnose import check_arrays

MASK = np.zeros((2, 16, 16), np.uint8)
MASK[0, 3:9, 4:12], MASK[1, 10:13, 2:7] = 1, 1
FOREGROUND, PIXELS = int(MASK.sum()), MASK.size
PROBABILITIES = np.where(MASK, 0.9, 0.1).astype(np.float32)
PROBABILITIES[:, 3] = 0.6
SOFTMAX = np.stack([1 - PROBABILITIES, PROBABILITIES], axis=-1)


def _resized(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Every other grid line between two pixels, as a bilinear enlargement has it."""
    padded = np.pad(mask.astype(np.float32), ((0, 0), (0, 1), (0, 1)), mode="edge")
    return np.asarray((padded[:, :-1, :-1] + padded[:, 1:, :-1] + padded[:, :-1, 1:] + padded[:, 1:, 1:]) / 4)


def _blurred_grey(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    soft = mask.astype(np.float32) * 255
    for _ in range(4):
        soft = _resized(soft)  # type: ignore[arg-type]
    return np.where(mask, 255, soft).astype(np.uint8)


PLANTED = [
    pytest.param(
        MASK[..., None], SOFTMAX, "broadcast-channels", f"2F/(F+N) = {2 * FOREGROUND / (FOREGROUND + PIXELS):.4f}",
        id="one channel against a softmax",
    ),
    pytest.param(MASK * 255, PROBABILITIES, "labels-as-numbers", "its Dice is 1.9922", id="0 and 255: 2 x 255/256"),
    pytest.param(MASK * 2, PROBABILITIES, "labels-as-numbers", "holds 0, 2", id="0 and 2 against a probability"),
    pytest.param(MASK, MASK * 255, "labels-as-numbers", "the prediction holds 0, 255", id="the prediction in grey"),
    pytest.param(MASK, np.ones_like(PROBABILITIES), "everything-foreground", "all 512 predicted", id="softmax of one"),
    pytest.param(
        MASK, np.ones((2, 16, 16, 1), np.float32), "everything-foreground", "2F/(F+N)", id="the same with its channel"
    ),
    pytest.param(
        MASK, np.zeros(MASK.shape, np.int64), "nothing-foreground", f"{FOREGROUND} reference pixels are not; Dice 0",
        id="argmax over one",
    ),
    pytest.param(_resized(MASK), PROBABILITIES, "interpolated-mask", "0.25, 0.5", id="resized bilinearly"),
    pytest.param(_blurred_grey(MASK), MASK, "interpolated-mask", "values between its labels", id="a lossy grey mask"),
    pytest.param(
        np.zeros((512, 512), np.uint8), np.ones((512, 512), np.float16) * np.float16(0.5), "narrow-sums",
        "they sum to inf in float16, to 131072 in float64", id="float16 over 512 x 512",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "prediction", "signature", "words"), PLANTED)
def test_a_planted_mistake_is_found(
    reference: NDArray[Any], prediction: NDArray[Any], signature: str, words: str
) -> None:
    found = check_arrays(reference, prediction)
    assert [one.signature for one in found] == [signature]
    assert words in found[0].evidence or words in found[0].cause
    assert found[0].severity == ("warning" if signature == "narrow-sums" else "error")


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        pytest.param(MASK, PROBABILITIES, id="probabilities"),
        pytest.param(MASK, SOFTMAX, id="a softmax of two, class indices"),
        pytest.param(MASK[..., None], PROBABILITIES[..., None], id="a channel on both"),
        pytest.param(MASK.astype(bool), PROBABILITIES > 0.5, id="bool masks"),
        pytest.param(MASK.astype(np.float32), PROBABILITIES, id="labels as floats"),
        pytest.param(MASK * 2, MASK * 2, id="label maps of several classes, one of them here"),
        pytest.param(np.where(MASK, 2, 1), np.eye(4, dtype=np.float32)[MASK + 1], id="four classes, softmax"),
        pytest.param(np.where(MASK == 1, 1, np.eye(16, dtype=np.uint8) * 255), PROBABILITIES, id="255 is ignored"),
        pytest.param(np.zeros_like(MASK), np.zeros(MASK.shape, np.float32), id="nothing there, nothing found"),
        pytest.param(np.ones_like(MASK), np.ones(MASK.shape, np.float32), id="everything there, everything found"),
        pytest.param(np.arange(512).reshape(2, 16, 16), np.arange(512).reshape(2, 16, 16), id="512 classes"),
        pytest.param(MASK, PROBABILITIES.astype(np.float16), id="small float16"),
    ],
)
def test_sound_arrays_have_no_finding(reference: NDArray[Any], prediction: NDArray[Any]) -> None:
    assert check_arrays(reference, prediction) == []


@pytest.mark.data
def test_real_masks(nuclei_folder: Path) -> None:
    """As grey values, mapped to classes, and enlarged with interpolation."""
    with Image.open(sorted((nuclei_folder / "masks").iterdir())[0]) as file:
        image = file.convert("L")
        grey, enlarged = (
            np.asarray(one)
            for one in (image, image.resize((2 * image.width, 2 * image.height), Image.Resampling.BILINEAR))
        )
    mask = (grey > 0).astype(np.uint8)
    assert [one.signature for one in check_arrays(grey, 0.9 * mask)] == ["labels-as-numbers"]
    assert check_arrays(mask, 0.9 * mask) == []
    found = check_arrays(enlarged / 255, np.repeat(np.repeat(0.9 * mask, 2, axis=0), 2, axis=1))
    assert [one.signature for one in found] == ["interpolated-mask"]


def test_whatever_is_predicted_broadcasting_gives_the_same() -> None:
    reference = MASK[..., None]
    scores = set()
    for prediction in (SOFTMAX, SOFTMAX[..., ::-1]):
        scores.add(check_arrays(reference, prediction)[0].evidence)
    assert len(scores) == 1


def test_a_float32_sum_above_2_24_is_a_note() -> None:
    large = np.broadcast_to(np.float32(1), (4097, 4097))
    found = check_arrays(np.broadcast_to(np.uint8(1), large.shape), large)
    assert [(one.signature, one.severity) for one in found] == [("narrow-sums", "note")]
    assert "sums to 16785409" in found[0].evidence


@pytest.mark.parametrize(
    ("reference", "prediction", "words"),
    [
        pytest.param(MASK, PROBABILITIES[:, :8], "expected the shape .2, 16, 16. of the reference", id="other grid"),
        pytest.param(MASK[:0], MASK[:0], "at least 2 axes, got uint8 of shape .0, 16, 16.", id="nothing"),
        pytest.param(MASK, PROBABILITIES * np.float32(np.nan), "prediction: expected finite values", id="NaN"),
        pytest.param(MASK.astype(str), MASK, "reference: expected numbers", id="texts"),
    ],
)
def test_arrays_that_cannot_be_judged_are_refused(
    reference: NDArray[Any], prediction: NDArray[Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        check_arrays(reference, prediction)
