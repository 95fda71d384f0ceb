from collections.abc import Callable

import pandas as pd
import pytest

from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report_html.further_scores import further_rows

MakeTables = Callable[..., dict[str, pd.DataFrame]]


def test_means_and_pooled_scores_of_the_foreground(make_tables: MakeTables) -> None:
    tables = make_tables(30, failed=(4,))
    rows = further_rows(tables)
    assert [(row.class_name, row.metric) for row in rows] == [
        ("lesion", "IoU"), ("lesion", "sensitivity"), ("lesion", "precision"),
    ]  # fmt: skip
    images = tables["per_image"].query("class_name == 'lesion'")
    tp, fp, fn = (images[name].sum() for name in ("true_positive", "false_positive", "false_negative"))
    assert [row.pooled.value for row in rows] == pytest.approx([tp / (tp + fp + fn), tp / (tp + fn), tp / (tp + fp)])
    assert [row.per_sample.value for row in rows] == pytest.approx(
        [images[name].mean() for name in ("iou", "sensitivity", "precision")]
    )
    assert [row.n_undefined for row in rows] == [
        int(images[name].isna().sum()) - 1 for name in ("iou", "sensitivity", "precision")
    ]
    assert all(row.per_unit is None for row in rows)


def test_of_several_classes_their_mean_comes_last(make_tables: MakeTables) -> None:
    names = [row.class_name for row in further_rows(make_tables(12, classes=("background", "edge", "lesion")))]
    assert names[:6] == ["edge"] * 3 + ["lesion"] * 3
    assert names[6:9] == ["mean over foreground classes"] * 3


def test_units_have_their_mean(make_tables: MakeTables) -> None:
    settings = ScoreSettings(bootstrap=20, batch_sizes=(1,), unit="patient")
    rows = further_rows(make_tables(12, settings=settings, groups={"patient": [f"p{k // 2}" for k in range(12)]}))
    assert all(row.per_unit is not None and 0 < row.per_unit.value < 1 for row in rows)
