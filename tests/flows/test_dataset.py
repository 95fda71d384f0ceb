import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig, load_config, parse_config
from segscale.flows.dataset import (
    REPORT_COLUMNS,
    catalog_name,
    list_dataset,
    names_images,
    preparation,
    require_catalog,
)
from segscale.storage import parts
from segscale.storage.catalog import COLUMNS, SPACING, write_catalog
from segscale.storage.failures import Failure
from segscale.storage.objects import ObjectStore
from segscale.storage.pairing import RoleSummary
from segscale.storage.shards import commit_shard
from segscale.tasks.counting import failed_rows
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report import Identity, build_tables
from segscale.tasks.run_counts import Layout, collect
from segscale.tasks.shard_plan import Preparation
from tests.storage.made_files import make

FILES = {"name": "nuclei", "images": "images/*.png", "references": "masks/*.png"}
HEAD = "image_id,image,reference"


def _config(base: Path, dataset: dict[str, Any] | None = None, **sections: dict[str, Any]) -> EvaluationConfig:
    return parse_config({"dataset": FILES | (dataset or {})} | sections, base=base, source="config.toml")


def _of_manifest(folder: Path, text: str, dataset: dict[str, Any] | None = None, **sections: Any) -> EvaluationConfig:
    (folder / "m.csv").write_text(text)
    manifest = {"name": "nuclei", "manifest": "m.csv"} | (dataset or {})
    return parse_config({"dataset": manifest} | sections, base=folder, source="config.toml")


def _refusal(config: EvaluationConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        list_dataset(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_are_listed_with_their_partners(tmp_path: Path) -> None:
    make(tmp_path, "images/b.png", "images/a.png", "masks/a.png", "masks/b.png", "p/b.npy")
    listing = list_dataset(_config(tmp_path, predictions={"path": "p"})).images
    assert list(listing["image_id"]) == ["a", "b"]
    assert [bool(url) for url in listing["prediction"]] == [False, True]


@pytest.mark.parametrize("folder", ["plain", "with space", "set [1]", "a*b", "run[12]", "a::b", "50%#1", "{site}"])
@pytest.mark.parametrize("ending", ["", "/*.png"])
def test_the_folder_of_the_configuration_may_have_any_name(tmp_path: Path, folder: str, ending: str) -> None:
    make(tmp_path, f"{folder}/images/a.png", f"{folder}/masks/a.png", "run1/images/a.png", "axb/masks/a.png")
    (tmp_path / folder / "c.toml").write_text(
        f'[dataset]\nname = "x"\nimages = "images{ending}"\nreferences = "masks{ending}"\n'
    )
    assert list(list_dataset(load_config(tmp_path / folder / "c.toml")).images["image_id"]) == ["a"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param([], ("dataset.images: ", "images/*.png: expected files, found none"), id="no images"),
        pytest.param(
            ["images/a.png"], ("dataset.references: ", "masks/*.png: expected files, found none"), id="no references"
        ),
        pytest.param(["images/a.png", "masks/x.png"], ("dataset.references: ", "no common stem"), id="other stems"),
        pytest.param(
            ["images/a.png", "masks/a.png", "p/a.txt"], ("predictions.path: ", "p holds 1 file (1 .txt)"), id="endings"
        ),
    ],
)
def test_a_set_that_cannot_be_listed(tmp_path: Path, files: list[str], words: tuple[str, str]) -> None:
    """The key is named, and what is there instead."""
    make(tmp_path / "with space", *files)
    message = _refusal(_config(tmp_path / "with space", predictions={"path": "p/*.npy"}))
    assert message.startswith(words[0])
    assert words[1] in message
    assert "%20" not in message


def test_folders_are_images_where_a_pattern_ends_with_a_slash(tmp_path: Path) -> None:
    """Of a series the folder is called as the label map is; its name has no suffix, whatever dots are in it."""
    make(tmp_path, "ct/p.1/a.dcm", "ct/p.1/b.dcm", "ct/p.2/a.dcm", "masks/p.1.png", "masks/p.2.png")
    for pattern in ("ct/*/", "ct/{id}/"):
        listing = list_dataset(_config(tmp_path, {"images": pattern})).images
        assert list(listing["image_id"]) == ["p.1", "p.2"]
        assert list(listing["image"]) == [f"file://{tmp_path}/ct/p.1/", f"file://{tmp_path}/ct/p.2/"]


@pytest.mark.parametrize("header", ["a.mhd", "a.nhdr", "a.hdr"])
def test_voxels_beside_a_header_are_no_files_of_their_own(tmp_path: Path, header: str) -> None:
    make(tmp_path, f"masks/{header}", "masks/a.raw", f"p/{header}", "p/a.zraw")
    listing = list_dataset(_config(tmp_path, {"images": "", "references": "masks"}, predictions={"path": "p"}))
    assert list(listing.images["reference"]) == [f"file://{tmp_path}/masks/{header}"]
    assert [(note.text, note.warns) for note in listing.notes] == [
        ("references: 1 file of voxels read with the header beside it: a.raw", False),
        ("predictions: 1 file of voxels read with the header beside it: a.zraw", False),
    ]


def test_without_images_the_set_is_the_references(tmp_path: Path) -> None:
    """Existing predictions need none: the columns of images are there, and empty."""
    make(tmp_path, "masks/b.png", "masks/a.png", "p/b.npy", "p/z.npy")
    listing = list_dataset(_config(tmp_path, {"images": ""}, predictions={"path": "p"}))
    columns = ["image_id", "image", "image_version", "reference", "reference_version", "prediction"]
    assert list(listing.images) == [*columns, "prediction_version"]
    assert list(listing.images["image_id"]) == ["a", "b"]
    assert set(listing.images["image"]) | set(listing.images["image_version"]) == {""}
    assert [bool(url) for url in listing.images["prediction"]] == [False, True]
    assert [note.text for note in listing.notes] == [
        "predictions: 1 reference has none: a",
        "predictions: 1 has no reference: z.npy",
    ]
    assert listing.roles == (
        RoleSummary("reference", str(tmp_path / "masks/*.png"), 2),
        RoleSummary("prediction", str(tmp_path / "p"), 1, 1, ("a",), 1, ("z.npy",)),
    )


@pytest.mark.parametrize(
    ("header", "cells", "predictions", "names_any"),
    [
        pytest.param("image_id,reference,prediction", "1,b,c", {}, False, id="a column of predictions"),
        pytest.param("image_id,reference", "1,b", {"path": "p"}, False, id="predictions by their names"),
        pytest.param("image_id,image,reference,prediction", "1,,b,c", {}, False, id="a column without a name in it"),
        pytest.param("image_id,image,reference,prediction", "1,a,b,c", {}, True, id="images are named"),
    ],
)
def test_a_manifest_without_images(
    tmp_path: Path, header: str, cells: str, predictions: dict[str, str], names_any: bool
) -> None:
    make(tmp_path, "a", "b", "c", "p/1.npy")
    listing = list_dataset(_of_manifest(tmp_path, f"{header}\n{cells}\n", predictions=predictions))
    assert names_images(listing.images) is names_any
    assert list(listing.images["image"] != "") == list(listing.images["image_version"] != "") == [names_any]
    assert [role.role for role in listing.roles] == [*["image"][: int(names_any)], "reference", "prediction"]
    assert listing.roles[-1].n_paired == 1


@pytest.mark.parametrize(
    ("header", "sections", "words"),
    [
        pytest.param("image_id,reference", {}, "image and prediction are missing", id="nothing to score"),
        pytest.param(
            "image_id,reference,prediction",
            {"model": {"path": "phantom"}},
            "model.path: a network sees images, and the manifest names none",
            id="a network",
        ),
    ],
)
def test_images_that_are_needed(tmp_path: Path, header: str, sections: dict[str, Any], words: str) -> None:
    make(tmp_path, "b", "c")
    assert words in _refusal(_of_manifest(tmp_path, f"{header}\n1,b{',c' * (header.count(',') - 1)}\n", **sections))


def test_fields_of_patterns_are_groups(tmp_path: Path) -> None:
    make(tmp_path, "masks/a/p1_1.png", "masks/b/p2_2.png", "p/fold3/1.npy")
    references = "masks/{site}/{patient}_{id}.png"
    config = _config(
        tmp_path, {"images": "", "references": references}, predictions={"path": "p/{fold}/{id}.npy"},
        metrics={"group_by": ["site"], "cluster_by": "patient"},
    )  # fmt: skip
    images = list_dataset(config).images
    assert list(images)[-3:] == ["site", "patient", "fold"], "behind what names files"
    assert images[["image_id", "site", "patient"]].to_numpy().tolist() == [["1", "a", "p1"], ["2", "b", "p2"]]
    assert images["fold"].fillna("none").tolist() == ["fold3", "none"]


@pytest.mark.parametrize(
    ("references", "words"),
    [
        pytest.param("masks/{dice}_{id}.png", "the field {dice} would collide", id="a column of the report"),
        pytest.param("masks/{image}_{id}.png", "the field {image} would collide", id="a column of manifests"),
        pytest.param("masks/{image_id}.png", "the field {image_id} would collide", id="the id's column"),
        pytest.param("masks/{site}{id}.png", "expected letters between {site} and {id}", id="neighbours"),
        pytest.param("masks/{site}_{id}.png", "a_b_c.png can be read in two ways", id="two readings"),
    ],
)
def test_fields_that_are_refused(tmp_path: Path, references: str, words: str) -> None:
    make(tmp_path, "masks/a_b_c.png", "p/1.npy")
    config = _config(tmp_path, {"images": "", "references": references}, predictions={"path": "p"})
    message = _refusal(config)
    assert message.startswith("dataset.references: ")
    assert words in message


def test_a_name_between_braces_that_is_none_is_refused_by_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset.references: .*\{png,tif\}.*a brace that is part of a name"):
        _config(tmp_path, {"references": "masks/*.{png,tif}"})


def test_columns_of_a_table_are_groups(tmp_path: Path) -> None:
    make(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    (tmp_path / "t.csv").write_text("id;site;age\na;x;3,5\nz;y;4\n")
    listing = list_dataset(_config(tmp_path, {"columns": "t.csv"}, metrics={"group_by": ["site"]}))
    assert listing.images["site"].fillna("none").tolist() == ["x", "none"]
    assert listing.images["age"].fillna("none").tolist() == ["3,5", "none"]
    assert [note.text for note in listing.notes] == [
        "table: 1 image has no row, and no values: b",
        "table: 1 row is of no image of the set: z",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "dataset.columns: ", id="no table"),
        pytest.param("id,dice\na,1\n", "dataset.columns: .*column 'dice' would collide", id="a column of the report"),
        pytest.param("id,x\nq,1\n", "dataset.columns: .*images are called a, in the table q", id="no image of it"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, text: str | None, words: str) -> None:
    make(tmp_path, "images/a.png", "masks/a.png")
    if text:
        (tmp_path / "t.csv").write_text(text)
    assert re.match(words, _refusal(_config(tmp_path, {"columns": "t.csv"})))


def test_columns_beside_a_manifest_must_be_others(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    (tmp_path / "t.csv").write_text("id,site\n1,x\n")
    config = _of_manifest(tmp_path, f"{HEAD},site\n1,a,b,y\n", {"columns": "t.csv"})
    assert "column 'site' would collide with a column of the listing" in _refusal(config)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        pytest.param(["images/p_0000.png", "masks/p.png", "p/p.npy"], ["p"], id="the reference says the id"),
        pytest.param(["images/p.png", "masks/p_mask.png", "p/p_pred.npy"], ["p"], id="each its own suffix"),
        pytest.param(["images/p_0000.png", "masks/p_0000.png", "p/p.npy"], ["p_0000"], id="predictions change no id"),
        pytest.param(["images/p_0000.png", "masks/p.png", "p/p_0000.npy"], ["p"], id="predictions called as images"),
    ],
)
def test_ids_of_three_roles(tmp_path: Path, names: list[str], ids: list[str]) -> None:
    make(tmp_path, *names, *(name.replace("/p", "/q") for name in names))
    images = list_dataset(_config(tmp_path, predictions={"path": "p"})).images
    assert list(images["image_id"]) == [*ids, *(one.replace("p", "q") for one in ids)]
    assert (images["prediction"] != "").all()


def test_what_the_names_say_is_told_of_each_role(tmp_path: Path) -> None:
    make(tmp_path, "masks/a_mask.png", "masks/b_mask.png", "p/a_pred.npy", "p/b_pred.npy")
    listing = list_dataset(_config(tmp_path, {"images": ""}, predictions={"path": "p"}))
    assert [(role.role, role.naming, role.n_paired) for role in listing.roles] == [
        ("reference", "{id}_mask", 2),
        ("prediction", "{id}_pred", 2),
    ]


def test_a_manifest_with_predictions_by_stem(tmp_path: Path) -> None:
    make(tmp_path, "p/2.npy", "p/extra.npy")
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
        pytest.param(f"{HEAD}\n", {}, "dataset.manifest: ", id="no rows"),
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
            "a field of a pattern, got 'side'; there is site",
            id="unknown group",
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"metrics": {"cluster_by": "patient_id"}},
            "metrics.cluster_by: expected a column of the manifest",
            id="unknown cluster",
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"metrics": {"cluster_by": "image_id"}},
            "metrics.cluster_by",
            id="a column that is no group",
        ),
        pytest.param(
            f"{HEAD},site\n1,a,b,x\n",
            {"metrics": {"unit": "patient"}},
            "a field of a pattern, got 'patient'; there is site",
            id="unknown unit",
        ),
        pytest.param(
            f"{HEAD}\n1,a,b\n",
            {"metrics": {"folds": "fold", "group_by": ["reference_volume:0,9"]}},
            "a field of a pattern, got 'fold'; there are none",
            id="unknown folds, and sizes that are no column",
        ),
        pytest.param(
            f"{HEAD},patient\n1,a,b,p\n2,c,d,\n",
            {"metrics": {"unit": "patient"}},
            "metrics.unit: expected a value of patient for every image, got none for 1 image (2)",
            id="an image of no unit",
        ),
        pytest.param(
            f"{HEAD},patient,site\n1,a,b,p,x\n2,c,d,p,y\n",
            {"metrics": {"unit": "patient", "group_by": ["site"], "cluster_by": "site"}},
            "in one site (metrics.group_by, cluster_by), got patient 'p' in 2: x, y",
            id="a unit in two strata",
        ),
        pytest.param(
            f"{HEAD},fold\n1,a,b,1\n2,c,d,\n",
            {"metrics": {"folds": "fold"}},
            "metrics.folds: expected a value of fold for every image, got none for 1 image (2)",
            id="an image of no fold",
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
    catalog = pd.DataFrame({name: [""] for name in COLUMNS}).assign(
        image_id="a", depth=0, height=0, width=0, **dict.fromkeys(SPACING, np.nan)
    )
    layout = Layout(("background", "lesion"), ("",), 0.5, 64)
    counted = collect(store, [entry], catalog, layout)
    tables = build_tables(counted, catalog, layout, ScoreSettings(bootstrap=0), Identity("r", "d", "m"))
    columns = tables.frames["per_image"].columns
    assert sorted(set(columns) - REPORT_COLUMNS) == []


def test_files_have_no_groups(tmp_path: Path) -> None:
    make(tmp_path, "images/a.png", "masks/a.png")
    message = _refusal(_config(tmp_path, metrics={"group_by": ["site"]}))
    assert message.startswith("metrics.group_by: expected a column of the manifest or of dataset.columns")
    assert message.endswith("got 'site'; there are none")


def test_the_window_counts_only_where_it_is_used(tmp_path: Path) -> None:
    unit, other = (_config(tmp_path, {"window": [0.0, high]}) for high in (1.0, 80.0))
    assert preparation(unit) == preparation(other) == Preparation(2, (), None, "unit", (0.0, 1.0))
    scaled = _config(tmp_path, {"full_scale": 4095})
    assert preparation(scaled) == Preparation(2, (), None, "unit", (0.0, 1.0), 4095.0)
    windowed = _config(tmp_path, {"window": [0.0, 80.0], "normalize": "window", "label_values": [0, 9]})
    assert preparation(windowed) == Preparation(2, (0, 9), None, "window", (0.0, 80.0))


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
    name = catalog_name(_config(tmp_path), scored=False)
    assert name.startswith("nuclei-")
    assert (catalog_name(_config(tmp_path, dataset, **sections), scored=False) == name) is same


def test_a_catalog_that_was_never_written_is_asked_for(tmp_path: Path) -> None:
    config, store = _config(tmp_path), ObjectStore(f"memory://{uuid.uuid4().hex}")
    with pytest.raises(ConfigError, match=r"store\.path: memory://.* holds no catalog of 'nuclei'; run ingest first"):
        require_catalog(config, store, scored=False)
    catalog = pd.DataFrame({name: ["x"] for name in COLUMNS})
    write_catalog(store, catalog_name(config, scored=False), catalog)
    pd.testing.assert_frame_equal(require_catalog(config, store, scored=False), catalog)


def _said(config: EvaluationConfig) -> list[str]:
    return [note.text for note in list_dataset(config).notes]


def test_what_is_left_out_of_each_role_is_said(tmp_path: Path) -> None:
    make(tmp_path, "images/a.png", "images/b.png", "images/.c.png", "masks/a.PNG", "masks/d.png", "p/a.npy", "p/B.npy")
    assert _said(_config(tmp_path, predictions={"path": "p"})) == [
        "images: 1 hidden name left out: .c.png",
        "references: 1 image has none: b",
        "references: 1 has no image: d.png",
        "predictions: 1 image has none: b (there is B.npy)",
        "predictions: 1 has no image: B.npy",
    ]


def test_predictions_beside_a_manifest_are_said_as_well(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "p/1.npy", "p/2.npy", "p/Thumbs.db")
    config = _of_manifest(tmp_path, f"{HEAD}\n1,a.png,b.png\n", predictions={"path": "p"})
    assert _said(config) == [
        "predictions: 1 name of the operating system left out: Thumbs.db",
        "predictions: 1 has no image: 2.npy",
    ]


@pytest.mark.parametrize("names", [("a", "A"), ("Case_1", "case_1")])
def test_names_equal_but_for_case_are_said(tmp_path: Path, names: tuple[str, str]) -> None:
    make(tmp_path, *(f"{folder}/{name}.png" for folder in ("images", "masks") for name in names))
    (said,) = _said(_config(tmp_path))
    assert said == f"images: 2 names equal to others but for upper and lower case: {', '.join(sorted(names))}"


@pytest.mark.parametrize(
    ("dataset", "sections", "words"),
    [
        ({"images": "masks/*.png"}, {}, "dataset: image and reference of 'a' are the same file, a.png"),
        ({}, {"predictions": {"path": "masks"}}, "dataset: reference and prediction of 'a' are the same file"),
        ({}, {"predictions": {"path": "linked"}}, "dataset: image and prediction of 'a' are the same file"),
    ],
)
def test_the_same_file_in_two_roles(
    tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], words: str
) -> None:
    make(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "linked").symlink_to("images")
    assert _refusal(_config(tmp_path, dataset, **sections)).startswith(words)
    meant = list_dataset(_config(tmp_path, dataset | {"same_files": True}, **sections))
    assert len(meant.images) == 1


def test_an_image_twice_in_a_manifest(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "c.png")
    text = f"{HEAD}\nx,a.png,b.png\ny,a.png,c.png\n"
    assert "dataset.manifest: the images 'x' and 'y' are the same file" in _refusal(_of_manifest(tmp_path, text))
    assert len(list_dataset(_of_manifest(tmp_path, text, {"same_files": True})).images) == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(
            ["images/p0/a.png", "masks/p1/a.png", "p/p0/a.png"],
            "dataset.references: masks/**/*.png: p1/a.png would be paired with p0/a.png by its name alone",
            id="of an image and its reference",
        ),
        pytest.param(
            ["images/p0/a.png", "masks/p0/a.png", "p/p1/a.png"],
            "predictions.path: p/**/*.png: p1/a.png would be paired with p0/a.png by its name alone",
            id="of an image and its prediction",
        ),
        pytest.param(
            ["images/a.png", "masks/p0/a.png", "p/p1/a.png"],
            "predictions.path: p/**/*.png: p1/a.png would be paired with p0/a.png by its name alone",
            id="of a reference and a prediction of an image in no folder",
        ),
    ],
)
def test_folders_of_all_roles_agree(tmp_path: Path, files: list[str], words: str) -> None:
    make(tmp_path, *files)
    dataset = {"images": "images/**/*.png", "references": "masks/**/*.png"}
    said = _refusal(_config(tmp_path, dataset, predictions={"path": "p/**/*.png"}))
    assert words in said.replace(f"{tmp_path}/", "")
    by_id = {role: pattern.replace("*.png", "{id}.png") for role, pattern in dataset.items()}
    found = list_dataset(_config(tmp_path, by_id, predictions={"path": "p/**/{id}.png"}))
    assert found.images["image_id"].tolist() == ["a"]


def test_no_control_character_of_a_file_is_in_what_is_said(tmp_path: Path) -> None:
    make(tmp_path, "images/a.png", "masks/a.png", "masks/\x1b[2J.png")
    said = _said(_config(tmp_path))
    assert said == [r"references: 1 has no image: \x1b[2J.png"]
    (tmp_path / "t.csv").write_text("id,\x1b[2J\na,\x07\nz\x07,1\n")
    said = _said(_config(tmp_path, {"columns": "t.csv"}))
    assert all(map(str.isprintable, said))
    (tmp_path / "t.csv").write_text("\x1b[2J,x\na,b\n")
    assert _refusal(_config(tmp_path, {"columns": "t.csv"})).isprintable()
