"""What counting refuses, and whether the message says what to do."""

from typing import Any

import numpy as np
import pytest

from segscale.tasks.metrics.overlap import count_overlap

REFERENCE = np.zeros((4, 5), np.uint8)
P = np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"n_classes": 1}, "n_classes: expected 2 to 256", id="one class"),
        pytest.param({"probabilities": None}, "exactly one of .* neither", id="no prediction"),
        pytest.param({"label_map": REFERENCE}, "exactly one of .* both", id="two predictions"),
        pytest.param({"reference": P}, "reference: expected class indices as integers.*float32", id="float reference"),
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
