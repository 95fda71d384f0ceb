import numpy as np
import pytest

from segscale.tasks.report_html.gap_sentence import Gap, sentence


def _gap(per_sample: float, pooled: float, covariance: float, smoothing: float, undefined: float) -> Gap:
    return Gap("Dice", "lesion", per_sample, pooled, covariance, smoothing, undefined)


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        pytest.param(
            _gap(0.5, 0.75, 0.25, 0.0, 0.0),
            ["0.250 above", "(0.750 against 0.500)", "carried by the covariance term (+0.250: ", "score higher"],
            id="large lesions are found",
        ),
        pytest.param(
            _gap(0.75, 0.5, -0.25, 0.0, 0.0), ["0.250 below", "the covariance term (-0.250: ", "score lower"],
            id="large lesions are missed",
        ),
        pytest.param(
            _gap(0.5, 0.75, -0.05, 0.0, 0.3),
            ["carried by the undefined term (+0.300: ", "lower the mean", "beside the covariance term (-0.050)"],
            id="empty images count as 0, against the covariance",
        ),
        pytest.param(
            _gap(0.9, 0.75, 0.01, 0.0, -0.16), ["carried by the undefined term (-0.160: ", "raise the mean"],
            id="empty images count as 1",
        ),
        pytest.param(
            _gap(0.9, 0.8, 0.0, -0.1, 0.0), ["the smoothing term (-0.100: smoothing lifts the scores of single images"],
            id="smoothing of single images",
        ),
        pytest.param(
            _gap(0.8, 0.9, 0.0, 0.1, 0.0), ["the smoothing term (+0.100: smoothing lifts the pooled score"],
            id="smoothing of the set",
        ),
        pytest.param(
            _gap(0.5, 0.5001, 0.2, -0.1999, 0.0),
            ["equals the per-sample mean to three decimals", "the covariance term (+0.200)", "smoothing term (-0.200)"],
            id="terms that cancel are told",
        ),
        pytest.param(_gap(0.5, 0.5, 0.0, 0.0, 0.0), ["equals the per-sample mean"], id="no gap"),
        pytest.param(
            _gap(np.nan, np.nan, np.nan, np.nan, np.nan),
            ["no image to be scored", "(\N{EN DASH} against \N{EN DASH})"],
            id="undefined",
        ),
    ],
)  # fmt: skip
def test_the_gap_is_one_sentence_that_names_the_term_which_carries_it(gap: Gap, words: list[str]) -> None:
    said = sentence(gap)
    assert said.endswith(".")
    assert said.startswith("Pooled Dice of lesion ")
    assert [word for word in words if word not in said.replace("\N{MINUS SIGN}", "-")] == []
