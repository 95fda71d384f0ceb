"""The right pixels in the right colours, compared with the arrays."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segscale.tasks.overlays import drawing
from segscale.tasks.overlays.drawing import drawn, overlay_png
from segscale.tasks.overlays.shown import Shown, cut, enlargement


def _random(shape: tuple[int, int], *, pixels: bool = False) -> Shown:
    generator = np.random.default_rng(1)
    blobs = [ndimage.gaussian_filter(generator.standard_normal(shape), 4) for _ in range(2)]
    ignored = np.zeros(shape, bool)
    ignored[:3] = True
    reference, prediction = (blob > 0.05 for blob in blobs)
    image = generator.random(shape).astype(np.float32) if pixels else None
    return Shown(reference & ~ignored, prediction & ~ignored, ignored, image)


def _is(picture: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    return np.asarray((picture == np.array(colour)).all(axis=-1))


def _enlarged(mask: np.ndarray, shown: Shown) -> np.ndarray:
    return np.kron(mask, np.ones((enlargement(shown),) * 2, bool)).astype(bool)


def test_outlines_run_inside_of_the_reference_and_outside_of_the_prediction() -> None:
    shown = _random((40, 60))
    picture = drawn(shown)
    reference, prediction = _enlarged(shown.reference, shown), _enlarged(shown.prediction, shown)
    assert picture.shape == (160, 240, 3)
    inside = reference & ~ndimage.binary_erosion(reference, border_value=1)
    outside = ndimage.binary_dilation(prediction) & ~prediction
    assert (_is(picture, drawing.REFERENCE) == inside).all()
    assert (_is(picture, drawing.PREDICTION) == (outside & ~inside)).all()


def test_areas_say_what_was_missed_what_is_false_and_what_is_right() -> None:
    shown = _random((240, 240))
    picture = drawn(shown)
    is_line = _is(picture, drawing.REFERENCE) | _is(picture, drawing.PREDICTION)
    for colour, mask in (
        (drawing.AGREED, shown.reference & shown.prediction),
        (drawing.MISSED, shown.reference & ~shown.prediction),
        (drawing.FALSE, shown.prediction & ~shown.reference),
        (drawing.IGNORED, shown.ignored),
        (drawing.GREY, ~(shown.reference | shown.prediction | shown.ignored)),
    ):
        assert (_is(picture, colour) == (mask & ~is_line)).all()
        assert _is(picture, colour).any()


def test_pixels_of_the_image_are_shown_where_there_is_no_line() -> None:
    shown = _random((240, 240), pixels=True)
    picture = drawn(shown)
    assert shown.pixels is not None
    is_line = _is(picture, drawing.REFERENCE_ON_IMAGE) | _is(picture, drawing.PREDICTION_ON_IMAGE)
    grey = np.rint(shown.pixels * 255).astype(np.uint8)
    assert (picture[~is_line] == grey[~is_line][:, np.newaxis]).all()
    assert is_line.any()


def test_without_pixels_a_picture_has_no_colour_but_those_of_labels() -> None:
    colours = {tuple(colour) for colour in drawn(_random((80, 80))).reshape(-1, 3).tolist()}
    names = ("GREY", "IGNORED", "AGREED", "MISSED", "FALSE", "REFERENCE", "PREDICTION")
    assert colours <= {getattr(drawing, name) for name in names}


def test_the_png_holds_what_was_cut_out_and_is_the_same_each_time() -> None:
    shown = _random((50, 50))
    data = overlay_png(shown)
    assert data == overlay_png(shown)
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == drawn(cut(shown))).all()


@pytest.mark.parametrize(
    ("line", "fill"),
    [
        (drawing.REFERENCE, drawing.GREY), (drawing.REFERENCE, drawing.MISSED), (drawing.REFERENCE, drawing.AGREED),
        (drawing.PREDICTION, drawing.GREY), (drawing.PREDICTION, drawing.FALSE), (drawing.PREDICTION, drawing.IGNORED),
    ],
)  # fmt: skip
def test_lines_stand_out_from_what_they_lie_on(line: tuple[int, ...], fill: tuple[int, ...]) -> None:
    """WCAG 2.2, 1.4.11: graphical objects have a contrast of 3 to 1."""

    def luminance(colour: tuple[int, ...]) -> float:
        parts = [value / 255 for value in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    assert (luminance(fill) + 0.05) / (luminance(line) + 0.05) >= 3
