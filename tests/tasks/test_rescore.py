import io
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.storage.reports import Report, encode_report_table
from segscale.tasks.counting import count_rows
from segscale.tasks.metrics.count_columns import COUNTS
from segscale.tasks.metrics.headline import headline as run_headline
from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.per_image import IS_REGION
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report import Identity, build_tables
from segscale.tasks.rescore import (
    Changes,
    Plan,
    at_threshold,
    headline,
    plan_rescore,
    rescore,
    without_torn_strata,
)
from segscale.tasks.run_counts import collect
from tests.tasks.made_counts import (
    catalog_of,
    commit_parts,
    layout_of,
    made_probabilities,
    made_reference,
    memory_store,
)

WRITE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "made_report.py"))["write_made_report"]
SETTINGS = ScoreSettings(batch_sizes=(1, 4), bootstrap=0, group_by=("site",), smooth=0.25)
COLUMNS = [
    "run_id", "image_id", "patient_id", "site", "class_index", "class_name", "head", "height", *COUNTS, "dice",
    "status",
]  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {"two": {"n_classes": 2}, "four": {"n_classes": 4, "heads": ("first", "last")}}


@pytest.fixture(scope="module", params=KINDS, ids=list(KINDS))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    made: Report = WRITE(folder, 14, settings=SETTINGS, failed_every=6, missing_every=5, **KINDS[request.param])
    return made


def _open(report: Report, **changes: Any) -> tuple[Plan, pd.DataFrame]:
    plan = plan_rescore(SETTINGS, 64, report.columns("per_image"), Changes(**changes))
    per_image = report.table("per_image", plan.per_image_columns)
    if plan.index is not None:
        per_image = at_threshold(per_image, report.table("thresholds", plan.thresholds_columns), plan.index)
    return plan, per_image


def _bytes(report: Report, table: pd.DataFrame) -> bytes:
    identity = {name: report.run()[name] for name in ("run_id", "dataset", "model")}
    return encode_report_table(pd.concat([pd.DataFrame(identity, index=table.index, dtype="str"), table], axis=1))


@pytest.mark.parametrize("table", ["per_sample", "batch_summed", "gap"])
def test_own_settings_give_the_runs_own_tables_byte_by_byte(report: Report, table: str) -> None:
    plan, per_image = _open(report)
    found = rescore(per_image, plan.settings)[table]
    assert _bytes(report, found) == report.store.read(f"{table}.parquet")


@pytest.mark.parametrize("table", ["per_sample", "batch_summed", "gap"])
def test_the_runs_own_threshold_gives_its_own_tables(report: Report, table: str) -> None:
    plan, per_image = _open(report, threshold=0.5)
    found = rescore(per_image, plan.settings)[table]
    is_binary = per_image["class_index"].nunique() == 2
    assert (_bytes(report, found) == report.store.read(f"{table}.parquet")) == is_binary, "argmax is no threshold"


@pytest.mark.parametrize("index", [1, 20, 63])
def test_counts_at_a_threshold_are_the_kept_ones(report: Report, index: int) -> None:
    plan, per_image = _open(report, threshold=index / 64)
    before, kept = report.table("per_image", plan.per_image_columns), report.table("thresholds")
    ok = per_image[per_image["status"] == "ok"]
    is_binary = per_image["class_index"].nunique() == 2
    own = ok[ok["class_index"] > 0] if is_binary else ok
    rows = kept[kept[f"predicted_{index:03d}"].notna()]
    assert own["true_positive"].tolist() == rows[f"true_positive_{index:03d}"].tolist()
    assert (own["true_positive"] + own["false_positive"]).tolist() == rows[f"predicted_{index:03d}"].tolist()
    assert (own["true_positive"] + own["false_negative"]).tolist() == own["reference_sum"].tolist()
    pd.testing.assert_frame_equal(
        per_image.drop(columns=["true_positive", "false_positive", "false_negative", "true_negative"]),
        before.drop(columns=["true_positive", "false_positive", "false_negative", "true_negative"]),
    )
    counts = ["true_positive", "false_positive", "false_negative", "true_negative"]
    assert (ok[counts].sum(axis=1) == 256 * 256).all()
    assert per_image[per_image["status"] == "failed"][counts].isna().all(axis=None)


def test_the_background_of_two_classes_is_what_is_not_foreground(report: Report) -> None:
    _, per_image = _open(report, threshold=0.75)
    if per_image["class_index"].nunique() > 2:
        pytest.skip("several classes")
    background, foreground = (per_image[per_image["class_index"] == index].reset_index() for index in (0, 1))
    for name, other in {"true_positive": "true_negative", "false_positive": "false_negative"}.items():
        pd.testing.assert_series_equal(background[name], foreground[other], check_names=False)
        pd.testing.assert_series_equal(background[other], foreground[name], check_names=False)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as the run"),
        pytest.param({"threshold": 0.25, "batch_sizes": (4,), "empty": "one"}, id="threshold, batches, empty"),
        pytest.param({"tversky_alpha": 1.0, "smooth": 1.0, "group_by": ("patient_id",)}, id="weights, strata"),
        pytest.param({"tversky_beta": 0.0, "group_by": ()}, id="one weight, no strata"),
    ],
)
def test_the_headline_is_that_of_the_tables(report: Report, changes: dict[str, Any]) -> None:
    plan, per_image = _open(report, **changes)
    tables = rescore(per_image, plan.settings)
    found = headline(per_image, plan.settings)
    assert set(found["stratum"]) == set(tables["per_sample"]["stratum"])
    for (stratum, head), rows in found.groupby(["stratum", "head"], sort=False):
        means, batches = (
            tables[name][tables[name]["stratum"] == stratum].assign(stratum="")
            for name in ("per_sample", "batch_summed")
        )
        expected = run_headline(means, batches, str(head))
        pd.testing.assert_frame_equal(
            rows.drop(columns=["stratum", "head", "n_failed", "n_missing"]).reset_index(drop=True),
            expected,
            check_exact=True,
        )


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        pytest.param({}, "batch_sizes", (1, 4), id="nothing changed"),
        pytest.param({"tversky_alpha": 0.5}, "tversky_beta", 0.7, id="the other weight stays"),
        pytest.param({"smooth": 0.0}, "smooth", 0.0, id="nought is a value"),
        pytest.param({"group_by": ("patient_id",)}, "group_by", ("patient_id",), id="strata replace the run's"),
    ],
)
def test_what_is_not_changed_stays(changes: dict[str, Any], field: str, value: object) -> None:
    plan = plan_rescore(SETTINGS, 64, COLUMNS, Changes(**changes))
    assert getattr(plan.settings, field) == value
    assert plan.index is None
    assert plan.thresholds_columns == ()


@pytest.mark.parametrize(
    ("changes", "group_by", "left_out"),
    [
        pytest.param({"unit": "site"}, ("site", "reference_volume:0,40"), ("patient_id",), id="torn"),
        pytest.param({"unit": "patient_id"}, ("patient_id", "site", "reference_volume:0,40"), (), id="whole"),
        pytest.param({"unit": "site", "group_by": ("patient_id",)}, ("patient_id",), (), id="strata asked for stay"),
        pytest.param({"unit": ""}, ("patient_id", "site", "reference_volume:0,40"), (), id="images alone"),
        pytest.param({"smooth": 1.0}, ("patient_id", "site", "reference_volume:0,40"), (), id="nothing about units"),
    ],
)
def test_strata_of_the_run_that_cut_a_unit_apart_are_left_out(
    report: Report, changes: dict[str, Any], group_by: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    own, changed = SETTINGS.changed(group_by=("patient_id", "site", "reference_volume:0,40")), Changes(**changes)
    plan = plan_rescore(own, None, report.columns("per_image"), changed)
    found = without_torn_strata(plan, changed, report.table("per_image", plan.per_image_columns))
    assert (found.settings.group_by, found.left_out) == (group_by, left_out)


def test_a_table_without_counts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"per_image: expected the columns of a report, got none called head, status"):
        plan_rescore(SETTINGS, 64, [name for name in COLUMNS if name not in ("head", "status")], Changes())


def test_only_what_is_needed_is_read() -> None:
    plan = plan_rescore(SETTINGS, 64, COLUMNS, Changes(threshold=0.25))
    assert plan.per_image_columns == (
        "image_id", "site", "class_index", "class_name", "head", *COUNTS, "status",
    )  # fmt: skip
    assert plan.thresholds_columns == (
        "image_id", "class_index", "head", "reference_sum", "true_positive_016", "predicted_016",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"threshold": 0.7}, r"nearest: 0\.6875 \(44/64\) and 0\.703125 \(45/64\)", id="a lost threshold"),
        pytest.param({"unit": "dice"}, r"unit: expected .* got 'dice'; there are patient_id, site", id="no unit"),
        pytest.param({"folds": "fold"}, r"folds: expected a group column .* got 'fold'", id="no folds"),
        pytest.param({"group_by": ("reference_volume:3,2",)}, "group_by: expected edges in pixels", id="no edges"),
        pytest.param({"group_by": ("status",)}, "group_by: .* 'status'; there are patient_id, site", id="no group"),
        pytest.param({"tversky_alpha": -1.0}, "tversky_alpha: expected a number greater", id="a weight below 0"),
        pytest.param({"smooth": float("nan")}, "smooth: expected a finite number", id="smooth that is no number"),
        pytest.param(
            {"batch_sizes": (0,)},
            "batch_sizes, value 1: expected a number greater than or equal to 1",
            id="batches of none",
        ),
        pytest.param({"empty": "two"}, 'empty: expected "nan", "one"', id="an unknown policy"),
    ],
)
def test_wrong_changes_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_rescore(SETTINGS, 64, COLUMNS, Changes(**changes))


def _thresholds(report: Report) -> pd.DataFrame:
    return report.table("thresholds")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda t: t.iloc[:-1], "expected the same images", id="an image less"),
        pytest.param(lambda t: t.iloc[::-1].reset_index(drop=True), "expected the same images", id="another order"),
        pytest.param(lambda t: t.assign(head="x"), "expected the same images", id="another head"),
        pytest.param(
            lambda t: t.assign(reference_sum=t["reference_sum"] + 1), "reference_sum differs", id="references"
        ),
        pytest.param(lambda t: t.assign(predicted_032=100_000), "more pixels than the image", id="too many pixels"),
        pytest.param(lambda t: t.assign(predicted_032=-1), "contradict each other", id="impossible counts"),
        pytest.param(
            lambda t: t.assign(true_positive_032=t["true_positive_032"].mask(t["image_id"] == "i0000003")),
            "come from label maps.*image i0000003",
            id="a label map among probabilities",
        ),
    ],
)
def test_tables_that_do_not_fit_are_refused(report: Report, spoil: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        at_threshold(report.table("per_image"), spoil(_thresholds(report)), 32)


def test_soft_scores_follow_the_weights_and_no_threshold(report: Report) -> None:
    plan, per_image = _open(report, threshold=0.25)
    assert plan.settings == SETTINGS
    own = report.table("per_sample")
    found = rescore(per_image, plan.settings)["per_sample"]
    # The empty policy looks at the hard masks, and at another threshold others are empty.
    always = found["stratum"].eq("") & found["metric"].eq("soft_dice") & found["n_both_empty"].eq(own["n_both_empty"])
    assert always.any()
    np.testing.assert_array_equal(found["mean"][always], own["mean"][always])
    swapped = plan.settings.changed(tversky_alpha=0.7, tversky_beta=0.3)
    changed = rescore(per_image, swapped)["per_sample"]
    differs = set(found["metric"][~np.isclose(found["mean"], changed["mean"], rtol=0, atol=0, equal_nan=True)])
    assert differs == {"tversky", "soft_tversky"}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("index", [13, 32])
def test_regions_at_a_threshold_are_those_of_their_summed_probability(n_classes: int, index: int) -> None:
    regions = ((1,), (0, n_classes - 1))[: n_classes - 1]
    layout = replace(layout_of(classes=tuple("abcd"[:n_classes])), regions=tuple("xy"[: len(regions)]))
    rows, references, summed = [], [], []
    for seed in range(3):
        reference, stored = made_reference(seed, n_classes), made_probabilities(seed, n_classes) / np.float32(n_classes)
        counts = count_overlap(reference, n_classes=n_classes, probabilities=stored, regions=regions)
        rows.append(count_rows(f"i{seed}", "last", counts))
        references.append(reference)
        channels = stored if n_classes > 2 else np.stack([1 - stored, stored], axis=-1)
        summed.append([channels[..., list(region)].sum(axis=-1, dtype=np.float64) for region in regions])
    store, catalog = memory_store(), catalog_of(3)
    frames = build_tables(
        collect(store, commit_parts(store, *rows), catalog, layout),
        catalog,
        layout,
        SETTINGS.changed(group_by=()),
        Identity("a", "b", "c"),
    ).frames
    per_image = at_threshold(frames["per_image"], frames["thresholds"], index)
    classes = per_image[~per_image[IS_REGION]]
    assert classes["threshold"].notna().all() == (n_classes == 2)
    if n_classes == 2:
        background, foreground = (classes[classes["class_index"] == one].reset_index() for one in (0, 1))
        assert background["true_positive"].tolist() == foreground["true_negative"].tolist()
    for seed in range(3):
        for place, region in enumerate(regions):
            of_image = per_image["image_id"].eq(f"i{seed}") & per_image["class_index"].eq(n_classes + place)
            (row,) = per_image[of_image].to_dict("records")
            held, found = np.isin(references[seed], region), summed[seed][place].astype(np.float32) >= index / 64
            assert row["class_name"] == "xy"[place]
            assert row["true_positive"] == np.count_nonzero(held & found)
            assert row["false_positive"] == np.count_nonzero(~held & found)
            assert row["true_negative"] == np.count_nonzero(~held & ~found)
    names = set(headline(per_image, SETTINGS.changed(group_by=()))["class"])
    over = {"all_macro", "all_micro", "all_channels_micro"} if n_classes > 2 else set()
    assert names == {*"bcd"[: n_classes - 1], *layout.regions, *over}


def test_a_report_of_label_maps_has_no_thresholds(tmp_path: Path) -> None:
    report: Report = WRITE(tmp_path, 6, settings=SETTINGS, label_maps=True)
    plan, per_image = _open(report, batch_sizes=(2,))
    assert "thresholds.parquet" not in report.run()["files"]
    found = rescore(per_image, plan.settings)["per_sample"]
    assert found.loc[found["metric"] == "soft_dice", "mean"].isna().all()
    assert pd.read_parquet(io.BytesIO(report.store.read("per_sample.parquet"))).shape[0] == len(found)
