"""Write docs/why-batch-summed-differs.md with its plot: python docs/scripts/why_batch_summed_differs.py [FOLDER]

The page is `why-batch-summed-differs.template.md` with the numbers of this script; FOLDER, by default docs/, gets both.
The formulas are those of a question of 18 January 2019 about training UNet++ in Keras (the loss decreases, the metric
stays the same) and of the Tversky index in its first answer, restated in NumPy.
"""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage, special

from segscale.tasks.counting import count_rows
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.panel import CHANNELS
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings
from segscale.tasks.phantom import draw_phantom
from segscale.tasks.plot_style import PER_SAMPLE, POOLED

Float32Array = NDArray[np.float32]
Formula = Callable[[Float32Array, Float32Array], np.float32]

PAGE, PLOT = "why-batch-summed-differs.md", "why-batch-summed-differs.svg"
TEMPLATE = Path(__file__).with_name("why-batch-summed-differs.template.md")

CLASSES, CLASS_WEIGHTS, SMOOTH = ("background", "lesion"), (0.3, 0.7), 1.0
N_IMAGES, SEED, SHAPE = 64, 2019, (128, 128)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
AS_IN_THE_QUESTION = ScoreSettings(smooth=SMOOTH, empty="smooth", batch_sizes=BATCH_SIZES)
AS_IN_THE_ANSWER = ScoreSettings(tversky_alpha=0.5, tversky_beta=0.5, empty="smooth", batch_sizes=BATCH_SIZES)
AGREEMENT = 1e-6
LESION_PIXELS = {
    "none": (0, 0),
    "1 to 99": (1, 99),
    "100 to 999": (100, 999),
    "1,000 and more": (1000, SHAPE[0] * SHAPE[1]),
}
EMPTY_POLICIES: tuple[tuple[EmptyPolicy, float, str], ...] = (
    ("smooth", SMOOTH, "as written"),
    ("nan", 0.0, "undefined, left out of the mean"),
    ("one", 0.0, "right"),
    ("zero", 0.0, "wrong"),
)

FILTERS, L2, N_HEADS = (32, 64, 128, 256, 512), 1e-4, 4
"""The published plain UNet++ with deep supervision."""

PLOT_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "segscale", "font.size": 9, "legend.fontsize": 8.5, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Images of one size, which can be stacked to batches, as a network is trained with them."""

    one_hot: Float32Array
    """(N, H, W, 2) reference: background, lesion."""
    softmax: Float32Array
    """(N, H, W, 2) prediction; the channels of a pixel sum to 1."""


def weighted_dice_loss(one_hot: Float32Array, softmax: Float32Array) -> np.float32:
    """1 - (0.3 Dice of the background + 0.7 Dice of the lesion), each of its channel flattened over the batch."""
    background, lesion = (_flat_dice(one_hot[..., channel], softmax[..., channel]) for channel in (0, 1))
    return np.float32(1 - (CLASS_WEIGHTS[0] * background + CLASS_WEIGHTS[1] * lesion))


def dsc(one_hot: Float32Array, softmax: Float32Array) -> np.float32:
    """Soft Dice of the lesion channel, smoothed, flattened over the batch."""
    return _flat_dice(one_hot[..., 1], softmax[..., 1])


def tversky_index(one_hot: Float32Array, softmax: Float32Array, alpha: float = 0.5, beta: float = 0.5) -> np.float32:
    """Soft Tversky index, unsmoothed, flattened over the batch and its channels."""
    reference, prediction = one_hot.reshape(-1), softmax.reshape(-1)
    intersection = (reference * prediction).sum()
    false_positive, false_negative = (prediction * (1 - reference)).sum(), ((1 - prediction) * reference).sum()
    return np.float32(intersection / (intersection + alpha * false_positive + beta * false_negative))


def _flat_dice(reference: Float32Array, prediction: Float32Array) -> np.float32:
    reference, prediction = reference.reshape(-1), prediction.reshape(-1)
    intersection, total = (reference * prediction).sum(), reference.sum() + prediction.sum()
    return np.float32((2 * intersection + SMOOTH) / (total + SMOOTH))


FORMULAS: dict[str, Formula] = {"loss": weighted_dice_loss, "dsc": dsc, "tversky": tversky_index}


def stretched_dice(reference: NDArray[Any], softmax: Float32Array) -> float:
    """Whole-tensor Dice of class indices (N, H, W, 1), which broadcasting stretches over the channels of a softmax."""
    intersection = (reference * softmax).sum(dtype=np.float64)
    return float(2 * intersection / (reference.sum(dtype=np.float64) + softmax.sum(dtype=np.float64)))


def expected_l2_penalty(filters: Sequence[int], n_heads: int = N_HEADS, outputs: int = 2, l2: float = L2) -> float:
    """Expected sum of l2 w² over the convolutions of a UNet++ just initialised.

    The k k c_in c_out weights of a layer are drawn with variance 2 / (k k c_in) (He et al. 2015), so their squares add
    up to 2 c_out whatever k and c_in are. Depth i has len(filters) - i nodes of two convolutions each.
    """
    feature_maps = sum(2 * width * (len(filters) - depth) for depth, width in enumerate(filters))
    return 2 * l2 * (feature_maps + n_heads * outputs)


def draw_images() -> ImageSet:
    """Phantoms of SHAPE with predictions that blur the reference: small lesions fade, large ones stay."""
    masks = (draw_phantom(index, SEED).reference > 0 for index in count())
    reference = np.stack(list(islice((mask for mask in masks if mask.shape == SHAPE), N_IMAGES)))
    bias = np.random.default_rng(SEED).normal(0.0, 0.5, (N_IMAGES, 1, 1))
    blurred: NDArray[np.float64] = ndimage.gaussian_filter(reference.astype(np.float64), 2.0, axes=(1, 2))
    lesion = special.expit(14.0 * (blurred - 0.5) + bias).astype(np.float32)
    one_hot = np.stack([~reference, reference], axis=-1).astype(np.float32)
    return ImageSet(one_hot, np.stack([1 - lesion, lesion], axis=-1))


def constant_images(images: ImageSet, p: float) -> ImageSet:
    """The same images with p(lesion) = p in every pixel."""
    return replace(images, softmax=np.broadcast_to(np.array([1 - p, p], np.float32), images.softmax.shape))


def count_images(images: ImageSet) -> pd.DataFrame:
    """The `per_image` table of a report: counts and scores, a row per image and class."""
    rows = []
    for place, (one_hot, softmax) in enumerate(zip(images.one_hot, images.softmax, strict=True)):
        counts = count_overlap(one_hot[..., 1].astype(np.uint8), n_classes=2, probabilities=softmax)
        of_image = count_rows(f"image_{place:02d}", "", counts)
        rows += [{**row, "class_name": name} for row, name in zip(of_image, CLASSES, strict=True)]
    return score_images(pd.DataFrame(rows), AS_IN_THE_QUESTION)


def as_written(images: ImageSet) -> pd.DataFrame:
    """Means over consecutive batches of what each formula gives: a row per batch size, a column per formula."""
    means: dict[str, list[float]] = {name: [] for name in FORMULAS}
    for size in BATCH_SIZES:
        batches = [slice(start, start + size) for start in range(0, len(images.one_hot), size)]
        for name, formula in FORMULAS.items():
            values = [formula(images.one_hot[batch], images.softmax[batch]) for batch in batches]
            means[name].append(float(np.mean(values, dtype=np.float64)))
    return pd.DataFrame(means, index=BATCH_SIZES)


def from_counts(per_image: pd.DataFrame) -> pd.DataFrame:
    """The same from counts: a row per batch size and, last, "per-sample"."""
    batched = [batch_summed(per_image, settings) for settings in (AS_IN_THE_QUESTION, AS_IN_THE_ANSWER)]
    single = [per_sample(per_image, settings) for settings in (AS_IN_THE_QUESTION, AS_IN_THE_ANSWER)]
    means = [
        _means([table[~table["pooled"] & (table["batch_size"] == size)] for table in batched]) for size in BATCH_SIZES
    ]
    return pd.DataFrame([*means, _means(single)], index=[*BATCH_SIZES, "per-sample"])


def _means(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    of_question, of_answer = tables
    background, lesion = (_mean(of_question, "soft_dice", name) for name in CLASSES)
    loss = 1 - (CLASS_WEIGHTS[0] * background + CLASS_WEIGHTS[1] * lesion)
    return {"loss": loss, "dsc": lesion, "tversky": _mean(of_answer, "soft_tversky", CHANNELS)}


def _mean(table: pd.DataFrame, metric: str, class_name: str) -> float:
    return float(table.loc[(table["metric"] == metric) & (table["class_name"] == class_name), "mean"].item())


def lesion_means(per_image: pd.DataFrame, metric: str, settings: ScoreSettings) -> tuple[float, float]:
    """Per-sample mean and pooled score of the lesion."""
    batched = batch_summed(per_image, settings)
    return _mean(per_sample(per_image, settings), metric, "lesion"), _mean(batched[batched["pooled"]], metric, "lesion")


def agreement_rows(written: pd.DataFrame, counted: pd.DataFrame) -> list[list[str]]:
    """Both ways beside each other; there is no page if they disagree."""
    both = (written, counted)
    difference = float((written - counted.loc[list(BATCH_SIZES)]).abs().to_numpy().max())
    assert difference < AGREEMENT, f"formulas and counts differ by {difference}"
    return [
        [str(size), *(f"{frame[name][size]:.6f}" if size in frame.index else "" for name in FORMULAS for frame in both)]
        for size in counted.index
    ]


def size_rows(lesion: pd.DataFrame) -> list[list[str]]:
    """Images by lesion size: how many, what they weigh in the pooled dsc, their mean dsc."""
    weight = lesion["soft_prediction_sum"] + lesion["reference_sum"]
    rows = []
    for name, (low, high) in LESION_PIXELS.items():
        chosen = lesion["reference_sum"].between(low, high)
        share = weight[chosen].sum() / weight.sum()
        rows.append([name, str(chosen.sum()), f"{share:.1%}", f"{lesion.loc[chosen, 'soft_dice'].mean():.3f}"])
    return rows


def empty_rows(per_image: pd.DataFrame) -> list[list[str]]:
    """dsc by what an image is worth that has no lesion and gets none."""
    return [
        [f"`{empty}`, {smooth:g}: {meaning}",
         *(f"{mean:.3f}" for mean in lesion_means(per_image, "soft_dice", ScoreSettings(smooth=smooth, empty=empty)))]
        for empty, smooth, meaning in EMPTY_POLICIES
    ]  # fmt: skip


def constant_rows(images: ImageSet) -> list[list[str]]:
    """Loss and dsc of the whole set for a network that says the same everywhere."""
    rows = []
    for p in (0.5, 0.2, 0.05, 0.01, 0.0):
        same = constant_images(images, p)
        heads = N_HEADS * float(weighted_dice_loss(same.one_hot, same.softmax))
        losses = (heads / N_HEADS, heads, heads + expected_l2_penalty(FILTERS), dsc(same.one_hot, same.softmax))
        rows.append([f"{p:g}", *(f"{loss:.3f}" for loss in losses)])
    return rows


def draw_plot(written: pd.DataFrame, counted: pd.DataFrame, lesion: pd.DataFrame) -> str:
    """SVG. Left: dsc over batch sizes, as written and from counts. Right: dsc of each image over its lesion pixels."""
    levels = (("per-sample", "per-sample", PER_SAMPLE, "-"), ("pooled", BATCH_SIZES[-1], POOLED, "--"))
    shown = lesion[lesion["reference_sum"] > 0]
    with style.context(["default", PLOT_STYLE]):
        figure = Figure(figsize=(7.6, 3.0), facecolor="white")
        margins = {"left": 0.07, "right": 0.99, "bottom": 0.15, "top": 0.97, "wspace": 0.08}
        left, right = figure.subplots(ncols=2, sharey=True, gridspec_kw=margins)
        left.plot(BATCH_SIZES, counted["dsc"].iloc[: len(BATCH_SIZES)], color="#333333", label="from counts")
        left.plot(BATCH_SIZES, written["dsc"], "x", color="#333333", markersize=7, label="as written")
        left.set(xscale="log", xlabel="images per batch", ylabel="dsc", ylim=(0, 1))
        left.set_xticks(BATCH_SIZES, [str(size) for size in BATCH_SIZES])
        left.minorticks_off()
        right.scatter(shown["reference_sum"], shown["soft_dice"], s=12, color="#777777", linewidths=0, label="an image")
        right.set(xscale="log", xlabel="lesion pixels of the image")
        right.set_xticks([10, 100, 1000], ["10", "100", "1,000"])
        for axes in (left, right):
            for name, row, colour, dashes in levels:
                level = counted["dsc"][row]
                axes.axhline(level, color=colour, linestyle=dashes, linewidth=1.2, label=f"{name} {level:.3f}")
            axes.legend(loc="lower right")
        figure.savefig(
            sink := io.StringIO(), format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return sink.getvalue().replace(" \n", "\n")


def page_values(images: ImageSet, per_image: pd.DataFrame) -> dict[str, Any]:
    """The numbers that stand in the template's sentences, by name."""
    lesion = per_image[per_image["class_name"] == "lesion"]
    per_sample_dsc, pooled_dsc = lesion_means(per_image, "soft_dice", AS_IN_THE_QUESTION)
    tversky_per_sample, tversky_pooled = lesion_means(per_image, "soft_tversky", ScoreSettings(empty="smooth"))
    without_lesion = lesion[lesion["reference_sum"] == 0]
    predictions = [images, *(constant_images(images, p) for p in (0.5, 0.0))]
    stretched = [stretched_dice(one.one_hot[..., 1:], one.softmax) for one in predictions]
    assert np.ptp(stretched) < AGREEMENT, f"expected one value whatever is predicted, got {stretched}"
    early, late = (constant_images(images, p) for p in (0.5, 0.05))
    fall = weighted_dice_loss(early.one_hot, early.softmax) - weighted_dice_loss(late.one_hot, late.softmax)
    return {
        "n_images": N_IMAGES,
        "height": SHAPE[0],
        "width": SHAPE[1],
        "n_heads": N_HEADS,
        "n_empty": len(without_lesion),
        "foreground_share": lesion["reference_sum"].sum() / lesion["n_pixels"].sum(),
        "per_sample_dsc": per_sample_dsc,
        "pooled_dsc": pooled_dsc,
        "tversky_swapped": tversky_index(images.one_hot, images.softmax, alpha=0.3, beta=0.7),
        "tversky_per_sample": tversky_per_sample,
        "tversky_pooled": tversky_pooled,
        "penalty": expected_l2_penalty(FILTERS),
        "wide_penalty": expected_l2_penalty([2 * width for width in FILTERS]),
        "fall": N_HEADS * fall,
        "stretched": stretched[0],
        "empty_dsc": without_lesion["soft_dice"].mean(),
    }


def write_page(folder: Path, images: ImageSet) -> None:
    """Write the page and its plot into `folder`: the same bytes for the same images."""
    per_image = count_images(images)
    lesion = per_image[per_image["class_name"] == "lesion"]
    written, counted = as_written(images), from_counts(per_image)
    tables = {
        "agreement": agreement_rows(written, counted),
        "lesion_sizes": size_rows(lesion),
        "constant_predictions": constant_rows(images),
        "empty_policies": empty_rows(per_image),
    }
    lines = {name: "\n".join(f"| {' | '.join(row)} |" for row in rows) for name, rows in tables.items()}
    page = TEMPLATE.read_text(encoding="utf-8").format(**page_values(images, per_image), **lines)
    (folder / PAGE).write_text(page, encoding="utf-8")
    (folder / PLOT).write_text(draw_plot(written, counted, lesion), encoding="utf-8")


if __name__ == "__main__":
    write_page(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1], draw_images())
