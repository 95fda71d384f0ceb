import re

import numpy as np
import pytest

from segscale.errors import ConfigError
from segscale.tasks.readers.pieces import LENGTH
from segscale.tasks.survey import (
    Reading,
    Seen,
    kind_of,
    look_at_image,
    look_at_labels,
    look_at_type,
    two_values_of,
)
from tests.tasks.encoded import npy, png
from tests.tasks.volumes import GEOMETRY, REFERENCE, nifti


def labels(*values: int, dtype: str = "uint8", name: str = "reference a.npy") -> Seen:
    seen = look_at_labels(npy(np.resize(np.array([0, *values], dtype), (3, 5))), name)
    assert seen is not None
    return seen


def floats(*values: float, name: str = "prediction a.npy") -> Seen:
    seen = look_at_labels(npy(np.resize(np.array(values, np.float32), (3, 5))), name)
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param([labels()], (), id="background alone"),
        pytest.param([labels(1), labels()], (), id="0 and 1"),
        pytest.param([labels(255), labels(1)], (), id="white counts as 1"),
        pytest.param(
            [labels(65535, dtype="uint16"), labels(255), labels(1, dtype="bool")], (), id="white of each type"
        ),
        pytest.param([labels(7), labels(7), labels()], (0, 7), id="0 and 7"),
        pytest.param([floats(0, 7)], (0, 7), id="saved as floats"),
        pytest.param([labels(128), labels(9, 128)], (0, 128), id="the ignored value is none of them"),
        pytest.param([labels(300, dtype="int32")], (0, 300), id="no full scale of its type"),
    ],
)
def test_two_values(files: list[Seen], expected: tuple[int, ...]) -> None:
    assert two_values_of(files, 9) == expected


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param([labels(1), labels(1, 2)], "reference a.npy: ", id="the file is named"),
        pytest.param([labels(1, 2, 4)], "dataset.label_values = [0, 1, 2, 4]", id="classes"),
        pytest.param([labels(1, 3), labels(2)], "found the values 0, 1, 3, and 0, 1, 2, 3 in all files looked at. "
                     "They may be classes (name them in dataset.classes, and dataset.label_values = [0, 1, 2, 3])",
                     id="values of other files"),
        pytest.param([labels(*range(1, 30), dtype="uint16")], 'dataset.foreground = "any"', id="instances"),
        pytest.param([labels(1, 254, 255)], "interpolated or saved as JPEG", id="JPEG"),
        pytest.param([labels(1, 255)], "dataset.ignore_label = 255", id="white beside 1 in one file"),
        pytest.param([labels(-1, dtype="int8")], "dataset.ignore_label = -1", id="-1 is no class by itself"),
        pytest.param([labels(1), labels(2, name="reference b.npy")], "reference a.npy has 1, reference b.npy has 2",
                     id="two files that disagree"),
        pytest.param([labels(1), labels(2, name="prediction b.npy")], "predictions.label_values",
                     id="predictions have values of their own"),
    ],
)  # fmt: skip
def test_more_than_two_values(files: list[Seen], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        two_values_of(files, None)
    assert str(caught.value).startswith("dataset.label_values: ")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param([], "floats", id="nothing to go by"),
        pytest.param([labels(1), labels(5)], "floats", id="integers are labels anyway"),
        pytest.param([floats(0, 0.5, 1)], "floats", id="probabilities"),
        pytest.param([floats(0, 1)], "floats", id="zeros and ones alone"),
        pytest.param([floats(0, 1), floats(0, 255)], "labels", id="whole numbers above 1"),
        pytest.param([floats(0, 2, np.nan)], "labels", id="NaN says nothing"),
        pytest.param([floats(-3.5, 4.25)], "floats", id="logits fail by themselves"),
        pytest.param([floats(0, 12.5, 100)], "floats", id="per cent fail by themselves"),
    ],
)
def test_kind(files: list[Seen], expected: str) -> None:
    assert kind_of(files) == expected


def test_labels_beside_probabilities_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'p0\.npy holds whole numbers up to 3.*p1\.npy fractions.*kind = "labels"'):
        kind_of([floats(0, 3, name="prediction p0.npy"), floats(0, 0.5, name="prediction p1.npy")])


def test_values_and_fractions_are_found_in_every_piece() -> None:
    values = np.zeros((2, LENGTH), np.float32)
    values[0, 0], values[1, -1] = 7, 3
    for dtype in ("uint8", "int16", "float64"):
        seen = look_at_labels(npy(values.astype(dtype)), "a.npy")
        assert seen == Seen("a.npy", (3, 7), zero=True, full_scale=frozenset(), floats=dtype == "float64")
    values[1, -1] = 0.5
    seen = look_at_labels(npy(values), "a.npy")
    assert seen == Seen("a.npy", (), zero=True, full_scale=frozenset(), floats=True, whole=False)
    nothing_known = look_at_labels(npy(np.full((2, 2), np.nan)), "a.npy")
    assert nothing_known == Seen("a.npy", (), zero=False, full_scale=frozenset(), floats=True)


def test_where_types_alone_are_asked_for_integers_are_not_decoded() -> None:
    torn = nifti(REFERENCE.astype(np.int16), GEOMETRY)[:-9]
    assert look_at_labels(torn, "a.nii.gz") is None
    assert look_at_type(torn, "a.nii.gz") == Seen("a.nii.gz", (), zero=False, full_scale=frozenset())
    fractions = npy(np.array([[0.5, 1]]))
    assert look_at_type(fractions, "a.npy") == look_at_labels(fractions, "a.npy")
    assert look_at_type(b"", "a.npy") is None


def test_what_cannot_be_read_says_nothing() -> None:
    assert look_at_labels(b"", "a.png") is None
    assert look_at_labels(npy(np.ones((2, 2), complex)), "a.npy") is None
    assert look_at_image(b"torn", "a.png") is None


@pytest.mark.parametrize(
    ("data", "name", "full_scale", "expected"),
    [
        pytest.param(png(np.array([[0, 4095]], np.uint16)), "a.png", 0.0, 4095 / 65535, id="12 bits in 16"),
        pytest.param(png(np.array([[0, 4095]], np.uint16)), "a.png", 4095.0, 1.0, id="as configured"),
        pytest.param(png(np.array([[0, 200]], np.uint8)), "a.png", 0.0, 200 / 255, id="8 bits"),
        pytest.param(npy(np.array([[0, 1023]], np.int16)), "a.npy", 0.0, 1023 / 65535, id="16 bits with a sign"),
        pytest.param(npy(np.array([[0, 0.01]], np.float32)), "a.npy", 0.0, None, id="floats have no full scale"),
    ],
)
def test_share_of_full_scale(data: bytes, name: str, full_scale: float, expected: float | None) -> None:
    assert look_at_image(data, name, full_scale) == expected


def test_a_reading_survives_json() -> None:
    import json
    from dataclasses import asdict

    reading = Reading((0, 7), labels_found=True, kind="labels", kind_found=True, highest_share=0.5)
    assert Reading.from_facts(json.loads(json.dumps(asdict(reading)))) == reading
