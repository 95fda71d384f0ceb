"""The plots: arrays in, inline SVG out, the same bytes for the same numbers. Nothing of a user's text is drawn."""

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from segscale.tasks.plot_style import GRID, INK, PER_SAMPLE, POOLED, QUIET, STYLE
from segscale.tasks.report_html.curves import BatchCurve, Float64Array, ImageScores, Int64Array, ThresholdCurve, spaced

MAX_POINTS = 1000
"""Points drawn of one plot."""
MEDIAN_IMAGES = 20
"""Images behind each median of the size plot, at least."""
_STYLE = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "segscale"}
_SIZE_INCHES = (4.7, 3.2)
_MARGINS = {"left": 0.165, "right": 0.96, "bottom": 0.14, "top": 0.85}
_NO_MARGINS: Mapping[str, float] = {}
_OF_THE_PAGE = {
    INK: "--ink", QUIET: "--plot-quiet", GRID: "--grid", PER_SAMPLE: "--per-sample", POOLED: "--pooled",
}  # fmt: skip
"""Colours of the plots, and the variables of the page that take their place."""
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def draw_dice_against_size(images: ImageScores, per_sample: float, pooled: float, name: str, alt: str) -> str:
    """Each image's Dice over its reference pixels (log), with the running median and quartiles of all images.

    Images without a reference have no place on the axis; there must be one that has. Above MAX_POINTS images a subset
    evenly spaced by size is drawn; the medians are of all.
    """
    placed = (images.reference_pixels > 0) & ~np.isnan(images.dice)
    order = np.argsort(images.reference_pixels[placed], kind="stable")
    size, dice = images.reference_pixels[placed][order], images.dice[placed][order]
    shown = spaced(size.size, MAX_POINTS)

    def draw(axes: Axes) -> None:
        opacity = 0.75 if shown.size < 200 else 0.35
        axes.scatter(size[shown], dice[shown], s=9, color=QUIET, alpha=opacity, linewidths=0)
        middle, quartiles = _running_quartiles(size, dice)
        if middle.size > 1:
            axes.fill_between(middle, quartiles[0], quartiles[2], color=INK, alpha=0.15, linewidth=0)
            axes.plot(middle, quartiles[1], color=INK, label="median and quartiles")
        _level(axes, per_sample, "per-sample mean", PER_SAMPLE, "-")
        _level(axes, pooled, "pooled", POOLED, "--")
        axes.set(xscale="log", xlabel="reference pixels of the image", ylabel="Dice", ylim=(-0.03, 1.03))
        _plain_ticks(axes)
        legend(axes)

    return to_svg(draw, name, alt)


def draw_thresholds(curve: ThresholdCurve, used: float | None, name: str, alt: str) -> str:
    """Per-sample and pooled Dice over the thresholds, each with a mark at its best; neither is NaN everywhere.

    used: the threshold of the report, where there is one.
    """

    def draw(axes: Axes) -> None:
        if used is not None:
            axes.axvline(used, color=QUIET, linewidth=1, linestyle=":", label=f"threshold {used:g}")
        for values, label, colour, dashes in (
            (curve.per_sample, "per-sample mean", PER_SAMPLE, "-"),
            (curve.pooled, "pooled", POOLED, "--"),
        ):
            best = int(np.nanargmax(values))
            axes.plot(curve.thresholds, values, color=colour, linestyle=dashes, label=label)
            axes.plot([curve.thresholds[best]], [values[best]], color=colour, marker="o", markersize=5)
        axes.set(xlabel="threshold", ylabel="Dice", xlim=(0, 1), ylim=(-0.03, 1.03))
        legend(axes)

    return to_svg(draw, name, alt)


def draw_batch_sizes(curve: BatchCurve, per_sample: float, pooled: float, name: str, alt: str) -> str:
    """Batch-summed Dice over the batch size (log), catalog order and the band of shuffled orders."""

    def draw(axes: Axes) -> None:
        low, high = (curve.shuffle_means + sign * curve.shuffle_stds for sign in (-1, 1))
        axes.fill_between(curve.sizes, low, high, color=INK, alpha=0.15, linewidth=0, label="shuffled, ± 1 std")
        axes.plot(curve.sizes, curve.means, color=INK, marker="o", markersize=4, label="catalog order")
        _level(axes, per_sample, "per-sample mean", PER_SAMPLE, "-")
        _level(axes, pooled, "pooled", POOLED, "--")
        axes.set(xscale="log", xlabel="images per batch", ylabel="batch-summed Dice")
        axes.set_xticks(_readable(curve.sizes))
        axes.minorticks_off()
        _plain_ticks(axes)
        axes.margins(y=0.15)
        legend(axes)

    return to_svg(draw, name, alt)


def draw_contributions(contribution: Float64Array, labelled: Int64Array, name: str, alt: str) -> str:
    """Contributions to the gap, sorted: largest first; those at the places `labelled` get their numbers, from 1.

    NaN are left out. Above MAX_POINTS images, bars in the middle stand for several.
    """
    places = np.flatnonzero(~np.isnan(contribution))
    order = places[np.argsort(-contribution[places], kind="stable")]
    shown = spaced(order.size, MAX_POINTS, ends=MAX_POINTS // 4)
    edges = np.append(shown, order.size).astype(np.float64)
    values = contribution[order][shown]
    rank = np.empty(contribution.size)
    rank[order] = np.arange(order.size)

    def draw(axes: Axes) -> None:
        for colour, part in ((POOLED, values.clip(min=0)), (PER_SAMPLE, values.clip(max=0))):
            axes.fill_between(edges, np.append(part, part[-1]), step="post", color=colour, linewidth=0.6)
        axes.axhline(0, color=INK, linewidth=0.8)
        _number_bars(axes, rank[labelled] + 0.5, contribution[labelled], order.size, float(np.ptp(values)))
        axes.set(xlabel="images, by their contribution", ylabel="contribution to the gap", xlim=(0, order.size))
        axes.xaxis.set_major_formatter(_whole_numbers())
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
        axes.margins(y=0.12)

    return to_svg(draw, name, alt)


def draw_distribution(dice: Float64Array, per_sample: float, pooled: float, name: str, alt: str) -> str:
    """How many images have which Dice, in bins of 0.05; no NaN."""

    def draw(axes: Axes) -> None:
        axes.hist(dice, bins=np.linspace(0, 1, 21).tolist(), color=QUIET)
        for value, label, colour, dashes in (
            (per_sample, "per-sample mean", PER_SAMPLE, "-"),
            (pooled, "pooled", POOLED, "--"),
        ):
            if not np.isnan(value):
                axes.axvline(value, color=colour, linestyle=dashes, linewidth=1.4, label=f"{label} {value:.3f}")
        axes.set(xlabel="Dice", ylabel="images", xlim=(0, 1))
        axes.yaxis.set_major_formatter(_whole_numbers())
        legend(axes)

    return to_svg(draw, name, alt)


def draw_gap(steps: Sequence[tuple[str, float]], start: float, end: float, name: str, alt: str) -> str:
    """From the per-sample mean to the pooled score, a bar for each step between them with its size; no NaN."""
    labels = ["per-sample mean", *(label for label, _ in steps), "pooled"]
    sizes = np.array([size for _, size in steps])
    tops = start + np.concatenate([[0.0], np.cumsum(sizes)])
    places = np.arange(len(labels))

    def draw(axes: Axes) -> None:
        for place, value, colour in ((0, start, PER_SAMPLE), (len(labels) - 1, end, POOLED)):
            axes.plot([value], [place], marker="o", markersize=7, color=colour)
            axes.axvline(value, color=colour, linewidth=0.8, linestyle="-" if place == 0 else "--")
        colours = [POOLED if size > 0 else PER_SAMPLE for size in sizes]
        axes.barh(places[1:-1], sizes, left=tops[:-1], height=0.5, color=colours)
        for place, value in [(0, start), (len(labels) - 1, end)]:
            _beside(axes, value, place, f"{value:.3f}")
        for place, before, size in zip(places[1:-1], tops[:-1], sizes, strict=True):
            _beside(axes, max(before, before + size), place, f"{size:+.3f}".replace("-", "\N{MINUS SIGN}"))
        axes.set(xlabel="Dice", yticks=places, yticklabels=labels)
        axes.invert_yaxis()
        # Bars would begin at the very edge, and the dot of the mean with them.
        axes.use_sticky_edges = False
        axes.margins(x=0.25)
        axes.grid(visible=False, axis="y")

    return to_svg(draw, name, alt, margins={"left": 0.33, "top": 0.97})


def _beside(axes: Axes, x: float, y: int, text: str) -> None:
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", verticalalignment="center", fontsize=8.5, color=INK)


def _readable(sizes: Int64Array) -> list[int]:
    """Of sizes on a logarithmic axis, from the largest down, those whose labels would not touch."""
    places = np.log(sizes) / max(float(np.log(sizes[-1] / sizes[0])), 1e-9)
    kept = [sizes.size - 1]
    for place in range(sizes.size - 2, -1, -1):
        if places[kept[-1]] - places[place] > 0.1:
            kept.append(place)
    return [int(sizes[place]) for place in kept]


def _running_quartiles(size: Int64Array, dice: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Median size, and quartiles (3, groups) of Dice, of up to 20 groups of neighbours in size."""
    groups = min(size.size // MEDIAN_IMAGES, 20)
    if groups < 2:
        return np.empty(0), np.empty((3, 0))
    middle = np.array([np.median(part) for part in np.array_split(size, groups)])
    quartiles = np.array([np.quantile(part, [0.25, 0.5, 0.75]) for part in np.array_split(dice, groups)]).T
    return middle, quartiles


def _number_bars(axes: Axes, x: Float64Array, y: Float64Array, n_images: int, span: float) -> None:
    """Number bars from 1, longest first, beside their ends, with a thin line; labels keep a distance, towards 0."""
    distance = 0.07 * span
    free = {True: np.inf, False: np.inf}
    for number, (across, end) in enumerate(zip(x, y, strict=True), start=1):
        lifts = bool(end > 0)
        height = min(abs(end), free[lifts])
        free[lifts] = height - distance
        axes.annotate(
            str(number),
            xy=(across, end),
            xytext=(across + (0.07 if lifts else -0.07) * n_images, height if lifts else -height),
            horizontalalignment="left" if lifts else "right",
            verticalalignment="center",
            fontsize=8,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0},
        )


def _level(axes: Axes, value: float, label: str, colour: str, dashes: str) -> None:
    if not np.isnan(value):
        axes.axhline(value, color=colour, linestyle=dashes, linewidth=1.2, label=f"{label} {value:.3f}")


def _plain_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(_whole_numbers())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _whole_numbers() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:,.0f}" if value == round(value) else "")


def legend(axes: Axes) -> None:
    """What lines mean, above the plot."""
    axes.figure.legend(loc="upper left", ncols=2, borderaxespad=0.2, handlelength=1.8, columnspacing=1.2)


def to_svg(draw: Callable[[Axes], None], name: str, alt: str, margins: Mapping[str, float] = _NO_MARGINS) -> str:
    """An <svg> element, to stand in HTML: scaled by its viewBox, its ids begin with `name`, `alt` is what it tells.

    Its colours are those of the page, light or dark, where it stands in one.
    """
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=_SIZE_INCHES, facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.subplots(gridspec_kw={**_MARGINS, **margins})
        axes.set_facecolor("none")
        draw(axes)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata=_METADATA)
    found = re.search(r'<svg[^>]*viewBox="([^"]*)"[^>]*>(.*)</svg>', sink.getvalue(), re.DOTALL)
    assert found, "matplotlib wrote no svg element"
    view_box, content = found.groups()
    content = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", content)
    for colour, variable in _OF_THE_PAGE.items():
        content = content.replace(f": {colour.lower()}", f": var({variable}, {colour.lower()})")
    return f'<svg viewBox="{view_box}" role="img" aria-label="{html.escape(alt)}">{content}</svg>'
