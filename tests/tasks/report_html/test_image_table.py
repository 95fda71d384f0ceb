from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.report_html import image_table as module
from segscale.tasks.report_html.image_table import image_table

MakeTables = Callable[..., dict[str, pd.DataFrame]]


def test_sound_images_have_a_row_for_each_class_and_failed_ones_one(make_tables: MakeTables) -> None:
    tables = make_tables(12, classes=("background", "edge", "lesion"), failed=(2,), missing=(7,))
    table = image_table(tables, "last")
    assert len(table.rows) == 10 * 2 + 2
    assert table.words == ""
    assert table.classes == ("edge", "lesion")
    of_image = {name: [row for row in table.rows if row.image_id == name] for name in ("image2", "image7", "image8")}
    assert [(row.class_name, row.state) for row in of_image["image2"]] == [("", "failed")]
    assert [(row.class_name, row.state) for row in of_image["image7"]] == [("", "no prediction")]
    (expected,) = tables["per_image"].query("image_id == 'image8' and class_name == 'lesion'").to_dict("records")
    row = of_image["image8"][1]
    assert row.scores == (expected["dice"], expected["iou"], expected["sensitivity"], expected["precision"])
    assert row.predicted_pixels == expected["true_positive"] + expected["false_positive"]
    assert (row.reference_pixels, row.contribution) == (expected["reference_sum"], expected["gap_contribution_dice"])


def test_what_scores_0_or_nothing_is_told_apart(make_tables: MakeTables) -> None:
    per_image = make_tables(3)["per_image"]
    per_image["dice"] = [0.5, 0.0, 0.5, np.nan, 0.5, 0.5]
    assert image_table({"per_image": per_image}, "last").states == ("Dice 0", "nothing to score", "scored")


def test_columns_of_groups_stand_in_the_table() -> None:
    counts = dict.fromkeys(("true_positive", "false_positive", "reference_pixels"), 1)
    scores = dict.fromkeys((*module.SCORES, "gap_contribution_dice"), 0.5)
    per_image = pd.DataFrame(
        {"image_id": ["a", "b"], "site": ["x", None], "age": [7, 8], "class_index": 1, "class_name": "l", "head": "",
         "status": "ok", "prediction_missing": False, **counts, **scores}
    )  # fmt: skip
    table = image_table({"per_image": per_image}, "")
    assert table.groups == ("site", "age")
    assert [row.groups for row in table.rows] == [("x", "7"), ("", "8")]


def test_of_many_images_the_extremes_and_a_sample_are_kept(
    make_tables: MakeTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 60)
    monkeypatch.setattr(module, "MAX_FAILED", 5)
    per_image = make_tables(200, failed=range(20))["per_image"]
    table = image_table({"per_image": per_image}, "last")
    lesion = per_image[(per_image["class_index"] == 1) & (per_image["status"] == "ok")]
    extremes = {
        *lesion.nsmallest(10, "dice")["image_id"],
        *lesion.nlargest(10, "dice")["image_id"],
        *lesion.loc[lesion["gap_contribution_dice"].abs().nlargest(10).index, "image_id"],
        *(f"image{place}" for place in range(5)),
    }
    held = [row.image_id for row in table.rows]
    assert len(held) == len(set(held)) == 60
    assert extremes <= set(held)
    assert held == [name for name in per_image["image_id"].unique() if name in set(held)]
    assert table.words.startswith(
        "Of 200 rows this table holds 60: of each class the 10 lowest and the 10 highest Dice"
    )
    assert "5 of 20 failed images" in table.words
    assert f"a random sample of {60 - len(extremes)} of the rest (seed 0)" in table.words
    assert repr(image_table({"per_image": per_image}, "last")) == repr(table)


def test_a_run_whose_images_all_failed_has_a_row_for_each(make_tables: MakeTables) -> None:
    table = image_table(make_tables(3, failed=(0, 1, 2)), "last")
    assert [row.state for row in table.rows] == ["failed"] * 3


def test_distances_and_lesions_stand_beside_the_pixels_where_they_were_measured(make_tables: MakeTables) -> None:
    tables = make_tables(4, failed=(1,))
    keys = {"class_index": 1, "head": "last"}
    surface = pd.DataFrame(
        {"image_id": [f"image{place}" for place in (3, 1, 0)], **keys, "distance_unit": "mm", "assd": 0.5}
    ).assign(hd95=[3.5, np.nan, 1.25])
    lesions = pd.DataFrame({"image_id": [f"image{place}" for place in range(4)], **keys}).assign(
        lesion_f1=[0.5, np.nan, np.nan, 1.0], lesion_sensitivity=0.25, lesion_precision=0.75
    )
    table = image_table({**tables, "surface": surface, "lesion_counts": lesions}, "last")
    assert table.distances == ("HD95 (mm)", "ASSD (mm)")
    assert table.lesion_scores == ("lesion F1", "lesion sensitivity", "lesion precision")
    by_name = {row.image_id: row for row in table.rows}
    assert by_name["image0"].distances == (1.25, 0.5)
    assert by_name["image3"].distances == (3.5, 0.5)
    assert np.isnan(by_name["image2"].distances).all(), "an image without a row there"
    assert by_name["image3"].lesion_scores == (1.0, 0.25, 0.75)
    assert np.isnan(by_name["image1"].lesion_scores[0])
    plain = image_table(tables, "last")
    assert (plain.distances, plain.lesion_scores) == ((), ())
    assert {row.distances + row.lesion_scores for row in plain.rows} == {()}
