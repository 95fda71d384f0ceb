"""Masks, random and real, with our counts and scores of them, for tests beside another library."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings

DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[4] / "shared" / "data"))
COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Import the libraries only where their tests are asked for by `-m oracle`; there a missing one is an error."""
    asked = str(config.getoption("markexpr"))
    return None if "oracle" in asked and "not oracle" not in asked else True


@dataclass(frozen=True, slots=True)
class Masks:
    """Images of one shape, their prediction, and what we say of them."""

    reference: NDArray[np.uint8]
    """(images, ...) class indices."""
    prediction: NDArray[np.uint8]
    """The same, of the prediction."""
    probabilities: NDArray[np.float32]
    """(images, ..., classes); of two classes `prediction` is class 1 where its p >= 0.5, of more the argmax."""
    images: list[OverlapCounts]
    """Our counts, from the probabilities."""
    per_image: pd.DataFrame
    """The same as a table."""

    @property
    def n_classes(self) -> int:
        return self.images[0].n_classes

    @property
    def class_names(self) -> list[str]:
        """The names of the rows of the classes; those over classes have others."""
        return [f"class{index}" for index in range(self.n_classes)]

    def counts(self) -> NDArray[np.int64]:
        """(images, classes, 4) by COUNTS: true positive, false positive, false negative, true negative."""
        return self._by_class(self.per_image[list(COUNTS)].to_numpy(np.int64))

    def exact_probabilities(self) -> NDArray[np.float64]:
        """The same in float64; of two classes the background is 1 - p without rounding, as our sums have it."""
        exact = self.probabilities.astype(np.float64)
        if self.n_classes == 2:
            exact[..., 0] = 1 - exact[..., 1]
        return exact

    def scores(self, metric: str, **settings: Any) -> NDArray[np.float64]:
        """(images, classes) scores of the images."""
        return self._by_class(score_images(self.per_image, ScoreSettings(**settings))[metric].to_numpy(np.float64))

    def _by_class(self, column: NDArray[Any]) -> NDArray[Any]:
        return column.reshape(len(self.images), self.n_classes, *column.shape[1:])

    def means(self, metric: str, **settings: Any) -> pd.Series:
        """Per-sample means by class_name."""
        return _by_name(per_sample(self.per_image, ScoreSettings(batch_sizes=(), **settings)), metric)["mean"]

    def pooled(self, metric: str, **settings: Any) -> pd.Series:
        """Scores of the summed counts of all images, by class_name."""
        return _by_name(batch_summed(self.per_image, ScoreSettings(batch_sizes=(), **settings)), metric)["mean"]

    def batches(self, metric: str, size: int) -> pd.DataFrame:
        """Batch-summed means by class_name: `mean` weighs batches by their images, `mean_equal_weight` does not."""
        table = batch_summed(self.per_image, ScoreSettings(batch_sizes=(size,)))
        return _by_name(table[~table["pooled"]], metric)


def _by_name(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table["metric"] == metric].set_index("class_name")


def _random_foreground(shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Of the first three images both masks, the reference, and the prediction are empty."""
    generator = np.random.default_rng(1)
    reference = (generator.random(shape) < 0.3).astype(np.uint8)
    foreground = np.clip(generator.normal(0.3 + 0.3 * reference, 0.2), 0, 1).astype(np.float32)
    reference[:2] = 0
    foreground[0] *= np.float32(0.4)
    foreground[2] *= np.float32(0.4)
    return reference, foreground


def _two_classes(reference: NDArray[np.uint8], foreground: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    return reference, np.stack([1 - foreground, foreground], axis=-1), (foreground >= 0.5).astype(np.uint8)


def _five_classes() -> tuple[NDArray[Any], ...]:
    """Class 3 is in neither mask of the first image, class 4 in no image at all."""
    generator = np.random.default_rng(2)
    reference = generator.integers(0, 4, (9, 23, 31)).astype(np.uint8)
    logits = generator.normal(size=(9, 23, 31, 5)) + 1.5 * np.eye(5)[reference]
    reference[0][reference[0] == 3] = 0
    logits[0, ..., 3] = logits[..., 4] = -50
    exponentials = np.exp(logits)
    probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return reference, probabilities, probabilities.argmax(axis=-1).astype(np.uint8)


def _real(name: str, size: tuple[int, int], step: int, exponent: int) -> tuple[NDArray[Any], ...]:
    """The brightness of the image, relative to its brightest pixel, is the probability of the foreground."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the {name} set is not here; set SEGSCALE_DATA")
    references, brightness = [], []
    for path in sorted((folder / "masks").glob("*.png"))[::step]:
        with Image.open(path) as mask, Image.open(folder / "images" / path.name) as image:
            if mask.size == size:
                references.append(np.asarray(mask, np.uint8))
                brightness.append(np.asarray(image.convert("L"), np.float32))
    pixels = np.stack(brightness)
    relative = pixels / pixels.max(axis=(1, 2), keepdims=True)
    return _two_classes(np.stack(references), relative**exponent)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(lambda: _two_classes(*_random_foreground((13, 33, 21))), id="random images"),
        pytest.param(lambda: _two_classes(*_random_foreground((5, 7, 18, 11))), id="random volumes"),
        pytest.param(_five_classes, id="random images of five classes"),
        pytest.param(lambda: _real("nuclei", (256, 256), 8, 1), id="nuclei", marks=pytest.mark.data),
        pytest.param(lambda: _real("ms_lesions", (182, 218), 9, 4), id="ms_lesions", marks=pytest.mark.data),
    ],
)
def masks(request: pytest.FixtureRequest, per_image_of: Callable[[list[OverlapCounts]], pd.DataFrame]) -> Masks:
    reference, probabilities, prediction = request.param()
    images = [
        count_overlap(r, n_classes=p.shape[-1], probabilities=p)
        for r, p in zip(reference, probabilities, strict=True)
    ]  # fmt: skip
    return Masks(reference, prediction, probabilities, images, per_image_of(images))
