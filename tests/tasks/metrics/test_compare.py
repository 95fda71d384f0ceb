"""Two runs over the same images: tables, properties, strata and the images that changed."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.compare import CHANGED_COLUMNS, DIFFERENCE_COLUMNS, Comparison, compare
from segscale.tasks.metrics.paired_tests import holm
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
Counts = Sequence[tuple[int, int, int]]
SETTINGS = ScoreSettings(bootstrap=100)
HASHES = {"image_sha256": "i", "reference_sha256": "r"}


def _runs(seed: int, n_images: int, gain: float = 0.1) -> tuple[Counts, Counts]:
    """Two runs over the same references; the second finds more of them."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(2, 40, n_images)
    runs = []
    for share in (0.7, 0.7 + gain):
        hits, extra = generator.binomial(sizes, share), generator.integers(0, 5, n_images)
        runs.append([(int(tp), int(fp), int(size - tp)) for tp, fp, size in zip(hits, extra, sizes, strict=True)])
    return runs[0], runs[1]


def _compare(frame_of: Frames, a: Counts, b: Counts, by: tuple[str, ...] = (), **columns: object) -> Comparison:
    frames = [frame_of(counts, **HASHES, **columns) for counts in (a, b)]
    return compare(frames[0], frames[1], SETTINGS, SETTINGS, by)


@pytest.fixture(scope="module")
def found(frame_of: Frames) -> Comparison:
    return _compare(frame_of, *_runs(0, 30))


def test_tables_have_their_columns(found: Comparison) -> None:
    assert list(found.differences) == list(DIFFERENCE_COLUMNS)
    assert list(found.images) == list(CHANGED_COLUMNS)
    assert list(found.unpaired) == ["image_id", "status_a", "status_b"]
    assert len(found.differences) == 2 * 11 * 2  # classes, metrics, aggregations


def test_values_are_those_of_the_reports(frame_of: Frames, row_of: Rows, found: Comparison) -> None:
    for side, counts in zip(("value_a", "value_b"), _runs(0, 30), strict=True):
        frame = frame_of(counts, **HASHES)
        for aggregation, table in (
            ("per_sample", per_sample(frame, SETTINGS)),
            ("pooled", batch_summed(frame, SETTINGS).query("pooled")),
        ):
            row = row_of(found.differences, class_index=1, metric="tversky", aggregation=aggregation)
            assert row[side] == row_of(table, class_index=1, metric="tversky")["mean"]


def test_p_values_and_interval_are_those_of_scipy(row_of: Rows, found: Comparison) -> None:
    (tp_a, fp_a, fn_a), (tp_b, fp_b, fn_b) = (np.array(counts).T for counts in _runs(0, 30))
    differences = 2 * tp_b / (2 * tp_b + fp_b + fn_b) - 2 * tp_a / (2 * tp_a + fp_a + fn_a)
    row = row_of(found.differences, class_index=1, metric="dice", aggregation="per_sample")
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(differences[differences != 0].round(12)).pvalue)
    oracle = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=4999, rng=np.random.default_rng(3)
    )
    assert row["permutation_p"] == pytest.approx(oracle.pvalue, abs=0.01)
    assert row["low"] < row["difference"] < row["high"]
    interval = stats.bootstrap((differences,), np.mean, method="percentile", rng=np.random.default_rng(4))
    low, high = interval.confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.02)


def test_a_family_is_a_test_of_a_stratum_and_aggregation(found: Comparison) -> None:
    for aggregation, family in found.differences.groupby("aggregation"):
        p_values = family["permutation_p"].to_numpy()
        assert set(family["permutation_family"]) == {int((~np.isnan(p_values)).sum())}
        np.testing.assert_array_equal(family["permutation_holm"], holm(p_values))
        assert family["wilcoxon_p"].isna().all() == (aggregation == "pooled")


def test_every_missing_number_has_a_reason(found: Comparison) -> None:
    table = found.differences
    for value, reason in (("low", "interval"), ("wilcoxon_p", "wilcoxon"), ("permutation_p", "permutation")):
        assert (table[value].isna() == (table[f"{reason}_reason"] != "")).all()
    ranks = table.loc[table["aggregation"] == "pooled", "wilcoxon_reason"]
    assert set(ranks) == {"a pooled score has no value per image to rank"}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), n_images=st.sampled_from([1, 7, 20]))
def test_a_run_against_itself_differs_nowhere(frame_of: Frames, seed: int, n_images: int) -> None:
    run, _ = _runs(seed, n_images)
    same = _compare(frame_of, run, run)
    for column in ("difference", "low", "high"):
        assert (same.differences[column].dropna() == 0).all()
    assert (same.differences["permutation_p"].dropna() == 1).all()
    assert same.differences["wilcoxon_p"].isna().all()
    assert same.images.empty


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), n_images=st.sampled_from([1, 5, 20]))
def test_exchanged_runs_flip_the_signs_and_keep_the_p_values(frame_of: Frames, seed: int, n_images: int) -> None:
    a, b = _runs(seed, n_images)
    there, back = (_compare(frame_of, *runs).differences for runs in ((a, b), (b, a)))
    np.testing.assert_allclose(there["difference"], -back["difference"], atol=1e-15)
    np.testing.assert_allclose(there["low"], -back["high"], atol=1e-12)
    np.testing.assert_array_equal(there["value_a"], back["value_b"])
    for test in ("wilcoxon_p", "permutation_p", "permutation_holm"):
        np.testing.assert_allclose(there[test], back[test], atol=1e-12)


def test_strata_compare_their_own_images(frame_of: Frames, row_of: Rows) -> None:
    a, b = _runs(2, 24)
    sites = ["x", "y"] * 12
    both = _compare(frame_of, a, b, by=("site",), site=sites).differences
    alone = _compare(frame_of, a[::2], b[::2]).differences
    assert list(dict.fromkeys(both["stratum"])) == ["", "site=x", "site=y"]
    keys = {"class_index": 1, "metric": "dice", "aggregation": "pooled"}
    assert row_of(both, stratum="site=x", **keys)["difference"] == row_of(alone, **keys)["difference"]


def test_clusters_are_the_units(frame_of: Frames, row_of: Rows) -> None:
    a, b = _runs(3, 24)
    first, second = (frame_of(counts, patient_id=[f"p{i // 2}" for i in range(24)], **HASHES) for counts in (a, b))
    clustered = ScoreSettings(bootstrap=100, cluster_by="patient_id")
    row = row_of(
        compare(first, second, clustered, SETTINGS).differences, class_index=1, metric="dice", aggregation="pooled"
    )
    assert (row["n_pairs"], row["n_units"], row["n_permutations"]) == (24, 12, 2**12)


def test_unknown_clusters_leave_no_test(frame_of: Frames) -> None:
    a, b = _runs(3, 12)
    first, second = (frame_of(counts, patient_id=[None, *"abcdefghijk"], **HASHES) for counts in (a, b))
    clustered = ScoreSettings(bootstrap=100, cluster_by="patient_id")
    table = compare(first, second, clustered, SETTINGS).differences
    assert set(table["permutation_reason"]) == {"patient_id is missing for 1 images"}
    assert table["difference"].notna().any()


@pytest.mark.parametrize("where", ["by", "cluster_by"])
def test_a_column_that_is_not_there_is_refused(frame_of: Frames, where: str) -> None:
    frame = frame_of([(1, 0, 0)], **HASHES)
    by = ("site",) if where == "by" else ()
    chosen = ScoreSettings(cluster_by="site" if where == "cluster_by" else "")
    with pytest.raises(ValueError, match="expected a column of per_image, got 'site'"):
        compare(frame, frame, chosen, chosen, by)


def test_few_images_have_no_interval_but_an_exact_test(frame_of: Frames, row_of: Rows) -> None:
    row = row_of(
        _compare(frame_of, [(5, 0, 5)] * 4, [(9, 0, 1)] * 4).differences,
        class_index=1, metric="dice", aggregation="per_sample",
    )  # fmt: skip
    assert row["interval_reason"] == "4 units to be measured, fewer than 10"
    assert row["permutation_p"] == 2 / 16


def test_the_images_that_changed_most_come_first(frame_of: Frames) -> None:
    a = [(8, 0, 2), (8, 0, 2), (8, 0, 2)]
    b = [(8, 0, 2), (1, 0, 9), (9, 0, 1)]
    images = _compare(frame_of, a, b).images
    lesion = images[(images["class_index"] == 1) & (images["metric"] == "dice")]
    assert lesion["image_id"].tolist() == ["image1", "image2"]
    assert lesion["rank"].tolist() == [1, 2]
    assert lesion["difference"].tolist() == pytest.approx([2 / 11 - 16 / 18, 18 / 19 - 16 / 18])
    # Pooled b with image1 is 36/48, without it 34/37; in a all images are alike.
    assert lesion["pooled_effect"].iloc[0] == pytest.approx(36 / 48 - 34 / 37)


def test_several_foreground_classes_have_rows_over_classes(frame_of: Frames, row_of: Rows) -> None:
    def three_classes(counts: Counts) -> pd.DataFrame:
        frame = frame_of(counts, **HASHES)
        second = frame[frame["class_index"] == 1].assign(class_index=2, class_name="tumour")
        return pd.concat([frame, second]).sort_values(["image_id", "class_index"], kind="stable")

    a, b = _runs(5, 12)
    table = compare(three_classes(a), three_classes(b), SETTINGS, SETTINGS).differences
    assert list(dict.fromkeys(table["class_name"])) == [
        "background", "lesion", "tumour", "all_micro", "all_channels_micro", "all_macro",
    ]  # fmt: skip
    keys = {"metric": "dice", "aggregation": "pooled"}
    macro, lesion = (row_of(table, class_name=name, **keys) for name in ("all_macro", "lesion"))
    for column in ("difference", "low", "high", "permutation_p"):
        assert macro[column] == pytest.approx(lesion[column])


def test_other_settings_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match=r"metrics\.empty"):
        compare(pd.DataFrame(), pd.DataFrame(), ScoreSettings(), ScoreSettings(empty="zero"))


def _missing(frame_of: Frames, counts: Counts, missing: Sequence[int], broken: Sequence[int] = ()) -> pd.DataFrame:
    """A run in which predictions of some images are missing, and the files of others broken."""
    whole, frame = frame_of(counts, **HASHES), frame_of(counts, failed=[*missing, *broken], **HASHES)
    lacking, lost = (frame["image_id"].isin([f"image{place}" for place in places]) for places in (missing, broken))
    pixels = whole["reference_sum"].astype("Int64").mask(lost)
    return frame.assign(prediction_missing=lacking.astype("boolean"), reference_pixels=pixels)


def test_missing_predictions_are_compared_as_missed_beside_the_pairs(frame_of: Frames, row_of: Rows) -> None:
    counts_a, counts_b = _runs(3, 16)
    a, b = _missing(frame_of, counts_a, [2, 3], [15]), _missing(frame_of, counts_b, [3, 9], [15])
    found = compare(a, b, SETTINGS, SETTINGS)
    dice = [[2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts[:15]] for counts in (counts_a, counts_b)]
    for scores, missing in zip(dice, ([2, 3], [3, 9]), strict=True):
        for place in missing:
            scores[place] = 0.0
    row = row_of(found.differences, class_index=1, metric="dice", aggregation="per_sample_missing")
    assert (row["value_a"], row["value_b"]) == pytest.approx((np.mean(dice[0]), np.mean(dice[1])))
    assert (row["n_pairs"], row["n_units"]) == (15, 15)
    differences = np.array(dice[1]) - np.array(dice[0])
    assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(np.round(differences[differences != 0], 12)).pvalue)
    pooled = row_of(found.differences, class_index=1, metric="dice", aggregation="pooled_missing")
    for side, counts, missing in (("value_a", counts_a, [2, 3]), ("value_b", counts_b, [3, 9])):
        kept = np.array([(0, 0, tp + fn) if place in missing else (tp, fp, fn)
                         for place, (tp, fp, fn) in enumerate(counts[:15])])  # fmt: skip
        tp, fp, fn = kept.sum(axis=0)
        assert pooled[side] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert row["low"] < row["difference"] < row["high"]


def test_pairs_stay_what_they_are_beside_missing_ones(frame_of: Frames) -> None:
    counts_a, counts_b = _runs(4, 14)
    places = [1, 6]
    failed = [frame_of(counts, failed=places, **HASHES) for counts in (counts_a, counts_b)]
    missing = [_missing(frame_of, counts, places) for counts in (counts_a, counts_b)]
    plain, found = (compare(a, b, SETTINGS, SETTINGS) for a, b in (failed, missing))
    is_pair = ~found.differences["aggregation"].str.endswith("_missing")
    pd.testing.assert_frame_equal(
        found.differences[is_pair].reset_index(drop=True), plain.differences, check_exact=True
    )
    assert is_pair.sum() * 2 == len(found.differences)
    pd.testing.assert_frame_equal(found.images, plain.images)
    pd.testing.assert_frame_equal(found.unpaired, plain.unpaired)


def test_references_of_missing_predictions_are_held_against_each_other(frame_of: Frames) -> None:
    counts_a, counts_b = _runs(5, 12)
    a, b = _missing(frame_of, counts_a, [2]), _missing(frame_of, counts_b, [])
    a["reference_pixels"] = a["reference_pixels"].mask(a["image_id"] == "image2", 1)
    with pytest.raises(ValueError, match=r"read differently: .* in 1 of 12 images \(image2\)"):
        compare(a, b, SETTINGS, SETTINGS)


def test_by_strata_and_several_classes_missing_ones_have_their_rows(frame_of: Frames) -> None:
    counts_a, counts_b = _runs(6, 12)
    runs = []
    for counts, missing in ((counts_a, [0]), (counts_b, [])):
        two = _missing(frame_of, counts, missing).assign(site=lambda f: f["image_id"].str[-1])
        runs.append(pd.concat([two, two.query("class_index == 1").assign(class_index=2, class_name="edge")]))
    found = compare(runs[0], runs[1], SETTINGS, SETTINGS, ("site",)).differences
    keys = ["stratum", "class_name", "metric"]
    kinds = {name: rows[keys].apply(tuple, axis=1).tolist() for name, rows in found.groupby("aggregation")}
    assert kinds["per_sample"] == kinds["per_sample_missing"] == kinds["pooled_missing"]
    assert "all_macro" in set(found["class_name"])
