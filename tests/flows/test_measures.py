"""Existing predictions measured: what stands in the tables, what is said of them, and what is made of the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.errors import ConfigError
from segscale.flows import page
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.report import RunResult, write_tables
from segscale.flows.reports.compare import compare_reports, describe
from segscale.flows.reports.diagnose import diagnose_report
from segscale.flows.reports.export import export
from segscale.flows.reports.library import rescore
from segscale.flows.reports.rescore import changes_of, open_rescoring
from segscale.flows.reports.rescore import describe as describe_rescoring
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.flows.shards.retry import Finished
from segscale.storage.reports import open_report
from segscale.tasks.lesions.lesions import lesions
from segscale.tasks.metrics.lesion_metrics import LESION_METRICS
from segscale.tasks.surfaces.distances import surface_distances
from tests.tasks.volumes import GEOMETRY, nifti

SPACING = (2.5, 0.8, 0.8)
N_IMAGES, EMPTY, MISSING = 6, 2, 4


class Bench:
    """Workers that work in this process, one shard after the other."""

    def stream(self, work: Callable[..., Any], jobs: Iterable[Any], *given: Any, **_: Any) -> Iterator[Any]:
        for job in jobs:
            yield Finished(job.key, work(job, *given), 1)


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn takes most of the time of a small run."""
    monkeypatch.setattr(page, "render", lambda *_: b"")


def label_map(seed: int) -> NDArray[np.uint8]:
    found = np.zeros((5, 16, 18), np.uint8)
    random = np.random.default_rng(seed)
    for value in (1, 2, 1):
        z, y, x = random.integers(0, (3, 11, 12))
        found[z : z + 2, y : y + 4, x : x + 5] = value
    return found


REFERENCES = {f"c{number}": label_map(number) * (number != EMPTY) for number in range(N_IMAGES)}
PREDICTIONS = {name: np.roll(values, (0, 1, 1), (0, 1, 2)) for name, values in REFERENCES.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six volumes, one without any structure, one without a prediction."""
    for role, files in (("masks", REFERENCES), ("ours", PREDICTIONS)):
        (tmp_path / role).mkdir()
        for name, values in files.items():
            if role == "masks" or name != f"c{MISSING}":
                np.save(tmp_path / role / f"{name}.npy", values)
    (tmp_path / "patients.csv").write_text("image_id,patient\n" + "".join(f"c{n},p{n // 2}\n" for n in range(N_IMAGES)))
    return tmp_path


def configured(folder: Path, metrics: dict[str, Any] | None = None, **dataset: Any) -> EvaluationConfig:
    of_set = {
        "name": "set", "references": "masks/*.npy", "classes": ["background", "a", "b"], "spacing_mm": list(SPACING),
        "columns": "patients.csv", **dataset,
    }  # fmt: skip
    document = {
        "dataset": {key: value for key, value in of_set.items() if value is not None},
        "predictions": {"path": "ours/*.npy", "kind": "labels"},
        "metrics": {"bootstrap": 20, "surface": True, "lesions": True, **(metrics or {})},
        "store": {"path": "store", "shard_images": 3},
        "report": {"path": "reports"},
    }
    return parse_config(document, base=folder, source="test")


def done(config: EvaluationConfig) -> RunResult:
    run = Run(config, workers=Bench())  # type: ignore[arg-type]
    return write_tables(run, [score_files(run)])


def table_of(result: RunResult, name: str) -> pd.DataFrame:
    return open_report(result.path).table(name)


def test_each_row_is_what_the_functions_say(folder: Path) -> None:
    result = done(configured(folder))
    surface = table_of(result, "surface").set_index(["image_id", "class_name"])
    counts = table_of(result, "lesion_counts").set_index(["image_id", "class_name"])
    assert len(surface) == len(counts) == 2 * N_IMAGES
    for name, reference in REFERENCES.items():
        for index, class_name in ((1, "a"), (2, "b")):
            row, of_lesions = surface.xs((name, class_name)), counts.xs((name, class_name))
            known = None if name == f"c{MISSING}" else PREDICTIONS[name] == index
            if known is None:
                assert (row["status"], row["prediction_missing"]) == ("failed", True)
                assert np.isnan(row["hd95"])
                expected = lesions(reference == index, None, SPACING)
                assert of_lesions["reference_lesions"] == expected.false_negative
                continue
            distances = surface_distances(reference == index, known, SPACING)
            assert row["hd95"] == pytest.approx(distances.hd95, nan_ok=True)
            assert row["nsd_2"] == pytest.approx(distances.nsd(2.0), nan_ok=True)
            found = lesions(reference == index, known, SPACING)
            assert of_lesions["true_positive"] == found.true_positive
            assert of_lesions["lesion_dice"] == pytest.approx(found.lesion_dice, nan_ok=True)


def test_a_run_without_has_other_tables_and_the_same_numbers(folder: Path) -> None:
    plain = done(configured(folder, {"surface": False, "lesions": False}))
    measured = done(configured(folder))
    assert plain.run_id != measured.run_id
    assert {path.name for path in Path(measured.path).glob("*.parquet")} - {
        path.name for path in Path(plain.path).glob("*.parquet")
    } == {"surface.parquet", "lesions.parquet", "lesion_counts.parquet"}
    one, other = (table_of(result, "per_image").drop(columns="run_id") for result in (plain, measured))
    pd.testing.assert_frame_equal(one, other)
    again = done(configured(folder))
    assert again.reused


def test_a_report_alone_scores_as_its_run(folder: Path) -> None:
    result = done(configured(folder, {"unit": "patient", "group_by": ["lesion_volume:0,60"]}))
    found = rescore(result.path)
    for name in ("per_sample", "batch_summed", "gap", "per_unit"):
        pd.testing.assert_frame_equal(found[name], table_of(result, name), check_dtype=False)
    others = rescore(result.path, nsd_tolerances=(0.8,), percentiles=(50.0,), missed_distance="nan", unit="")
    metrics = set(others["per_sample"]["metric"])
    assert {"nsd_0.8", "hd50", "hd50_pooled", "hd50_mean_directed", "hd95"} <= metrics


def test_what_a_report_cannot_tell_is_refused(folder: Path) -> None:
    plain = done(configured(folder, {"surface": False, "lesions": False}))
    with pytest.raises(ConfigError, match="measured no surfaces, of which other percentiles and tolerances are asked"):
        rescore(plain.path, percentiles=(50.0,))
    with pytest.raises(ConfigError, match=rf"{plain.path} counted none \(metrics\.lesions = true\)"):
        rescore(plain.path, group_by=("lesion_volume:0,10",))
    measured = done(configured(folder))
    with pytest.raises(ConfigError, match=rf"{plain.path} counted none"):
        compare_reports(measured.path, plain.path, ("lesion_volume:0,10",))


def test_two_runs_are_compared_by_what_both_measured(folder: Path) -> None:
    first = done(configured(folder))
    for name in REFERENCES:
        if name != f"c{MISSING}":
            np.save(folder / "ours" / f"{name}.npy", REFERENCES[name])
    second = done(configured(folder))
    found = compare_reports(first.path, second.path)
    rows = found.comparison.differences.query("class_name == 'a' and aggregation == 'per_sample'").set_index("metric")
    surface = table_of(first, "surface").query("class_name == 'a' and status == 'ok'")
    assert rows.loc["hd95", "value_b"] == 0
    assert rows.loc["hd95", "value_a"] == pytest.approx(surface["hd95"].mean())
    assert "pooled" not in set(found.comparison.differences.query("metric == 'hd95'")["aggregation"])
    changed = found.comparison.images.query("metric == 'hd95' and class_name == 'a'")
    assert changed["image_id"].iloc[0] == surface.sort_values("hd95", ascending=False)["image_id"].iloc[0]
    assert changed["pooled_effect"].isna().all()
    assert "hd95" in describe(found)
    other_rule = done(configured(folder, {"lesion_rule": "iou"}))
    left_out = compare_reports(second.path, other_rule.path).left_out
    assert len(left_out) == 1
    assert "lesion_rule = overlap in a" in left_out[0].replace("lesion_neighbours = 26, ", "").replace("by ", "")


def test_lesions_of_a_size_are_compared_as_each_run_scores_them(folder: Path) -> None:
    sizes = "lesion_volume:0,60"
    first = done(configured(folder, {"group_by": [sizes]}))
    for number, name in enumerate(REFERENCES):
        if name != f"c{MISSING}":
            np.save(
                folder / "ours" / f"{name}.npy", REFERENCES[name] if number % 2 else np.roll(PREDICTIONS[name], 6, 2)
            )
    second = done(configured(folder, {"group_by": [sizes]}))
    found = compare_reports(first.path, second.path, (sizes, "patient")).comparison
    of_sizes = found.differences[found.differences["stratum"].str.startswith("lesion_volume_mm3=")]
    assert set(of_sizes["metric"]) == {metric.name for metric in LESION_METRICS}
    assert set(of_sizes["aggregation"]) == {"per_sample", "pooled", "per_sample_missing", "pooled_missing"}
    own = [table_of(one, "batch_summed").query("pooled") for one in (first, second)]
    keys = ["stratum", "class_name", "metric"]
    pooled = of_sizes[(of_sizes["aggregation"] == "pooled") & (of_sizes["class_name"] != "all_macro")].set_index(keys)
    for side, table in zip("ab", own, strict=True):
        expected = table.set_index(keys)["mean"].reindex(pooled.index)
        assert expected.notna().any()
        np.testing.assert_allclose(pooled[f"value_{side}"], expected)
    # Holm's families are those of a stratum: nothing else changes for them.
    whole = compare_reports(first.path, second.path, ("patient",)).comparison
    pd.testing.assert_frame_equal(
        found.differences.drop(of_sizes.index).reset_index(drop=True), whole.differences, check_dtype=False
    )
    pd.testing.assert_frame_equal(found.images, whole.images)


@pytest.mark.parametrize(
    ("metrics", "dataset", "expected"),
    [
        pytest.param({"lesion_rule": "iou"}, {}, "lesions were counted by .* count those of one run again", id="rule"),
        pytest.param({}, {"spacing_mm": [5.0, 0.8, 0.8]}, "the same lesions have other sizes in .* c0 ", id="spacing"),
        pytest.param({}, {"spacing_mm": None}, "needs sizes in one unit, got volume_mm3 and voxels", id="none"),
    ],
)
def test_sizes_of_lesions_that_cannot_be_compared(
    folder: Path, metrics: dict[str, Any], dataset: dict[str, Any], expected: str
) -> None:
    one, other = done(configured(folder)), done(configured(folder, metrics, **dataset))
    with pytest.raises(ConfigError, match=expected):
        compare_reports(one.path, other.path, ("lesion_volume:0,60",))


@pytest.mark.parametrize(
    ("spacings", "first", "second"),
    [
        pytest.param((SPACING, (5.0, 0.8, 0.8)), "2.5 x 0.8 x 0.8", "5 x 0.8 x 0.8", id="one axis"),
        pytest.param(((1.0, 0.5, 1.0), (1.0, 0.5, 1.0 + 2**-9)), "1 x 0.5 x 1", "1 x 0.5 x 1.00195", id="by little"),
    ],
)
def test_distances_of_other_spacings_are_not_compared(
    folder: Path, spacings: tuple[Any, Any], first: str, second: str
) -> None:
    one, other = (done(configured(folder, spacing_mm=list(spacing))) for spacing in spacings)
    found = compare_reports(one.path, other.path)
    assert "hd95" not in set(found.comparison.differences["metric"])
    [said] = found.left_out
    assert said.startswith(
        f"{N_IMAGES} of {N_IMAGES} images have other spacings in a and b, e.g. c0 {first} mm and {second} mm, and"
    )
    assert said in describe(found)
    assert found.tables["left_out"]["reason"].tolist() == [said]


def test_a_square_image_whose_spacings_change_places(folder: Path) -> None:
    """Neither its diagonal nor the area of a pixel tells them apart."""
    for role in ("masks", "ours"):
        for path in (folder / role).iterdir():
            np.save(path, np.eye(16, dtype=np.uint8))
    one, other = (done(configured(folder, spacing_mm=[1.0, *sides])) for sides in ((1.0, 2.0), (2.0, 1.0)))
    found = compare_reports(one.path, other.path)
    assert "hd95" not in set(found.comparison.differences["metric"])
    assert "e.g. c0 1 x 1 x 2 mm and 1 x 2 x 1 mm" in found.left_out[0]


def test_no_tolerance_no_nsd(folder: Path) -> None:
    table = table_of(done(configured(folder, {"nsd_tolerances_mm": []})), "surface")
    assert not [name for name in table if str(name).startswith("nsd")]
    assert table["hd95"].notna().any()


def test_mm_and_pixels_together_have_no_mean(folder: Path) -> None:
    (folder / "masks" / "c0.npy").unlink()
    (folder / "ours" / "c0.npy").unlink()
    (folder / "masks" / "c0.nii.gz").write_bytes(nifti(REFERENCES["c0"], GEOMETRY))
    (folder / "ours" / "c0.nii.gz").write_bytes(nifti(PREDICTIONS["c0"], GEOMETRY))
    config = configured(folder, references="masks/*", spacing_mm=None)
    config = config.model_copy(
        update={"predictions": config.predictions.model_copy(update={"path": f"{folder}/ours/*"})}
    )
    result = done(config)
    assert set(table_of(result, "surface")["distance_unit"].dropna()) == {"mm", "px"}
    assert "hd95" not in set(table_of(result, "per_sample")["metric"])
    assert "mixed-distance-units" in [finding.signature for finding in result.findings]
    assert "mixed-distance-units" in [finding.signature for finding in diagnose_report(result.path)]


def test_instances_of_label_maps_are_lesions(folder: Path) -> None:
    instances = np.zeros((5, 16, 18), np.uint16)
    instances[1:3, 2:6, 2:6], instances[1:3, 6:9, 2:6] = 1, 700  # they touch
    for role in ("masks", "ours"):
        for path in (folder / role).iterdir():
            np.save(path, instances)
    keys: dict[str, Any] = {"classes": ["background", "lesion"], "foreground": "any"}
    counts = {}
    for asked in ("", "references", "both"):
        result = done(configured(folder, instances=asked, **keys))
        rows = table_of(result, "lesion_counts").query("status == 'ok'")
        counts[asked] = (
            rows[["reference_lesions", "true_positive", "false_positive"]].drop_duplicates().to_numpy().tolist()
        )
    assert counts == {"": [[1, 1, 0]], "references": [[2, 2, 0]], "both": [[2, 2, 0]]}


def test_it_is_exported_and_said_at_the_end(folder: Path, tmp_path: Path) -> None:
    result = done(configured(folder))
    files = export(result.path, folder=str(tmp_path / "csv")).files
    text = next(Path(name).read_text() for name in files if name.endswith("/surface.csv"))
    assert '"reference_bins"' in text.splitlines()[0]
    kept = describe_rescoring(open_rescoring(result.path, changes_of({"empty": "one"})))
    assert re.search(r"^ *a +hd95 +\d", kept, re.MULTILINE)
    assert "distances in mm" in kept
    assert "surface and lesions left out" not in kept
