"""Which files below some folders are images, references and predictions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segscale.errors import ConfigError
from segscale.flows.draft import is_label_map, manifest_columns
from segscale.flows.folders import Sources, look, sources_in
from tests.drawn_pairs import disc, draw, noise, save

IDS = ("a1", "a2", "a3")


def found(*folders: Path) -> Sources:
    return sources_in([str(folder) for folder in folders], manifest_columns, is_label_map)


def chosen(folder: Path, sources: Sources) -> dict[str, str]:
    return {source.role: os.path.relpath(source.pattern, folder) for source in sources.chosen}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param(
            {"image": "images/{id}.png", "reference": "masks/{id}.png", "prediction": "preds/{id}.png"},
            {"image": "images", "reference": "masks", "prediction": "preds"},
            id="a folder for each",
        ),
        pytest.param(
            {"image": "imagesTr/{id}_0000.png", "reference": "labelsTr/{id}.png", "prediction": "out/unet/{id}.npy"},
            {"image": "imagesTr", "reference": "labelsTr", "prediction": "out/unet"},
            id="nnU-Net's names, and a folder in a folder",
        ),
        pytest.param(
            {"reference": "gt/{id}.png", "prediction": "unet3/{id}.png"},
            {"reference": "gt", "prediction": "unet3"},
            id="labels beside references that are called so",
        ),
        pytest.param(
            {"image": "photo/{id}.png", "reference": "masks/{id}_mask.png", "prediction": "preds/{id}_pred_mask.png"},
            {"image": "photo", "reference": "masks", "prediction": "preds"},
            id="suffixes that say the same as the folders",
        ),
        pytest.param(
            {"image": "{id}.png", "reference": "{id}_mask.png", "prediction": "{id}_pred.png"},
            {"reference": "{id}_mask.png", "prediction": "{id}_pred.png"},
            id="all in one folder: the images have no pattern of their own",
        ),
        pytest.param(
            {"reference": "mask_{id}.png", "prediction": "pred_{id}.npy"},
            {"reference": "mask_{id}.png", "prediction": "pred_{id}.npy"},
            id="prefixes",
        ),
        pytest.param(
            {"image": "{id}/image.png", "reference": "{id}/mask.png", "prediction": "{id}/prediction.npy"},
            {"image": "{id}/image.png", "reference": "{id}/mask.png", "prediction": "{id}/prediction.npy"},
            id="a folder for each case",
        ),
        pytest.param(
            {"reference": "{id}/{id}_mask.png", "prediction": "{id}/{id}_pred.png"},
            {"reference": "{id}/{id}_mask.png", "prediction": "{id}/{id}_pred.png"},
            id="a folder for each case, which its files repeat",
        ),
    ],
)
def test_roles_by_names(tmp_path: Path, places: dict[str, str], expected: dict[str, str]) -> None:
    folder = draw(tmp_path / "set7", places, IDS)
    assert chosen(folder, found(folder)) == expected


def test_several_folders_are_taken_together(tmp_path: Path) -> None:
    draw(tmp_path, {"image": "x/images/{id}.png", "reference": "y/gt/{id}.png", "prediction": "z/{id}.png"}, IDS)
    sources = found(tmp_path / "x", tmp_path / "y" / "gt", tmp_path / "z")
    assert chosen(tmp_path, sources) == {"image": "x/images", "reference": "y/gt", "prediction": "z"}


def test_of_several_references_those_with_the_names_of_the_predictions(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "labelsTr/{id}.png"}, ("t1", "t2"))
    draw(tmp_path, {"reference": "labelsTs/{id}.png", "prediction": "preds/{id}.png"}, IDS)
    sources = found(tmp_path)
    assert chosen(tmp_path, sources) == {"reference": "labelsTs", "prediction": "preds"}
    assert [os.path.relpath(source.pattern, tmp_path) for source in sources.open] == ["labelsTr"]


def test_what_may_be_either_stays_open(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/unet/{id}.png"}, IDS)
    draw(tmp_path, {"prediction": "preds/other/{id}.png"}, IDS)
    sources = found(tmp_path)
    assert len(sources.open) == 2
    assert chosen(tmp_path, sources) == {"reference": "masks"}


def test_a_table_that_names_pairs_wins(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"}, IDS)
    (tmp_path / "patients.csv").write_text("id;age\na1;60\n")
    (tmp_path / "list.csv").write_text('"image_id";"reference";"prediction"\na1;masks/a1.png;preds/a1.png\n')
    assert chosen(tmp_path, found(tmp_path)) == {"manifest": "list.csv"}
    (tmp_path / "list.csv").rename(tmp_path / "one.csv")
    (tmp_path / "two.tsv").write_text("image_id\treference\n")
    sources = found(tmp_path)
    assert (sources.chosen, len(sources.open)) == ((), 2)


def test_predictions_beside_a_table_that_names_none(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"}, IDS)
    (tmp_path / "list.csv").write_text("image_id,reference\na1,masks/a1.png\n")
    assert chosen(tmp_path, found(tmp_path)) == {"manifest": "list.csv", "prediction": "preds"}


def test_stores_and_reports_are_no_part_of_a_set(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"}, IDS)
    (tmp_path / "out" / "store" / "ledger").mkdir(parents=True)
    draw(tmp_path, {"prediction": "out/store/catalog/{id}.png", "reference": "out/reports/a/b/gt/{id}.png"}, IDS)
    (tmp_path / "out" / "reports" / "a" / "b" / "per_image.parquet").touch()
    sources = found(tmp_path)
    assert (chosen(tmp_path, sources), sources.open) == ({"reference": "masks", "prediction": "preds"}, ())


def test_files_that_say_nothing_are_looked_at(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "masks/{id}.png"}, IDS)
    for number, name in enumerate(IDS):
        save(tmp_path / "first" / f"{name}.png", noise(number))
        save(tmp_path / "second" / f"{name}.png", disc(number))
    assert chosen(tmp_path, found(tmp_path)) == {"image": "first", "reference": "masks", "prediction": "second"}


def test_letters_of_patterns_in_names_are_letters(tmp_path: Path) -> None:
    folder = draw(tmp_path / "set[ab]", {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"}, IDS)
    patterns = {source.role: source.pattern for source in found(folder).chosen}
    assert patterns["reference"] == f"{tmp_path}/set[[]ab]/masks"


def test_without_references_there_is_nothing_to_propose(tmp_path: Path) -> None:
    draw(tmp_path, {"image": "first/{id}.png"}, IDS)
    with pytest.raises(ConfigError, match=r"references: expected .* found .*first \(3 files\)\. Name the folders"):
        found(tmp_path)
    with pytest.raises(ConfigError, match="nowhere: expected a folder: No such file"):
        found(tmp_path / "nowhere")


def test_hidden_files_and_litter_are_not_seen(tmp_path: Path) -> None:
    for name in (".a.png", "Thumbs.db", "b.PNG", "notes.md", "c.csv"):
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    folder = look(str(tmp_path))
    assert (folder.files, folder.tables, folder.below) == (("b.PNG",), ("c.csv",), ())
