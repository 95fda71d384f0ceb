"""What counting refuses, and whether the message says what to do."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.overlap_inputs import label_codes

REFERENCE = np.zeros((4, 5), np.uint8)
P = np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"n_classes": 1}, "n_classes: expected 2 to 256", id="one class"),
        pytest.param({"probabilities": None}, "exactly one of .* neither", id="no prediction"),
        pytest.param({"label_map": REFERENCE}, "exactly one of .* both", id="two predictions"),
        pytest.param({"reference": P}, "reference: expected class indices as integers.*float32", id="float reference"),
        pytest.param({"reference": np.ma.array(REFERENCE)}, "reference: .*masked.*filled", id="masked reference"),
        pytest.param({"probabilities": np.ma.array(P)}, "probabilities: .*masked", id="masked probabilities"),
        pytest.param(
            {"probabilities": None, "label_map": np.ma.array(REFERENCE)}, "label_map: .*masked", id="masked labels"
        ),
        pytest.param({"reference": REFERENCE[0]}, r"reference: .*shape \(5,\)", id="one axis"),
        pytest.param({"reference": REFERENCE[:0]}, "at least one pixel", id="no pixel"),
        pytest.param({"reference": REFERENCE + 255}, r"reference: .*0\.\.1, got also \[255\]: .*0 and 255", id="0/255"),
        pytest.param({"reference": np.arange(20).reshape(4, 5)}, "and 10 more", id="many labels"),
        pytest.param({"reference": REFERENCE.astype(int) - 1}, r"\[-1\]", id="ignored label without ignore_index"),
        pytest.param(
            {"reference": REFERENCE[..., None], "probabilities": np.zeros((4, 5, 2), np.float32)},
            r"\(4, 5, 1\).*\(4, 5, 2\).*reference\[\.\.\., 0\]",
            id="index map with an axis against two channels",
        ),
        pytest.param({"probabilities": P[:2]}, r"shape \(4, 5\).*got \(2, 5\): crop or resample", id="another size"),
        pytest.param({"probabilities": np.stack([P] * 3, -1)}, "3 channels for 2 classes", id="channels"),
        pytest.param(
            {"probabilities": P.astype(int)}, "dtype int64: pass predicted class indices as", id="labels as p"
        ),
        pytest.param({"probabilities": P + 2}, r"20 others, the first of them 2.0 at \(0, 0\)", id="above 1"),
        pytest.param(
            {"probabilities": np.where(np.eye(4, 5), np.nan, 0.0)}, "4 others, the first of them nan", id="nan"
        ),
        pytest.param(
            {"probabilities": np.where(np.eye(4, 5, 4) == 1, -0.1, P)}, r"1 others, .*-0.1 at \(0, 4\)", id="<0"
        ),
        pytest.param({"threshold": 1.5}, "threshold: .*1.5", id="threshold above 1"),
        pytest.param(
            {"threshold": 0.3, "probabilities": P.astype(np.uint8)}, "multiple of 1/256 .*choose 77/256", id="uint8 0.3"
        ),
        pytest.param(
            {"threshold": 1.0, "probabilities": P.astype(np.uint8)}, "choose 255/256", id="uint8 cannot say 1"
        ),
        pytest.param(
            {"probabilities": None, "label_map": REFERENCE[..., None]}, r"label_map: .*\(4, 5, 1\).*channel", id="axis"
        ),
        pytest.param({"probabilities": None, "label_map": REFERENCE + 2}, r"label_map: .*\[2\]", id="unknown label"),
        pytest.param({"n_classes": 3}, r"expected shape \(4, 5, 3\)", id="foreground where channels are due"),
        pytest.param(
            {"n_classes": 3, "probabilities": np.full((4, 5, 3), np.inf)}, "60 others, the first of them inf", id="inf"
        ),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"reference": REFERENCE, "n_classes": 2, "probabilities": P, **changes}
    with pytest.raises(ValueError, match=message):
        count_overlap(arguments.pop("reference"), **arguments)


def test_probabilities_are_checked_at_ignored_pixels_too() -> None:
    reference = np.full((1, 1), 255, np.uint8)
    with pytest.raises(ValueError, match="nan"):
        count_overlap(reference, n_classes=2, probabilities=np.full((1, 1), np.nan), ignore_index=255)


@dataclass(frozen=True)
class Wide:
    """Labels of a type wider than uint8, and how many of them are counted or which are refused."""

    labels: tuple[int, ...]
    n_classes: int
    ignore_index: int | None
    counted: int
    refused: str
    reason: str


WIDE = [
    Wide((0, 1, 1), 2, None, 3, "", "classes only"),
    Wide((0, 1, -1), 2, -1, 2, "", "the ignored value has no place in uint8"),
    Wide((0, 1, 300), 2, 300, 2, "", "likewise, above it"),
    Wide((0, 1, 44), 2, 300, 0, "[44]", "300 cut off to 8 bits is 44, which is not what is ignored"),
    Wide((0, 1, 1), 2, 1, 1, "", "an ignored class goes first"),
    Wide((0, 1, 256), 2, None, 0, "[256]", "cut off to 8 bits it would be class 0"),
    Wide((0, 1, -255), 2, None, 0, "[-255]", "cut off to 8 bits it would be class 1"),
    Wide((0, 1, 65536), 255, None, 0, "[65536]", "cut off to 16 bits it would be class 0"),
    Wide((0, 1, 255), 2, -1, 0, "[255]", "the code of ignored pixels is no value of the caller's"),
    Wide((0, 1, 254), 2, -1, 0, "[254]", "nor is the code of what is no class"),
    Wide((0, 253, -1), 254, -1, 2, "", "the most classes that go into uint8 beside the two codes"),
    Wide((0, 254, -1), 255, -1, 2, "", "one class more"),
    Wide((0, 255, -1), 256, -1, 2, "", "as many classes as there may be"),
    Wide((0, 256, -1), 256, -1, 0, "[256]", "and a label behind the last of them"),
    Wide((0, 2, 300), 2, None, 0, "[2, 300]", "all of them are named, whatever becomes of them"),
]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.dtype(">i4")], ids=str)
@pytest.mark.parametrize("wide", WIDE, ids=lambda wide: wide.reason)
def test_wide_labels_are_counted_or_refused_by_their_own_values(wide: Wide, dtype: Any) -> None:
    reference = np.array([wide.labels], dtype)
    probabilities = np.full(reference.shape if wide.n_classes == 2 else (*reference.shape, wide.n_classes), 0.25)
    for prediction in ({"probabilities": probabilities}, {"label_map": np.zeros(reference.shape, np.uint8)}):
        asked: dict[str, Any] = {"n_classes": wide.n_classes, "ignore_index": wide.ignore_index, **prediction}
        if wide.refused:
            with pytest.raises(ValueError, match=f"^reference: expected .* got also {re.escape(wide.refused)}"):
                count_overlap(reference, **asked)
        else:
            counts = count_overlap(reference, **asked)
            assert counts.n_pixels - counts.n_ignored == counts.reference_sum.sum() == wide.counted
            kept = [label for label in wide.labels if label != wide.ignore_index]
            assert counts.reference_sum.tolist() == np.bincount(kept, minlength=wide.n_classes).tolist()


@pytest.mark.parametrize(("label", "n_classes"), [(-1, 2), (256, 2), (257, 256), (65536, 256)])
def test_wide_label_maps_do_not_wrap_around_into_classes(label: int, n_classes: int) -> None:
    label_map = np.array([[0, label]])
    with pytest.raises(ValueError, match=rf"^label_map: .* got also \[{label}\]"):
        count_overlap(np.zeros((1, 2), np.uint8), n_classes=n_classes, label_map=label_map)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64])
@pytest.mark.parametrize("ignore_index", [300, -256, 65536])
def test_an_ignored_value_that_the_type_cannot_hold_ignores_nothing(dtype: type[Any], ignore_index: int) -> None:
    # Cut off to 8 or 16 bits, these would be 44 or 0.
    reference = np.zeros((1, 5), dtype)
    for n_classes, shape in ((2, (1, 5)), (3, (1, 5, 3))):
        probabilities = np.full(shape, 0.25, np.float32)
        counts = count_overlap(reference, n_classes=n_classes, probabilities=probabilities, ignore_index=ignore_index)
        assert (counts.n_ignored, counts.reference_sum.tolist()) == (0, [5, *[0] * (n_classes - 1)])


def test_bytes_are_taken_without_a_copy() -> None:
    reference = np.zeros((4, 6), np.uint8)[:, ::2]
    codes, ignored = label_codes(reference, 2, 255)
    assert codes is reference
    assert ignored == 255
