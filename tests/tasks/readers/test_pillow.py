import numpy as np
import pytest
from PIL import Image

from segscale.tasks.readers import pillow


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("band_pixels", [1, 14, 21, 10**6], ids=["less than a row", "two rows", "three", "all"])
def test_bands_are_the_whole_image(monkeypatch: pytest.MonkeyPatch, mode: str, band_pixels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 7), np.uint8)
    image = Image.fromarray(values).convert("RGB" if mode == "RGBA" else "L" if mode == "I;16" else mode).convert(mode)
    monkeypatch.setattr(pillow, "BAND_PIXELS", band_pixels)
    found = pillow.decoded(image)
    expected = np.asarray(image)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
