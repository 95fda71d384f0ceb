"""Bland-Altman: how far predicted volumes lie from those of the references, by size."""

import numpy as np
from matplotlib.axes import Axes

from segscale.tasks.plot_style import INK, POOLED, QUIET
from segscale.tasks.report_html.curves import spaced
from segscale.tasks.report_html.plots import MAX_POINTS, legend, to_svg
from segscale.tasks.report_html.volumes import Agreement, VolumePairs


def draw_agreement(pairs: VolumePairs, found: Agreement, name: str, alt: str) -> str:
    """Prediction minus reference over the mean of both, in ml, with bias and limits of agreement.

    Above MAX_POINTS images a subset evenly spaced by size is drawn; the lines are of all.
    """
    middle = (pairs.reference_ml + pairs.prediction_ml) / 2
    difference = pairs.prediction_ml - pairs.reference_ml
    shown = np.argsort(middle, kind="stable")[spaced(middle.size, MAX_POINTS)]

    def draw(axes: Axes) -> None:
        opacity = 0.75 if shown.size < 200 else 0.35
        axes.scatter(middle[shown], difference[shown], s=9, color=QUIET, alpha=opacity, linewidths=0)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.axhline(found.bias_ml, color=POOLED, linewidth=1.2, label=f"mean {found.bias_ml:.3g} ml")
        for level, label in ((found.low_ml, "limits of agreement"), (found.high_ml, None)):
            if not np.isnan(level):
                axes.axhline(level, color=POOLED, linewidth=1.2, linestyle="--", label=label)
        axes.set(xlabel="mean of reference and prediction, ml", ylabel="prediction − reference, ml")  # noqa: RUF001
        axes.margins(y=0.15)
        legend(axes)

    return to_svg(draw, name, alt)
