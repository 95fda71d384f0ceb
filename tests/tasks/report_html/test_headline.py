from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.headline import HeadlineRow, headline_of

MakeTables = Callable[..., dict[str, pd.DataFrame]]


def _row(tables: dict[str, pd.DataFrame], class_name: str, metric: str = "Dice") -> HeadlineRow:
    (row,) = (row for row in headline_of(tables).rows if (row.class_name, row.metric) == (class_name, metric))
    return row


def test_both_aggregations_stand_side_by_side(make_tables: MakeTables) -> None:
    tables = make_tables(20, failed=(2, 5))
    row = _row(tables, "lesion")
    (gap,) = tables["gap"].query("class_name == 'lesion' and metric == 'dice'").itertuples()
    assert (row.per_sample.value, row.pooled.value) == (gap.per_sample_mean, gap.pooled)
    assert row.batches[0] is not None
    assert row.batches[0].mean == gap.per_sample_mean
    assert row.n_failed == 2
    dice = tables["per_image"].query("class_index == 1")["dice"]
    assert row.failed_as_zero == pytest.approx(dice.sum() / (dice.notna().sum() + 2))
    assert row.n_undefined == dice.isna().sum() - 2


def test_the_interval_is_bca_where_it_can_be_had(make_tables: MakeTables) -> None:
    tables = make_tables(40)
    row = _row(tables, "lesion", "Tversky")
    assert row.per_sample.method == "bca"
    (found,) = tables["intervals"].query(
        "class_name == 'lesion' and metric == 'tversky' and aggregation == 'pooled' and method == 'bca'"
    ).itertuples()  # fmt: skip
    assert (row.pooled.low, row.pooled.high) == (found.low, found.high)


def test_without_resamples_the_interval_is_that_of_the_delta_method(make_tables: MakeTables) -> None:
    headline = headline_of(make_tables(40, settings=ScoreSettings(bootstrap=0)))
    assert {row.pooled.method for row in headline.rows} == {"delta"}
    assert headline.reasons == ("bootstrap is 0",)


def test_few_images_have_no_interval_and_a_reason(make_tables: MakeTables) -> None:
    headline = headline_of(make_tables(3))
    assert {row.pooled.method for row in headline.rows} == {""}
    assert np.isnan(headline.rows[0].pooled.low)
    assert headline.reasons == ("3 units to be measured, fewer than 10",)


def test_one_foreground_class_is_not_repeated_over_classes(make_tables: MakeTables) -> None:
    names = [row.class_name for row in headline_of(make_tables(5)).rows if row.metric == "Dice"]
    assert names == ["lesion", "all classes summed, background included", "background"]


def test_a_class_may_be_named_like_a_row_over_classes(make_tables: MakeTables) -> None:
    tables = make_tables(5, classes=("background", "all_macro", "tumour"))
    assert [row.class_name for row in headline_of(tables).rows if row.metric == "Dice"] == [
        "all_macro", "tumour", "mean over foreground classes", "foreground classes summed",
        "all classes summed, background included", "background",
    ]  # fmt: skip


def test_strata_are_not_part_of_the_headline(make_tables: MakeTables) -> None:
    tables = make_tables(5)
    more = {name: pd.concat([tables[name], tables[name].assign(stratum="site=x")])
            for name in ("per_sample", "batch_summed", "intervals")}  # fmt: skip
    assert len(headline_of({**tables, **more}).rows) == len(headline_of(tables).rows)


def test_units_and_folds_stand_beside_the_mean(make_tables: MakeTables) -> None:
    groups = {"patient": [f"p{place // 2}" for place in range(24)], "fold": [place // 2 % 3 for place in range(24)]}
    settings = ScoreSettings(bootstrap=50, batch_sizes=(1,), unit="patient", folds="fold")
    tables = make_tables(24, settings=settings, groups=groups)
    found = headline_of(tables)
    assert (found.unit, found.has_folds) == ("patient", True)
    means = (
        tables["per_sample"].query("metric == 'dice' and class_name == 'lesion' and stratum == ''").set_index("unit")
    )
    row = found.rows[0]
    assert row.per_unit is not None
    assert (row.per_sample.value, row.per_unit.value) == (means["mean"]["image"], means["mean"]["patient"])
    assert row.of_folds == means["mean_of_folds"]["image"]
    assert row.per_unit.low < row.per_unit.value < row.per_unit.high
    plain = headline_of(make_tables(24))
    assert (plain.unit, plain.has_folds, plain.rows[0].per_unit, plain.rows[0].of_folds) == ("", False, None, None)


def test_every_head_has_its_rows(make_tables: MakeTables) -> None:
    rows = headline_of(make_tables(5, heads=("head_1", "head_2"))).rows
    assert [(row.head, row.metric) for row in rows if row.class_name == "lesion"] == [
        ("head_1", "Dice"), ("head_1", "Tversky"), ("head_2", "Dice"), ("head_2", "Tversky"),
    ]  # fmt: skip
