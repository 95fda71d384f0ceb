"""Cases of nnU-Net and images of a report, by the names of files."""

from __future__ import annotations

import pandas as pd
import pytest

from segscale.errors import ArgumentError
from segscale.flows.reports.case_names import NOWHERE, images_of


def cases(*files: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(files, columns=["prediction_file", "reference_file"])


@pytest.mark.parametrize(
    ("files", "image_ids", "place"),
    [
        pytest.param(("/out/a.nii.gz", "/gt/a.nii.gz"), ["b", "a"], 1, id="as nnU-Net writes it"),
        pytest.param(("out/a.png", ""), ["a"], 0, id="one of the two files is enough"),
        pytest.param(("", "gt/a.seg.nrrd"), ["a"], 0, id="the reference is"),
        pytest.param(("a", "a"), ["a"], 0, id="as Segscale exports it: the id itself"),
        pytest.param(("out/a.1.png", "gt/a.1.png"), ["a.1"], 0, id="a dot in the id"),
        pytest.param(("out/a.nii.gz", "gt/a.nii.gz"), ["a.nii.gz"], 0, id="an id with an ending"),
        pytest.param(("out/p1/a.png", "gt/p1/a.png"), ["p1/a", "p2/a"], 0, id="an id with a folder"),
        pytest.param(("C:\\out\\a.png", ""), ["a"], 0, id="written on Windows"),
        pytest.param(("out/xa.png", "gt/xa.png"), ["a"], NOWHERE, id="ends alike within a name"),
        pytest.param(("out/a.png", "gt/a.png"), ["A"], NOWHERE, id="another case"),
        pytest.param(("out/b.png", "gt/a.png"), ["a"], 0, id="two names, one is known"),
    ],
)
def test_a_case_is_the_image_that_its_path_ends_with(files: tuple[str, str], image_ids: list[str], place: int) -> None:
    assert images_of(cases(files), image_ids).tolist() == [place]


@pytest.mark.parametrize(
    ("files", "image_ids", "words"),
    [
        pytest.param(
            [("out/p1/a.png", "")], ["a", "p1/a"], "files of one image, got out/p1/a.png of 'p1/a' .* of 'a'",
            id="a path of two images",
        ),
        pytest.param([("out/a.png", "gt/b.png")], ["a", "b"], "got out/a.png of 'a' and gt/b.png of 'b'", id="two"),
        pytest.param(
            [("out/1/a.png", ""), ("out/2/a.png", "")], ["a"], "one case of image 'a', got out/1/a.png and out/2/a.png",
            id="two cases of one image",
        ),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(
    files: list[tuple[str, str]], image_ids: list[str], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        images_of(cases(*files), image_ids)
