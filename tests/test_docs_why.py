"""docs/why-batch-summed-differs.md holds what its script writes, and its formulas give what the counts give."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.metrics.diagnose import check_arrays

DOCS = Path(__file__).parents[1] / "docs"
WHY = SimpleNamespace(**runpy.run_path(str(DOCS / "scripts" / "why_batch_summed_differs.py")))
NUMBER = re.compile(r"\d+(?:\.(\d+))?")


def assert_same_page(found: str, expected: str, tolerance: float | None = None) -> None:
    """Equal words and integers; other numbers within the tolerance, by default one unit of the last digit."""
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    for one, other in zip(NUMBER.finditer(found), NUMBER.finditer(expected), strict=True):
        last_digit = 10.0 ** -len(other[1]) if other[1] else 0.0
        allowed = 1.001 * last_digit if tolerance is None or not other[1] else tolerance
        assert abs(float(one[0]) - float(other[0])) <= allowed, f"{one[0]} instead of {other[0]}"


def random_images(n_images: int, side: int, foreground: float, seed: int) -> Any:
    """Noise for references and for predictions."""
    generator = np.random.default_rng(seed)
    mask = generator.random((n_images, side, side)) < foreground
    lesion = generator.random(mask.shape, np.float32)
    one_hot = np.stack([~mask, mask], axis=-1).astype(np.float32)
    return WHY.ImageSet(one_hot, np.stack([1 - lesion, lesion], axis=-1))


def row_of(reference: list[int], prediction: list[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One image of one row, (1, 1, W, 2): one-hot reference and softmax."""
    lesions = (np.array(values, np.float32)[None, None] for values in (reference, prediction))
    one_hot, softmax = (np.stack([1 - lesion, lesion], axis=-1) for lesion in lesions)
    return one_hot, softmax


@pytest.fixture(scope="module")
def images() -> Any:
    return WHY.draw_images()


def test_the_page_and_its_plot_are_what_the_script_writes(images: Any, tmp_path: Path) -> None:
    WHY.write_page(tmp_path, images)
    for name, tolerance in ((WHY.PAGE, None), (WHY.PLOT, 0.01)):
        found, expected = ((folder / name).read_text(encoding="utf-8") for folder in (tmp_path, DOCS))
        assert_same_page(found, expected, tolerance)


@pytest.mark.parametrize(
    ("found", "tolerance"),
    [
        pytest.param("dsc 0.600274 of 64 images", None, id="a number two units off"),
        pytest.param("dsc 0.600272 of 63 images", None, id="another integer"),
        pytest.param("dsc 0.600272 of 64 phantoms", None, id="another word"),
        pytest.param("dsc 0.600272 of 64", None, id="less"),
        pytest.param("dsc 0.620272 of 64 images", 0.01, id="beyond the tolerance"),
    ],
)
def test_another_page_is_noticed(found: str, tolerance: float | None) -> None:
    assert_same_page("dsc 0.600271 of 64 images", "dsc 0.600272 of 64 images")
    with pytest.raises(AssertionError):
        assert_same_page(found, "dsc 0.600272 of 64 images", tolerance)


def test_images_without_a_lesion_get_none(images: Any) -> None:
    empty = images.one_hot[..., 1].sum(axis=(1, 2)) == 0
    assert empty.sum() == 9
    assert images.softmax[empty, ..., 1].max() < 0.5


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32))
def test_formulas_give_what_the_counts_give(n_images: int, side: int, foreground: float, seed: int) -> None:
    images = random_images(n_images, side, foreground, seed)
    written, counted = WHY.as_written(images), WHY.from_counts(WHY.count_images(images))
    assert (written - counted.loc[list(WHY.BATCH_SIZES)]).abs().to_numpy().max() < 1e-6
    assert (counted.loc[1] - counted.loc["per-sample"]).abs().max() == 0


def test_no_table_comes_of_two_ways_that_disagree(images: Any) -> None:
    written = WHY.as_written(images)
    assert WHY.agreement_rows(written, written)
    with pytest.raises(AssertionError, match="formulas and counts differ"):
        WHY.agreement_rows(written, written + 2e-6)


def test_two_images_worked_by_hand() -> None:
    found, missed = row_of([1, 1, 0, 0], [1, 1, 0, 0]), row_of([1, 0, 0, 0], [0, 0, 0, 0])
    batch = tuple(np.concatenate(parts) for parts in zip(found, missed, strict=True))
    assert (WHY.dsc(*found), WHY.dsc(*missed), WHY.dsc(*batch)) == (1.0, 0.5, np.float32(5 / 6))
    # Background: 3 of 4 pixels in the missed image's reference, 4 of 4 in its prediction.
    assert WHY.weighted_dice_loss(*missed) == pytest.approx(1 - 0.3 * 7 / 8 - 0.7 / 2, abs=1e-7)
    assert WHY.tversky_index(*batch) == pytest.approx(7 / 8, abs=1e-7)


@pytest.mark.parametrize(
    ("n_false", "expected"),
    [
        pytest.param(0, 1.0, id="empty against empty is 1"),
        pytest.param(1, 0.5, id="one false pixel takes half"),
        pytest.param(100, 1 / 101, id="a hundred take nearly all"),
    ],
)
def test_smoothing_with_an_empty_reference(n_false: int, expected: float) -> None:
    prediction = [1.0] * n_false + [0.0] * (128 - n_false)
    assert WHY.dsc(*row_of([0] * 128, prediction)) == pytest.approx(expected, abs=1e-7)


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_flattened_channels_cannot_tell_alpha_from_beta(alpha: float, seed: int) -> None:
    images = random_images(2, 8, 0.3, seed)
    right = float((images.one_hot * images.softmax).sum(axis=-1).mean())
    index = WHY.tversky_index(images.one_hot, images.softmax, alpha, 1 - alpha)
    assert index == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_stretched_reference_does_not_see_the_prediction(p: float) -> None:
    one_hot, softmax = row_of([1, 0, 0, 0], [p] * 4)
    assert WHY.stretched_dice(one_hot[..., 1:], softmax) == pytest.approx(2 * 1 / (1 + 4), abs=1e-7)
    findings = check_arrays(one_hot[..., 1:].astype(np.uint8), softmax)
    assert "broadcast-channels" in {finding.signature for finding in findings}


def test_formulas_stop_at_class_indices() -> None:
    one_hot, softmax = row_of([1, 0, 0, 0], [1, 0, 0, 0])
    for formula in (WHY.weighted_dice_loss, WHY.dsc):
        with pytest.raises(IndexError, match="out of bounds"):
            formula(one_hot[..., 1:], softmax)
    with pytest.raises(ValueError, match="broadcast"):
        WHY.tversky_index(one_hot[..., 1:], softmax)


def test_expected_penalty_worked_by_hand() -> None:
    # Depth 0 has two nodes of two convolutions to 2 maps, depth 1 one node of two to 3; a head of two maps.
    assert WHY.expected_l2_penalty((2, 3), n_heads=1, outputs=2, l2=0.5) == 2 * 0.5 * (8 + 6 + 2)


@pytest.mark.slow
class TestInKeras:
    """The formulas once more, with the operations that the question used, in TensorFlow's float32."""

    def formulas(self) -> dict[str, Any]:
        from keras import ops

        def dice(reference: Any, prediction: Any) -> Any:
            reference, prediction = ops.ravel(reference), ops.ravel(prediction)
            intersection = ops.abs(ops.sum(reference * prediction, axis=-1))
            total = ops.abs(ops.sum(reference, axis=-1)) + ops.abs(ops.sum(prediction, axis=-1))
            return (2 * intersection + 1.0) / (total + 1.0)

        def loss(y_true: Any, y_pred: Any) -> Any:
            return 1 - (0.3 * dice(y_true[..., 0], y_pred[..., 0]) + 0.7 * dice(y_true[..., 1], y_pred[..., 1]))

        def dsc(y_true: Any, y_pred: Any) -> Any:
            return dice(y_true[..., 1], y_pred[..., 1])

        def tversky(y_true: Any, y_pred: Any) -> Any:
            reference, prediction = ops.ravel(y_true), ops.ravel(y_pred)
            both = ops.sum(reference * prediction)
            either = 0.5 * ops.sum(prediction * (1.0 - reference)) + 0.5 * ops.sum((1 - prediction) * reference)
            return both / (both + either)

        return {"loss": loss, "dsc": dsc, "tversky": tversky}

    @pytest.mark.parametrize("size", [1, 8, 64])
    def test_they_give_what_the_counts_give(self, images: Any, size: int) -> None:
        from keras import ops

        counted = WHY.from_counts(WHY.count_images(images)).loc[size]
        for name, formula in self.formulas().items():
            values = [
                float(
                    formula(*(ops.convert_to_tensor(part[at : at + size]) for part in (images.one_hot, images.softmax)))
                )
                for at in range(0, len(images.one_hot), size)
            ]
            assert abs(np.mean(values) - counted[name]) < 1e-6, name

    def test_they_stop_at_class_indices(self) -> None:
        from keras import ops

        one_hot, softmax = (ops.convert_to_tensor(part) for part in row_of([1, 0, 0, 0], [1, 0, 0, 0]))
        for formula in self.formulas().values():
            with pytest.raises(Exception, match=r"out of bounds|Incompatible shapes"):
                formula(one_hot[..., 1:], softmax)

    def test_total_loss_is_the_sum_of_the_heads_with_the_penalty(self) -> None:
        from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

        model = build_unet_plus_plus(
            channels=1, outputs=2, filters=(4, 4, 4, 4, 4), dropout=0.0, l2=1e-2, activation="softmax"
        )
        images = random_images(4, 16, 0.2, seed=5)
        pixels = images.one_hot[..., :1]
        model.compile(loss=[self.formulas()["loss"]] * 4)
        history = model.evaluate(pixels, [images.one_hot] * 4, batch_size=4, verbose=0, return_dict=True)
        heads = [float(WHY.weighted_dice_loss(images.one_hot, head)) for head in model.predict(pixels, verbose=0)]
        penalty = float(sum(model.losses))
        assert penalty > 0.1
        assert history["loss"] == pytest.approx(sum(heads) + penalty, abs=1e-5)
        assert max(heads) <= 1 < history["loss"]

    def test_expected_penalty_is_that_of_a_fresh_network(self) -> None:
        import keras

        from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus

        keras.utils.set_random_seed(0)
        model = build_unet_plus_plus(channels=3, outputs=2, activation="softmax")
        assert float(sum(model.losses)) == pytest.approx(WHY.expected_l2_penalty(WHY.FILTERS), rel=0.02)
