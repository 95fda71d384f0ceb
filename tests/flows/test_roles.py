"""What names of folders and files say of the role of what lies there."""

from __future__ import annotations

import pytest

from segscale.flows.roles import role_of, set_name, telling_name


@pytest.mark.parametrize(
    ("name", "role"),
    [
        pytest.param("images", "image", id="plain"),
        pytest.param("imagesTr", "image", id="nnU-Net's, one word with a hump"),
        pytest.param("labelsTs", "reference", id="nnU-Net's labels"),
        pytest.param("Ground Truth", "reference", id="two words"),
        pytest.param("GT", "reference", id="capitals"),
        pytest.param("case_07_mask", "reference", id="with an id"),
        pytest.param("predicted_masks", "prediction", id="masks that are called predicted"),
        pytest.param("image_masks", "reference", id="masks of images"),
        pytest.param("unetOutput", "prediction", id="a hump"),
        pytest.param("segmentations", "", id="used of both"),
        pytest.param("2024-11", "", id="no word"),
        pytest.param("unmasked", "", id="a word within a word"),
    ],
)
def test_a_name_says_a_role_or_none(name: str, role: str) -> None:
    assert role_of(name) == role


def test_the_name_of_a_set_is_that_of_the_nearest_folder_that_says_more_than_a_role() -> None:
    assert telling_name(["labelsTr", "raw", "Task03_Liver", "data"]) == "Task03_Liver"
    assert set_name("/x/Task03 Liver/labelsTr/*.png") == "Task03-Liver"
    assert set_name("s3://bucket/masks") == "bucket"
    assert set_name("/masks/{id}.png") == "images"
    assert len(set_name("/" + "a" * 300)) == 100
