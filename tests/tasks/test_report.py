import io
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from segscale.storage import parts
from segscale.storage.failures import Failure
from segscale.tasks.counting import failed_rows
from segscale.tasks.metrics.headline import headline
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report import Identity, build_tables
from segscale.tasks.run_counts import Layout, collect
from tests.tasks.made_counts import (
    Rows,
    catalog_of,
    commit_parts,
    layout_of,
    made_probabilities,
    made_reference,
    memory_store,
    rows_of,
    rows_of_failed,
    rows_of_labels,
)

IDENTITY = Identity("0a1b2c", "nuclei", "phantom")
SETTINGS = ScoreSettings(bootstrap=20, batch_sizes=(1, 2))
COUNT_COLUMNS = [
    "n_pixels", "n_ignored", "true_positive", "false_positive", "false_negative", "true_negative", "reference_sum",
]  # fmt: skip
SCORES = [
    "dice", "iou", "tversky", "soft_dice", "soft_dice_squared", "soft_tversky", "sensitivity", "precision",
    "specificity", "f_beta", "volume_difference",
]  # fmt: skip


def _build(catalog: pd.DataFrame, layout: Layout, *shards: Rows) -> dict[str, bytes]:
    store = memory_store()
    counted = collect(store, commit_parts(store, *shards), catalog, layout)
    return build_tables(counted, catalog, layout, SETTINGS, IDENTITY).encode()


def _read(files: Mapping[str, bytes], name: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(files[f"{name}.parquet"]))


@pytest.mark.parametrize("threshold_count", [2, 64, 256])
def test_thresholds_are_those_of_numpy_for_every_k(threshold_count: int) -> None:
    files = _build(catalog_of(3), layout_of(threshold_count=threshold_count), rows_of(1), rows_of(2) + rows_of(0))
    table = _read(files, "thresholds")
    assert table["image_id"].tolist() == ["i0", "i1", "i2"]
    assert set(table["class_index"]) == {1}
    assert len([name for name in table if str(name).startswith("predicted_")]) == threshold_count - 1
    for seed in range(3):
        foreground, values = made_reference(seed) == 1, made_probabilities(seed)
        assert table["reference_sum"][seed] == np.count_nonzero(foreground)
        for k in range(1, threshold_count):
            predicted = values >= np.float32(k / threshold_count)
            assert table[f"predicted_{k:03d}"][seed] == np.count_nonzero(predicted)
            assert table[f"true_positive_{k:03d}"][seed] == np.count_nonzero(predicted & foreground)


def test_thresholds_of_several_classes_are_each_against_the_rest() -> None:
    layout = layout_of(classes=("background", "liver", "tumour"), threshold_count=4)
    table = _read(_build(catalog_of(1), layout, rows_of(0, 3)), "thresholds")
    assert table["class_index"].tolist() == [0, 1, 2]
    for index in range(3):
        for k in range(1, 4):
            predicted = made_probabilities(0, 3)[..., index] >= k / 4
            assert table[f"predicted_{k:03d}"][index] == np.count_nonzero(predicted)
            hits = np.count_nonzero(predicted & (made_reference(0, 3) == index))
            assert table[f"true_positive_{k:03d}"][index] == hits


def test_label_maps_have_no_thresholds() -> None:
    files = _build(catalog_of(2), layout_of(("",)), rows_of_labels(0), rows_of_labels(1))
    assert "thresholds.parquet" not in files
    table = _read(files, "per_image")
    assert table["threshold"].isna().all()
    assert table["soft_dice"].isna().all()
    assert table["dice"].notna().all()


def test_label_maps_among_probabilities_have_null_thresholds() -> None:
    table = _read(_build(catalog_of(2), layout_of(), rows_of(0), rows_of_labels(1, "last")), "thresholds")
    assert table["predicted_001"].isna().tolist() == [False, True]
    assert table["reference_sum"][1] == np.count_nonzero(made_reference(1))


def test_more_pixels_than_a_threshold_holds_are_refused() -> None:
    rows = rows_of(0)
    rows[1]["histogram_background"] = [2**31, *[0] * (parts.BINS - 1)]
    _build(catalog_of(1), layout_of(), rows)  # in the lowest bin, below every threshold that is kept
    rows[1]["histogram_background"] = [0] * (parts.BINS - 1) + [2**31]
    with pytest.raises(ValueError, match="pixels above a threshold"):
        _build(catalog_of(1), layout_of(), rows)


def test_per_image_has_the_columns_of_the_contract() -> None:
    files = _build(catalog_of(1, patient_id=["p"], site=["s"]), layout_of(), rows_of(0))
    assert _read(files, "per_image").columns.tolist() == [
        "run_id", "dataset", "model", "image_id", "patient_id", "site", "class_index", "class_name", "head", "depth",
        "height", "width", "spacing_d_mm", "spacing_h_mm", "spacing_w_mm", "n_pixels", "n_ignored", "threshold",
        "true_positive", "false_positive", "false_negative", "true_negative",
        "soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum", "reference_sum",
        *SCORES, "empty", "gap_contribution_dice", "gap_contribution_tversky", "image_sha256", "reference_sha256",
        "prediction_sha256", "status", "error", "prediction_missing", "reference_pixels",
        "reference_volume_ml", "prediction_volume_ml",
    ]  # fmt: skip


@pytest.mark.parametrize("named", [0, 1, 3])
def test_without_images_their_hashes_are_null(named: int) -> None:
    """Of a set that names some, an empty text is the hash of a file that is not there."""
    catalog = catalog_of(3)
    catalog.loc[named:, ["image", "image_sha256"]] = ""
    files = _build(catalog, layout_of(), *map(rows_of, range(3)))
    table = _read(files, "per_image")
    assert table["image_sha256"].isna().all() == (named == 0)
    if named:
        assert table["image_sha256"].iloc[::2].to_list() == catalog["image_sha256"].to_list()
    schema = pq.read_schema(io.BytesIO(files["per_image.parquet"]))
    assert schema.field("image_sha256").type == schema.field("reference_sha256").type


def test_per_image_holds_the_counts() -> None:
    table = _read(_build(catalog_of(2), layout_of(), rows_of(1), rows_of(0)), "per_image")
    rows = rows_of(0) + rows_of(1)
    assert table["image_id"].tolist() == ["i0", "i0", "i1", "i1"]
    assert table["class_name"].tolist() == ["background", "lesion"] * 2
    for name in (*COUNT_COLUMNS, *parts.SOFT_SUMS):
        assert table[name].tolist() == [row[name] for row in rows]
    lesion = rows[1]
    errors = lesion["false_positive"] + lesion["false_negative"]
    assert table["dice"][1] == 2 * lesion["true_positive"] / (2 * lesion["true_positive"] + errors)
    assert table["threshold"].eq(0.5).all()


@pytest.mark.parametrize(
    "shards",
    [
        pytest.param([rows_of(0), rows_of(1), rows_of(2)], id="all sound"),
        pytest.param([rows_of(0), rows_of_failed(1), rows_of(2)], id="one failed"),
        pytest.param([rows_of_failed(0), rows_of_failed(1), rows_of_failed(2)], id="all failed"),
        pytest.param(
            [rows_of_labels(0, "last"), rows_of_labels(1, "last"), rows_of_labels(2, "last")], id="label maps"
        ),
    ],
)
def test_types_do_not_depend_on_what_failed(shards: list[Rows]) -> None:
    catalog = catalog_of(3, site=["x", "y", "z"])
    files = _build(catalog, layout_of(), *shards)
    table = _read(files, "per_image")
    assert {str(table[name].dtype) for name in [*COUNT_COLUMNS, "depth", "height", "width"]} == {"Int64"}
    assert {str(table[name].dtype) for name in (*SCORES, *parts.SOFT_SUMS, "threshold")} == {"float64"}
    indexed = {name: _read(files, name) for name in ("per_image", "per_sample", "batch_summed", "intervals", "gap")}
    assert {str(found["class_index"].dtype) for found in indexed.values()} == {"int64"}
    whole = _build(catalog, layout_of(), rows_of(0), rows_of(1), rows_of(2))
    for name in ("per_image", "per_sample", "batch_summed", "intervals", "gap"):
        assert _read(files, name).dtypes.to_dict() == _read(whole, name).dtypes.to_dict(), name


def test_types_of_the_failures_do_not_depend_on_their_number() -> None:
    none, one = (
        _read(_build(catalog_of(2), layout_of(), rows_of(0), rows), "failures")
        for rows in (rows_of(1), rows_of_failed(1))
    )
    assert none.empty
    assert none.dtypes.to_dict() == one.dtypes.to_dict()


def test_types_of_the_thresholds_do_not_depend_on_what_failed() -> None:
    whole = _read(_build(catalog_of(2), layout_of(), rows_of(0), rows_of(1)), "thresholds")
    failed = _read(_build(catalog_of(2), layout_of(), rows_of(0), rows_of_failed(1)), "thresholds")
    assert failed["reference_sum"].isna().tolist() == [False, True]
    assert failed.dtypes.to_dict() == whole.dtypes.to_dict()


def test_thresholds_are_stored_as_the_contract_says() -> None:
    files = _build(catalog_of(2), layout_of(threshold_count=4), rows_of(0), rows_of_failed(1))
    schema = pq.read_schema(io.BytesIO(files["thresholds.parquet"]))
    assert {str(schema.field(name).type) for name in ("class_index", "reference_sum")} == {"int64"}
    pairs = [f"{name}_{k:03d}" for k in (1, 2, 3) for name in ("true_positive", "predicted")]
    assert schema.names[-6:] == pairs
    assert {str(schema.field(name).type) for name in pairs} == {"int32"}


def test_a_failed_image_is_a_row_of_nulls() -> None:
    catalog = catalog_of(2)
    catalog.loc[1, ["depth", "height", "width"]] = 0
    files = _build(catalog, layout_of(), rows_of(0), rows_of_failed(1))
    table = _read(files, "per_image")
    failed = table[table["image_id"] == "i1"]
    assert len(failed) == 2
    assert failed[[*COUNT_COLUMNS, "depth", "height", "width"]].isna().all(axis=None)
    assert failed[SCORES].isna().all(axis=None)
    assert failed["error"].tolist() == ["i1.png: reason"] * 2
    assert failed["status"].tolist() == ["failed"] * 2
    (failure,) = _read(files, "failures").to_dict("records")
    assert failure == {
        **asdict(IDENTITY), "image_id": "i1", "source": "i1.png", "stage": "ingest", "error_type": "ValueError",
        "message": "i1.png: reason",
    }  # fmt: skip
    assert set(_read(files, "per_sample")["n_failed"]) == {1}


def test_an_image_without_a_prediction_keeps_its_reference() -> None:
    missing = failed_rows("i1", "last", 2, Failure("score", "MissingFile", "prediction: none"), [18, 12])
    files = _build(catalog_of(4), layout_of(), rows_of(0), missing, rows_of_failed(2), rows_of(3))
    table = _read(files, "per_image")
    assert str(table["prediction_missing"].dtype) == "boolean"
    assert table["prediction_missing"].tolist() == [False, False, True, True, *[False] * 4]
    assert table["reference_pixels"].isna().tolist() == [False] * 4 + [True] * 2 + [False] * 2
    assert table["reference_pixels"][2:4].tolist() == [18, 12]
    ok = table[table["status"] == "ok"]
    assert ok["reference_pixels"].tolist() == ok["reference_sum"].tolist()
    assert table[table["image_id"] == "i1"][COUNT_COLUMNS].isna().all(axis=None)
    lesion = ok[ok["class_index"] == 1]
    means, sums = (_read(files, name).query("class_name == 'lesion' and metric == 'dice'") for name in (
        "per_sample", "batch_summed"))  # fmt: skip
    assert (means["n_failed"].item(), means["n_missing"].item()) == (2, 1)
    assert means["mean_missing_as_zero"].item() == pytest.approx(lesion["dice"].sum() / 3)
    hits = 2 * lesion["true_positive"].sum()
    errors = lesion["false_positive"].sum() + lesion["false_negative"].sum()
    pooled = sums[sums["pooled"]]
    assert pooled["pooled_missing_as_missed"].item() == pytest.approx(hits / (hits + errors + 12))
    assert {"per_sample_missing", "pooled_missing"} < set(_read(files, "intervals")["aggregation"])


def test_a_failure_is_listed_once_whatever_the_heads_and_classes() -> None:
    heads = ("first", "last")
    files = _build(
        catalog_of(3),
        layout_of(heads),
        rows_of_failed(0, heads=heads),
        rows_of(1, heads=heads),
        rows_of_failed(2, 2, heads),
    )
    assert _read(files, "failures")["image_id"].tolist() == ["i0", "i2"]


def test_every_table_says_what_it_is_of() -> None:
    files = _build(catalog_of(2), layout_of(), rows_of(0), rows_of_failed(1))
    assert sorted(files) == [
        f"{name}.parquet"
        for name in ("batch_summed", "failures", "gap", "intervals", "per_image", "per_sample", "thresholds")
    ]
    for name, data in files.items():
        schema = pq.read_schema(io.BytesIO(data))
        assert schema.metadata[b"schema_version"] == b"4", name
        assert schema.names[:3] == ["run_id", "dataset", "model"], name
        table = pd.read_parquet(io.BytesIO(data))
        assert table[["run_id", "dataset", "model"]].drop_duplicates().to_numpy().tolist() == [
            [*asdict(IDENTITY).values()]
        ]


def test_equal_runs_are_equal_bytes_however_they_were_cut() -> None:
    rows = [rows_of(0), rows_of_failed(1), rows_of(2), rows_of(3)]
    catalog = catalog_of(4, site=["x", None, "x", "y"])
    whole = [row for image in rows for row in image]
    first = _build(catalog, layout_of(), *rows)
    assert _build(catalog, layout_of(), *rows) == first
    assert _build(catalog, layout_of(), *rows[::-1]) == first
    assert _build(catalog, layout_of(), whole[3:], whole[:3]) == first


def test_the_index_of_the_catalog_is_no_part_of_a_report() -> None:
    catalog = catalog_of(2, site=["x", "y"])
    shards = [rows_of(0), rows_of_failed(1)]
    assert _build(catalog.set_axis(pd.Index([5, 2])), layout_of(), *shards) == _build(catalog, layout_of(), *shards)


def test_the_headline_puts_the_averages_side_by_side() -> None:
    files = _build(catalog_of(3), layout_of(("a", "b")), *(rows_of(seed, heads=("a", "b")) for seed in range(3)))
    table = headline(_read(files, "per_sample"), _read(files, "batch_summed"), "b")
    assert table.columns.tolist() == [
        "class", "metric", "per-sample", "failed as 0", "missing as 0", "batch 1", "batch 2", "pooled",
        "pooled, missed",
    ]  # fmt: skip
    assert set(table["metric"]) == {"dice", "tversky"}
    lesion = table[(table["class"] == "lesion") & (table["metric"] == "dice")]
    assert len(lesion) == 1
    rows = [rows_of(seed)[1] for seed in range(3)]
    weights = [2 * row["true_positive"] + row["false_positive"] + row["false_negative"] for row in rows]
    each = [2 * row["true_positive"] / weight for row, weight in zip(rows, weights, strict=True)]
    assert lesion["per-sample"].item() == pytest.approx(sum(each) / 3, rel=1e-12)
    assert lesion["batch 1"].item() == pytest.approx(sum(each) / 3, rel=1e-12)
    pooled = sum(2 * row["true_positive"] for row in rows) / sum(weights)
    assert lesion["pooled"].item() == pytest.approx(pooled, rel=1e-12)
