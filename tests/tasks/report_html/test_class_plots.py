import numpy as np

from segscale.tasks.report_html.class_plots import agreement_plot, distribution_plot
from segscale.tasks.report_html.curves import ImageScores
from segscale.tasks.report_html.gap_sentence import Gap
from segscale.tasks.report_html.volumes import VolumePairs

GAP = Gap("Dice", "lesion", 0.5, 0.75, 0.25, 0.0, 0.0)


def _images(*dice: float) -> ImageScores:
    n = len(dice)
    ones = np.ones(n, np.int64)
    return ImageScores(np.array(["i"] * n, object), ones, np.array(dice), ones, 2 * ones, np.zeros(n))


def test_the_distribution_counts_zeros_and_images_without_a_score() -> None:
    plot = distribution_plot(_images(0.0, 0.0, 0.5, 1.0, np.nan), GAP, "p")
    assert plot.svg is not None
    assert plot.text == (
        "4 images: median 0.250, half of them from 0.000 to 0.625. 2 images at 0. 1 image without a score."
    )
    assert plot.text in plot.svg


def test_without_a_score_there_is_no_distribution() -> None:
    assert distribution_plot(_images(np.nan), GAP, "p").svg is None


def test_the_agreement_of_volumes_stands_in_its_caption() -> None:
    plot = agreement_plot(VolumePairs(np.array([1.0, 2.0]), np.array([1.0, 3.0]), 3), "p")
    assert plot is not None
    assert plot.text.replace("\N{MINUS SIGN}", "-") == (
        "2 images: predicted minus reference volume is +0.500 ml in the mean, limits of agreement (mean ± 1.96 "
        "standard deviations) -0.886 to +1.886 ml. 3 images without a volume, since nobody says how far "
        "pixels are apart."
    )


def test_without_volumes_there_is_no_agreement_plot() -> None:
    assert agreement_plot(VolumePairs(np.empty(0), np.empty(0), 5), "p") is None
