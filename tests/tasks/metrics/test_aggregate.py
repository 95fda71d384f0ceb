"""Means of scores and scores of sums, worked by hand and held against each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.metric_table import METRICS
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]

# Dice: 1, 0, 0.5, undefined; summed 2 * 21 / (2 * 21 + 3 + 3 + 4) with the third.
IMAGES = [(20, 0, 0), (0, 3, 3), (1, 0, 2), (0, 0, 0)]
TRIPLES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25)
KEYS = ["stratum", "class_index", "class_name", "head", "metric"]


def test_mean_of_ratios_by_hand(frame_of: Frames, row_of: Rows) -> None:
    row = row_of(per_sample(frame_of(IMAGES), ScoreSettings()), class_index=1, metric="dice")
    assert row["mean"] == 0.5
    assert row["std"] == 0.5
    assert [row[name] for name in ("min", "q25", "median", "q75", "max")] == [0, 0.25, 0.5, 0.75, 1]
    assert [row[name] for name in ("n_images", "n_defined", "n_both_empty", "n_failed")] == [4, 3, 1, 0]


def test_ratio_of_sums_by_hand(frame_of: Frames, row_of: Rows) -> None:
    table = batch_summed(frame_of(IMAGES), ScoreSettings(batch_sizes=(1, 2, 3)))
    of = {size: row_of(table, class_index=1, metric="dice", batch_size=size) for size in (1, 2, 3, 4)}
    assert of[1]["mean"] == 0.5
    assert of[2]["mean"] == of[2]["mean_equal_weight"] == pytest.approx((40 / 46 + 0.5) / 2)
    assert of[3]["mean"] == pytest.approx(42 / 50), "the fourth image is a batch of its own, undefined"
    assert (of[3]["n_batches"], of[3]["n_undefined"]) == (2, 1)
    assert of[4]["mean"] == pytest.approx(42 / 50)
    assert of[4]["pooled"]
    assert of[4]["shuffle_std"] == of[1]["shuffle_std"] == 0
    assert of[2]["shuffle_std"] > 0


def test_a_short_last_batch_counts_by_its_images(frame_of: Frames, row_of: Rows) -> None:
    images = [(9, 1, 1)] * 224 + [(1, 1, 1)] * 3
    row = row_of(
        batch_summed(frame_of(images), ScoreSettings(batch_sizes=(32,))), class_index=1, metric="dice", batch_size=32
    )
    assert row["mean"] == pytest.approx((224 * 0.9 + 3 * 0.5) / 227)
    assert row["mean_equal_weight"] == pytest.approx((7 * 0.9 + 0.5) / 8)


@given(images=TRIPLES, empty=st.sampled_from(["nan", "one", "zero", "smooth"]), smooth=st.sampled_from([0.0, 1.0]))
def test_batch_size_one_is_the_per_sample_mean_and_one_batch_is_pooled(
    frame_of: Frames, images: list[tuple[int, int, int]], empty: Any, smooth: float
) -> None:
    chosen = ScoreSettings(batch_sizes=(1, 1000), empty=empty, smooth=smooth)
    frame = frame_of(images)
    means, sums = per_sample(frame, chosen), batch_summed(frame, chosen)
    single = sums[(sums["batch_size"] == 1) & ~sums["pooled"]]
    merged = single.merge(means, on=KEYS, suffixes=("", "_of_images"))
    assert len(merged) == len(means)
    np.testing.assert_array_equal(merged["mean"], merged["mean_of_images"])
    pooled, large = sums[sums["pooled"]], sums[sums["batch_size"] == 1000]
    columns = ["n_batches", "mean", "mean_equal_weight", "shuffle_mean"]
    pd.testing.assert_frame_equal(pooled[columns].reset_index(drop=True), large[columns].reset_index(drop=True))


@given(images=TRIPLES, seed=st.integers(0, 1000))
def test_order_moves_neither_means_nor_pooled(frame_of: Frames, images: list[tuple[int, int, int]], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(images))
    chosen = ScoreSettings(batch_sizes=(1,))
    for table in (per_sample, batch_summed):
        plain = table(frame_of(images), chosen)["mean"]
        moved = table(frame_of([images[place] for place in order]), chosen)["mean"]
        np.testing.assert_allclose(plain, moved, rtol=1e-12)


def test_failed_images_are_left_out_and_counted(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([*IMAGES, (7, 7, 7)], failed=[4])
    row = row_of(per_sample(frame, ScoreSettings()), class_index=1, metric="dice")
    assert row["mean"] == 0.5
    assert row["mean_failed_as_zero"] == 1.5 / 4
    assert (row["n_images"], row["n_failed"], row["n_defined"]) == (5, 1, 3)
    batched = row_of(batch_summed(frame, ScoreSettings()), class_index=1, metric="dice", pooled=True)
    assert (batched["batch_size"], batched["n_failed"]) == (4, 1)
    difference = row_of(per_sample(frame, ScoreSettings()), class_index=1, metric="volume_difference")
    assert np.isnan(difference["mean_failed_as_zero"])


def test_where_all_fail_the_tables_say_so(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(1, 1, 1), (2, 2, 2)], failed=[0, 1])
    row = row_of(per_sample(frame, ScoreSettings()), class_index=1, metric="dice")
    assert np.isnan(row["mean"])
    assert (row["mean_failed_as_zero"], row["n_failed"], row["n_defined"]) == (0, 2, 0)
    pooled = row_of(batch_summed(frame, ScoreSettings()), class_index=1, metric="dice", pooled=True)
    assert (pooled["n_batches"], pooled["batch_size"]) == (0, 0)
    assert np.isnan([pooled["mean"], pooled["shuffle_mean"], pooled["shuffle_std"]]).all()


def test_rows_over_classes(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(10, 0, 0), (2, 4, 4)])
    third = frame[frame["class_index"] == 1].assign(class_index=2, class_name="edge", true_positive=0, reference_sum=0)
    third["false_negative"] = third["false_positive"] = 0
    three = pd.concat([frame, third])
    images, sums = per_sample(three, ScoreSettings()), batch_summed(three, ScoreSettings())
    macro, micro, channels = (
        row_of(images, class_name=name, metric="dice") for name in ("all_macro", "all_micro", "all_channels_micro")
    )
    assert macro["mean"] == pytest.approx(2 / 3), "of (1 + 1/3)/2 for the lesion; the edge is undefined"
    assert macro["n_classes_defined"] == 1
    assert np.isnan(macro["std"])
    assert micro["mean"] == pytest.approx(2 / 3)
    assert channels["mean"] == pytest.approx((1 + 2 * 92 / (2 * 92 + 16)) / 2)
    assert row_of(sums, class_name="all_micro", metric="dice", pooled=True)["mean"] == pytest.approx(24 / 32)
    assert images["class_name"].drop_duplicates().tolist() == [
        "background", "lesion", "edge", "all_macro", "all_micro", "all_channels_micro",
    ]  # fmt: skip
    assert images.loc[images["class_name"] == "lesion", "n_classes_defined"].isna().all()


def test_strata_are_sorted_and_hold_their_own_failures(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(1, 0, 0), (0, 1, 0), (1, 1, 1)], failed=[2], site=["b", "a", None])
    table = per_sample(frame, ScoreSettings(group_by=("site",)))
    assert table["stratum"].drop_duplicates().tolist() == ["", "site=", "site=a", "site=b"]
    means = {name: row_of(table, stratum=name, class_index=1, metric="dice")["mean"] for name in ("site=a", "site=b")}
    assert means == {"site=a": 0.0, "site=b": 1.0}
    assert row_of(table, stratum="site=", class_index=1, metric="dice")["n_failed"] == 1
    alone = frame[frame["site"] == "b"]
    left = batch_summed(frame, ScoreSettings(group_by=("site",))).query("stratum == 'site=b'")["mean"]
    np.testing.assert_array_equal(left, batch_summed(alone, ScoreSettings())["mean"])


def test_rows_of_each_head_stand_side_by_side(frame_of: Frames) -> None:
    table = per_sample(frame_of(IMAGES, heads=["last", "average"]), ScoreSettings())
    assert table["head"].iloc[: 2 * len(METRICS)].tolist() == ["last"] * len(METRICS) + ["average"] * len(METRICS)
    assert table["metric"].iloc[: len(METRICS)].tolist() == [metric.name for metric in METRICS]


def test_label_maps_keep_rows_of_soft_metrics(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of(IMAGES, failed=[0])
    frame[["soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum"]] = np.nan
    row = row_of(per_sample(frame, ScoreSettings(empty="one")), class_index=1, metric="soft_dice")
    assert row["n_defined"] == 0
    assert np.isnan([row["mean"], row["mean_failed_as_zero"]]).all()


def test_a_panel_stands_for_its_table(frame_of: Frames) -> None:
    frame = frame_of([(6, 2, 0), (0, 0, 0), (3, 1, 1)], failed=[1])
    panel = panel_of(frame)
    assert panel_of(panel) is panel
    for table in (per_sample, batch_summed):
        pd.testing.assert_frame_equal(table(panel, ScoreSettings()), table(frame, ScoreSettings()), check_exact=True)


def test_equal_seeds_give_equal_tables(frame_of: Frames) -> None:
    frame = frame_of(IMAGES * 5)
    first, again = (batch_summed(frame, ScoreSettings(batch_sizes=(4,), seed=3)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    other = batch_summed(frame, ScoreSettings(batch_sizes=(4,), seed=4))
    assert not np.array_equal(first["shuffle_mean"], other["shuffle_mean"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda f: f.drop(index=1), "one row of class 1.*for each of 4", id="a class is missing"),
        pytest.param(lambda f: pd.concat([f, f.iloc[:1]]), "one row of class 0", id="a row twice"),
        pytest.param(
            lambda f: f.assign(status=["failed", *["ok"] * 7]), "image0.*'ok' and 'failed'", id="half an image failed"
        ),
        pytest.param(lambda f: f[f["class_index"] == 0], "a foreground class", id="background alone"),
    ],
)
def test_refuses(frame_of: Frames, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panel_of(spoil(frame_of(IMAGES)))


def test_an_unknown_group_column_is_named(frame_of: Frames) -> None:
    with pytest.raises(ValueError, match=r"group_by: .*'ward'"):
        per_sample(frame_of(IMAGES), ScoreSettings(group_by=("ward",)))
