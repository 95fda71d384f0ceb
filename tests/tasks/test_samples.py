from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.samples import bytes_of_samples, load_samples

GREY = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)
MASK = (GREY > 100).astype(np.uint8) * 255


def test_samples_are_the_sound_images_as_stored(make_set: Callable[..., Any]) -> None:
    made = make_set(
        {"a.png": GREY, "b.png": b"no image", "c.png": GREY.T},
        {"a.png": MASK, "b.png": MASK, "c.png": MASK.T},
        groups={"patient_id": ["p1", "p2", "007"]},
    )
    made.ingest()
    samples = {sample.image_id: sample for sample in load_samples(made.store, made.entries(), made.catalog)}
    assert sorted(samples) == ["a", "c"]
    for name, pixels, mask in (("a", GREY, MASK), ("c", GREY.T, MASK.T)):
        np.testing.assert_array_equal(samples[name].pixels[..., 0], pixels)
        np.testing.assert_array_equal(samples[name].reference, mask // 255)
        assert samples[name].recipe == made.rows()[name].recipe
    assert samples["a"].groups == {"patient_id": "p1"}
    assert samples["c"].groups == {"patient_id": "007"}


def test_every_slice_of_a_volume_is_a_sample(make_set: Callable[..., Any]) -> None:
    volume = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
    labels = (volume > 100).astype(np.uint8)
    made = make_set({"v.npy": volume}, {"v.npy": labels})
    made.ingest()
    samples = load_samples(made.store, made.entries(), made.catalog)
    assert [sample.image_id for sample in samples] == ["v"] * 3
    np.testing.assert_array_equal(np.stack([sample.pixels[..., 0] for sample in samples]), volume)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param((1, 10, 20, 1, "uint8"), 400, id="a byte for the pixel, a byte for the reference"),
        pytest.param((3, 10, 20, 3, "uint16"), 3 * 200 * 7, id="every slice, every channel"),
        pytest.param((1, 10, 20, 1, "float64"), 200 * 5, id="floats are stored as float32"),
        pytest.param((0, 0, 0, 0, ""), 0, id="a file that could not be read"),
    ],
)
def test_bytes_are_counted_before_they_are_taken(row: tuple[object, ...], expected: int) -> None:
    catalog = pd.DataFrame([row], columns=["depth", "height", "width", "channels", "dtype"])
    assert bytes_of_samples(catalog) == expected
