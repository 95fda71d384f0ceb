from collections.abc import Callable

import pandas as pd
import pytest

from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.strata import strata_rows

MakeTables = Callable[..., dict[str, pd.DataFrame]]
SITES = ["north", "south"] * 12


def _strata(make_tables: MakeTables, *classes: str) -> dict[str, pd.DataFrame]:
    settings = ScoreSettings(bootstrap=20, batch_sizes=(1,), group_by=("site",))
    return make_tables(24, classes=classes, failed=(1,), settings=settings, groups={"site": SITES})


def test_each_stratum_has_both_aggregations_with_intervals(make_tables: MakeTables) -> None:
    tables = _strata(make_tables, "background", "lesion")
    rows = strata_rows(tables, "last")
    assert [(row.stratum, row.class_name) for row in rows] == [("site=north", "lesion"), ("site=south", "lesion")]
    images = tables["per_image"].query("class_name == 'lesion' and site == 'north'")
    tp, fp, fn = (images[name].sum() for name in ("true_positive", "false_positive", "false_negative"))
    assert rows[0].per_sample.value == pytest.approx(images["dice"].mean())
    assert rows[0].pooled.value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert [(row.n_images, row.n_failed) for row in rows] == [(12, 0), (12, 1)]
    assert all(row.per_sample.low < row.per_sample.value < row.per_sample.high for row in rows)


def test_of_several_classes_their_mean_comes_first(make_tables: MakeTables) -> None:
    rows = strata_rows(_strata(make_tables, "background", "edge", "lesion"), "last")
    mean = "mean over foreground classes"
    assert [row.class_name for row in rows] == [mean, mean, "edge", "edge", "lesion", "lesion"]


def test_without_strata_there_are_no_rows(make_tables: MakeTables) -> None:
    assert strata_rows(make_tables(12), "last") == ()
