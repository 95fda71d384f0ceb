"""The curves of a training: its history as one picture, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from segscale.tasks.plot_style import INK, PER_SAMPLE, POOLED, QUIET, STYLE

Float64Array = NDArray[np.float64]

HEADS = ("#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")
"""Blues, darker for deeper heads."""
REGULARIZATION = "#F0C27B"
SCORES = {
    "dice_per_sample": ("per-sample", PER_SAMPLE),
    "dice_batch_summed": ("batch-summed", "#7A5195"),
    "dice_pooled": ("pooled", POOLED),
}
"""The colours of the report, and one between them."""
_STYLE = {**STYLE, "axes.titlesize": 10, "axes.titlelocation": "left"}
_METADATA = {"Software": None}


def draw_curves(history: pd.DataFrame) -> bytes:
    """A PNG of a history: the parts of both losses, stacked, beside Dice by its aggregations and the learning rate.

    history: rows of `history.parquet`; validation rows, parts of the loss and scores may be missing.
    """
    splits = [name for name in ("training", "validation") if (history["split"] == name).any()]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(4.6 + 2.6 * len(splits), 5.6), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(len(splits), 1.6))[0]
        losses = list(left.subplots(1, len(splits), sharey=True, squeeze=False)[0])
        for axes, split in zip(losses, splits, strict=True):
            _draw_loss(axes, history[history["split"] == split], split)
        _limit(losses[0], _column(history, "loss"))
        _legend(left, *losses[0].get_legend_handles_labels())
        scores, rate = right.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        _draw_scores(scores, history)
        _draw_learning_rate(rate, history[history["split"] == "training"])
        first, last = history["epoch"].min(), history["epoch"].max()
        for axes in (*losses, scores, rate):
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
            axes.margins(x=0.02 if last > first else 0.5)
        sink = io.BytesIO()
        figure.savefig(sink, format="png", metadata=_METADATA)
    return sink.getvalue()


def _draw_loss(axes: Axes, rows: pd.DataFrame, split: str) -> None:
    epochs, total = _column(rows, "epoch"), _column(rows, "loss")
    parts = _parts(rows)
    if parts and epochs.size > 1:
        axes.stackplot(epochs, *parts.values(), labels=list(parts), colors=_colours(parts), linewidth=0)
    elif parts:
        bottom = np.zeros(1)
        for (label, part), colour in zip(parts.items(), _colours(parts), strict=True):
            axes.bar(epochs, part, bottom=bottom, width=0.6, label=label, color=colour)
            bottom = bottom + part
    axes.plot(epochs, total, color=INK, label="total", marker="o" if epochs.size < 2 else "", markersize=4)
    axes.set(title=f"Loss, {split}", xlabel="epoch")


def _limit(axes: Axes, losses: Float64Array) -> None:
    """Both losses on one scale, from 0, so that the heights of the parts can be compared."""
    known = losses[np.isfinite(losses)]
    if known.size:
        margin = 0.05 * max(float(np.ptp([0.0, *known])), 1e-6)
        axes.set_ylim(min(0.0, known.min() - margin), max(0.0, known.max() + margin))


def _parts(rows: pd.DataFrame) -> dict[str, Float64Array]:
    """What the loss is the sum of: each head's loss by its weight, and the regularization; none if they are unknown.

    A part below 0 (the negative form of a Tversky loss) cannot be stacked.
    """
    heads = sorted(int(one[1]) for one in (re.fullmatch(r"head_(\d+)_loss", str(name)) for name in rows) if one)
    parts = {
        f"head {place}": _column(rows, f"head_{place}_weight") * _column(rows, f"head_{place}_loss") for place in heads
    }
    regularization = np.nan_to_num(_column(rows, "regularization"))
    known = {"regularization": regularization, **parts} if regularization.any() else parts
    return {} if any((part < 0).any() for part in known.values()) else known


def _colours(parts: Sequence[str] | dict[str, Float64Array]) -> list[str]:
    n_heads = sum(label != "regularization" for label in parts)
    places = np.linspace(0, len(HEADS) - 2, n_heads).round().astype(int) if n_heads > 1 else np.array([2])
    blues = iter([HEADS[place % len(HEADS)] for place in places])
    return [REGULARIZATION if label == "regularization" else next(blues) for label in parts]


def _draw_scores(axes: Axes, history: pd.DataFrame) -> None:
    for split, dashes in (("validation", "-"), ("training", "--")):
        rows = history[history["split"] == split]
        epochs = _column(rows, "epoch")
        for name, (label, colour) in SCORES.items():
            values = _column(rows, name)
            if np.isfinite(values).any():
                axes.plot(
                    epochs, values, color=colour, linestyle=dashes, linewidth=1.6 if dashes == "-" else 1.1,
                    marker="o" if epochs.size < 2 else "", markersize=4, label=f"{label}, {split}",
                )  # fmt: skip
    axes.set(title="Dice, deepest head", ylim=(-0.03, 1.03))
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    _legend(axes.figure, list(lines.values()), list(lines))


def _legend(figure: Figure | SubFigure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    if handles:
        columns = -(-len(handles) // 3)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=2.0, columnspacing=1.2)


def _draw_learning_rate(axes: Axes, rows: pd.DataFrame) -> None:
    epochs = _column(rows, "epoch")
    axes.plot(epochs, _column(rows, "learning_rate"), color=QUIET, marker="o" if epochs.size < 2 else "", markersize=4)
    axes.set(title="Learning rate", xlabel="epoch")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useOffset=False)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _column(rows: pd.DataFrame, name: str) -> Float64Array:
    """A column as float64; NaN where there is none."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(np.float64, na_value=np.nan)
