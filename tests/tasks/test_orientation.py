import re

import numpy as np
import pytest

from segscale.tasks.orientation import turned_unlike


@pytest.mark.parametrize(
    ("orientations", "expected"),
    [
        pytest.param({"image": [6, 6], "reference": [0, 0]}, "2 of 2 images, 0 of 2 references .* 2 images", id="lost"),
        pytest.param(
            {"image": [0, 0], "reference": [0, 0], "prediction": [0, 3]},
            "0 of 2 images, 0 of 2 references, 1 of 2 predictions .* at 1 of 2 images, first at 'b'",
            id="one prediction",
        ),
        pytest.param({"image": [8, 0], "reference": [-1, 0], "prediction": [0, 0]}, "0 of 1 ref", id="no such file"),
        pytest.param({"image": [6, 3], "reference": [6, 3]}, "", id="all carry one"),
        pytest.param({"image": [6, 8], "reference": [1, 1]}, "", id="turned when it was drawn, and said so"),
        pytest.param({"image": [1, 1], "reference": [0, 0]}, "", id="upright beside nothing"),
        pytest.param({"image": [0, 0], "reference": [0, 0]}, "", id="none"),
        pytest.param({"image": [6, 0], "reference": [-1, 0]}, "", id="no partner"),
    ],
)
def test_sentence(orientations: dict[str, list[int]], expected: str) -> None:
    found = turned_unlike({role: np.array(values) for role, values in orientations.items()}, ["a", "b"])
    assert bool(found) == bool(expected)
    assert re.search(expected, found)
