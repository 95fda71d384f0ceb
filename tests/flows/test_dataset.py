import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig, load_config, parse_config
from segscale.flows.dataset import REPORT_COLUMNS, catalog_name, list_dataset, preparation, require_catalog
from segscale.storage import parts
from segscale.storage.catalog import COLUMNS, write_catalog
from segscale.storage.failures import Failure
from segscale.storage.objects import ObjectStore
from segscale.storage.shards import commit_shard
from segscale.tasks.counting import failed_rows
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report import Identity, Layout, build_tables, collect
from segscale.tasks.shard_plan import Preparation

FILES = {"name": "nuclei", "images": "images/*.png", "references": "masks/*.png"}
HEAD = "image_id,image,reference"


def _config(base: Path, dataset: dict[str, Any] | None = None, **sections: dict[str, Any]) -> EvaluationConfig:
    return parse_config({"dataset": FILES | (dataset or {})} | sections, base=base, source="config.toml")


def _of_manifest(folder: Path, text: str, dataset: dict[str, Any] | None = None, **sections: Any) -> EvaluationConfig:
    (folder / "m.csv").write_text(text)
    manifest = {"name": "nuclei", "manifest": "m.csv"} | (dataset or {})
    return parse_config({"dataset": manifest} | sections, base=folder, source="config.toml")


def _make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def _refusal(config: EvaluationConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        list_dataset(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_are_listed_with_their_partners(tmp_path: Path) -> None:
    _make(tmp_path, "images/b.png", "images/a.png", "masks/a.png", "masks/b.png", "p/b.npy")
    listing = list_dataset(_config(tmp_path, predictions={"path": "p"})).images
    assert list(listing["image_id"]) == ["a", "b"]
    assert [bool(url) for url in listing["prediction"]] == [False, True]


@pytest.mark.parametrize("folder", ["plain", "with space", "set [1]", "a*b"])
def test_the_folder_of_the_configuration_may_have_any_name(tmp_path: Path, folder: str) -> None:
    _make(tmp_path / folder, "images/a.png", "masks/a.png")
    (tmp_path / folder / "c.toml").write_text(
        '[dataset]\nname = "x"\nimages = "images/*.png"\nreferences = "masks/*.png"\n'
    )
    assert list(list_dataset(load_config(tmp_path / folder / "c.toml")).images["image_id"]) == ["a"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param([], "images/*.png: expected files, found none", id="no images"),
        pytest.param(["images/a.png"], "masks/*.png: expected files, found none", id="no references"),
        pytest.param(["images/a.png", "masks/a_mask.png"], "no common stem", id="other stems"),
    ],
)
def test_a_set_that_cannot_be_listed(tmp_path: Path, files: list[str], words: str) -> None:
    _make(tmp_path / "with space", *files)
    message = _refusal(_config(tmp_path / "with space"))
    assert message.startswith("dataset: ")
    assert words in message
    assert "%20" not in message


@pytest.mark.parametrize("layout", ["nnunet", "dicom"])
def test_layouts_that_are_not_built_are_refused(tmp_path: Path, layout: str) -> None:
    assert f"dataset.layout: '{layout}' is not built yet" in _refusal(_config(tmp_path, {"layout": layout}))


def test_a_manifest_with_predictions_by_stem(tmp_path: Path) -> None:
    _make(tmp_path, "p/2.npy", "p/extra.npy")
    config = _of_manifest(tmp_path, f"{HEAD},site\n2,a,b,x\n1,c,d,y\n", predictions={"path": "p/*.npy"})
    listing = list_dataset(config).images
    assert list(listing["image_id"]) == ["2", "1"]
    assert [bool(version) for version in listing["prediction_version"]] == [True, False]
    assert list(listing["site"]) == ["x", "y"]


def test_only_a_split_is_listed(tmp_path: Path) -> None:
    text = f"{HEAD},split\n1,a,b,test\n2,c,d,train\n"
    assert list(list_dataset(_of_manifest(tmp_path, text, {"split": "train"})).images["image_id"]) == ["2"]
    assert "no row has split 'val'" in _refusal(_of_manifest(tmp_path, text, {"split": "val"}))


@pytest.mark.parametrize(
    ("text", "sections", "words"),
    [
        pytest.param("image_id,image\n1,a\n", {}, "reference is missing", id="no references"),
        pytest.param(f"{HEAD}\n", {}, "dataset: ", id="no rows"),
        pytest.param(
            f"{HEAD},prediction\n1,a,b,c\n", {"predictions": {"path": "p"}}, "predictions.path", id="predictions twice"
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"predictions": {"path": "none/*.npy"}},
            "predictions.path: ",
            id="no file of predictions",
        ),
        pytest.param(
            f"{HEAD},site\n1,a,b,x\n",
            {"metrics": {"group_by": ["side"]}},
            "metrics.group_by: expected a column of the manifest ['site'], got 'side'",
            id="unknown group",
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"metrics": {"cluster_by": "patient_id"}},
            "metrics.cluster_by: expected a column of the manifest [], got 'patient_id'",
            id="unknown cluster",
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"metrics": {"cluster_by": "image_id"}},
            "metrics.cluster_by",
            id="a column that is no group",
        ),
    ],
)
def test_a_manifest_that_does_not_fit(tmp_path: Path, text: str, sections: dict[str, Any], words: str) -> None:
    assert words in _refusal(_of_manifest(tmp_path, text, **sections))


@pytest.mark.parametrize("column", ["dice", "status", "run_id", "shard", "row", "depth", "error"])
def test_a_group_that_would_hide_a_column_is_refused(tmp_path: Path, column: str) -> None:
    message = _refusal(_of_manifest(tmp_path, f"{HEAD},{column}\n1,a,b,x\n"))
    assert f"column {column!r} would collide" in message


def test_no_column_of_the_report_is_free() -> None:
    """`REPORT_COLUMNS` is written by hand; this holds it against a report."""
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    rows = failed_rows("a", "", 2, Failure("ingest", "E", "why"))
    entry = commit_shard(store, "score", "ab", arrays={}, rows=parts.encode_part(rows), facts={})
    catalog = pd.DataFrame({name: [""] for name in COLUMNS}).assign(image_id="a", depth=0, height=0, width=0)
    layout = Layout(("background", "lesion"), ("",), 0.5, 64)
    counted = collect(store, [entry], catalog, layout)
    tables = build_tables(counted, catalog, layout, ScoreSettings(bootstrap=0), Identity("r", "d", "m"))
    columns = tables.frames["per_image"].columns
    assert sorted(set(columns) - REPORT_COLUMNS) == []


def test_files_have_no_groups(tmp_path: Path) -> None:
    _make(tmp_path, "images/a.png", "masks/a.png")
    message = _refusal(_config(tmp_path, metrics={"group_by": ["site"]}))
    assert "metrics.group_by: expected a column of the manifest [], got 'site'" in message


def test_the_window_counts_only_where_it_is_used(tmp_path: Path) -> None:
    unit, other = (_config(tmp_path, {"window": [0.0, high]}) for high in (1.0, 80.0))
    assert preparation(unit) == preparation(other) == Preparation(2, (), -1, "unit", (0.0, 1.0))
    windowed = _config(tmp_path, {"window": [0.0, 80.0], "normalize": "window", "label_values": [0, 9]})
    assert preparation(windowed) == Preparation(2, (0, 9), -1, "window", (0.0, 80.0))


@pytest.mark.parametrize(
    ("dataset", "sections", "same"),
    [
        pytest.param({}, {"metrics": {"threshold": 0.7}}, True, id="metrics"),
        pytest.param({}, {"cluster": {"workers": 3}}, True, id="cluster"),
        pytest.param({}, {"model": {"path": "phantom"}}, True, id="model"),
        pytest.param({}, {"store": {"shard_images": 7}}, False, id="shards"),
        pytest.param({}, {"predictions": {"path": "p"}}, False, id="predictions"),
        pytest.param({"images": "other/*.png"}, {}, False, id="images"),
        pytest.param({"label_values": [0, 255]}, {}, False, id="label values"),
        pytest.param({"normalize": "zscore"}, {}, False, id="normalisation"),
    ],
)
def test_a_catalog_belongs_to_its_sources_and_preparation(
    tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], same: bool
) -> None:
    name = catalog_name(_config(tmp_path))
    assert name.startswith("nuclei-")
    assert (catalog_name(_config(tmp_path, dataset, **sections)) == name) is same


def test_a_catalog_that_was_never_written_is_asked_for(tmp_path: Path) -> None:
    config, store = _config(tmp_path), ObjectStore(f"memory://{uuid.uuid4().hex}")
    with pytest.raises(ConfigError, match=r"store\.path: memory://.* holds no catalog of 'nuclei'; run ingest first"):
        require_catalog(config, store)
    catalog = pd.DataFrame({name: ["x"] for name in COLUMNS})
    write_catalog(store, catalog_name(config), catalog)
    pd.testing.assert_frame_equal(require_catalog(config, store), catalog)
