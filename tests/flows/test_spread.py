"""Roles spread over several folders: what is proposed for them, and that it pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from segscale.flows.config.evaluation import load_config
from segscale.flows.dataset import list_dataset
from segscale.flows.draft import draft
from tests.drawn_pairs import draw

P0_P1 = ("p0", "p1")


def drawn(folder: Path, reference: str, prediction: str, patients: tuple[str, ...] = P0_P1) -> Path:
    for patient in patients:
        places = {"reference": reference, "prediction": prediction}
        draw(folder, {role: place.replace("{p}", patient) for role, place in places.items()}, ("1", "2", "3"))
    return folder


@pytest.mark.parametrize(
    ("reference", "prediction", "named", "expected"),
    [
        pytest.param(
            "masks/{p}/{id}.png", "preds/{p}/{id}.png", ("masks", "preds"), ("masks", "preds"), id="both named"
        ),
        pytest.param("masks/{p}/{id}.png", "preds/{p}/{id}.png", (".",), ("masks", "preds"), id="what holds both"),
        pytest.param(
            "masks/{p}/{id}_mask.png", "preds/{p}/{id}_pred.npy", (".",), ("masks", "preds"), id="and suffixes"
        ),
        pytest.param(
            "masks/{p}/{id}.png", "preds/unet/{p}/{id}.png", (".",), ("masks", "preds/unet"), id="a folder of a network"
        ),
        pytest.param(
            "data/{p}/masks/{p}_{id}.png",
            "data/{p}/preds/{p}_{id}.npy",
            ("data",),
            ("data/{folder}/masks/{id}.png", "data/{folder}/preds/{id}.npy"),
            id="a folder of each in those of patients",
        ),
        pytest.param(
            "data/{p}/masks/{p}-{id}_mask.png",
            "data/{p}/preds/{p}-{id}_pred.png",
            (".",),
            ("data/{folder}/masks/{id}_mask.png", "data/{folder}/preds/{id}_pred.png"),
            id="and suffixes, seen from above",
        ),
    ],
)
def test_what_is_proposed_pairs_all(
    tmp_path: Path, reference: str, prediction: str, named: tuple[str, ...], expected: tuple[str, str]
) -> None:
    drawn(tmp_path, reference, prediction)
    proposed = draft([str(tmp_path / name) for name in named], str(tmp_path))
    assert proposed.undecided == ()
    (tmp_path / "drafted.toml").write_text(proposed.text, encoding="utf-8")
    config = load_config(tmp_path / "drafted.toml")
    assert (config.dataset.references, config.predictions.path) == tuple(f"{tmp_path}/{place}" for place in expected)
    listing = list_dataset(config).images
    assert len(listing) == 6
    assert (listing["prediction_version"] != "").all()


def test_a_folder_with_one_file_of_each_role_is_a_case(tmp_path: Path) -> None:
    for case in ("c1", "c2", "c3"):
        draw(tmp_path, {"reference": f"d/{case}/masks/x.png", "prediction": f"d/{case}/preds/x.png"}, ("only",))
    proposed = draft([str(tmp_path / "d")], str(tmp_path))
    assert proposed.undecided == ()
    assert 'references = "d/{id}/masks/x.png"' in proposed.text


def test_names_that_repeat_in_every_folder_are_left_to_decide(tmp_path: Path) -> None:
    drawn(tmp_path, "data/{p}/masks/{id}.png", "data/{p}/preds/{id}.png")
    proposed = draft([str(tmp_path / "data")], str(tmp_path))
    (line,) = proposed.undecided
    assert "p0/masks/1.png and p1/masks/1.png have the same name" in line
    assert "manifest" in line
    assert "no predictions were found" not in proposed.text


def test_training_and_test_are_not_taken_together(tmp_path: Path) -> None:
    drawn(tmp_path, "{p}/masks/{p}{id}.png", "{p}/preds/{p}{id}.png", ("train", "test"))
    assert draft([str(tmp_path)], str(tmp_path)).undecided


def test_two_networks_stay_two(tmp_path: Path) -> None:
    drawn(tmp_path, "masks/{p}/{id}.png", "preds/unet/{p}/{id}.png")
    drawn(tmp_path, "masks/{p}/{id}.png", "preds/vnet/{p}/{id}.png")
    proposed = draft([str(tmp_path)], str(tmp_path))
    assert 'references = "masks"' in proposed.text
    assert [line.split(":")[0] for line in proposed.undecided] == ["predictions.path"]


def test_folders_that_say_nothing_are_offered_for_both(tmp_path: Path) -> None:
    draw(tmp_path, {"reference": "a/{id}.png", "prediction": "b/{id}.png"})
    proposed = draft([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path))
    (line,) = proposed.undecided
    assert line.startswith("references: no name says which are references")
    for key in ('references = "a"', 'references = "b"', 'path = "a"', 'path = "b"'):
        assert f"# {key}" in proposed.text
