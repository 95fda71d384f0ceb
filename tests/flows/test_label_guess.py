"""What label values are taken for in a configuration that is only proposed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segscale.flows.label_guess import LabelValues, label_keys, values_of
from tests.drawn_pairs import disc, save


def holding(*values: int, pixels: tuple[int, ...] = ()) -> LabelValues:
    counts = pixels or (10,) * len(values)
    return LabelValues("x.png", tuple(zip(values, counts, strict=True)))


@pytest.mark.parametrize(
    ("files", "decided", "undecided"),
    [
        pytest.param([holding(255), holding()], {"classes": ["background", "foreground"]}, set(), id="two classes"),
        pytest.param([holding()], {"classes": ["background", "foreground"]}, set(), id="nothing but background"),
        pytest.param(
            [holding(1, 2), holding(1, 2), holding(1)],
            {"classes": ["background", "class_1", "class_2"]},
            set(),
            id="classes: most files hold all",
        ),
        pytest.param(
            [holding(2), holding(1, 3)],
            {"classes": ["background", "class_1", "class_2", "class_3"]},
            set(),
            id="classes: objects would be counted from 1",
        ),
        pytest.param(
            [holding(100, 200)] * 2,
            {"classes": ["background", "class_1", "class_2"], "label_values": [0, 100, 200]},
            set(),
            id="classes with values of their own",
        ),
        pytest.param(
            [holding(*range(1, 12)), holding(*range(1, 40)), holding(1)],
            {"classes": ["background", "foreground"], "foreground": "any"},
            set(),
            id="objects",
        ),
        pytest.param(
            [holding(1), holding(1, 2), holding(1, 2, 3)], {}, {"classes", "foreground"}, id="classes or objects"
        ),
        pytest.param(
            [holding(1, 255)], {"classes": ["background", "class_1"]}, {"ignore_label", "label_values"}, id="255"
        ),
        pytest.param(
            [holding(-1, 1)], {"classes": ["background", "class_1"]}, {"ignore_label", "label_values"}, id="-1"
        ),
        pytest.param(
            [holding(*range(20, 220, 20), 255, pixels=(1,) * 10 + (90,))],
            {},
            {"classes", "foreground"},
            id="greys at the edges of an interpolated mask",
        ),
    ],
)
def test_values_become_keys(files: list[LabelValues], decided: dict[str, Any], undecided: set[str]) -> None:
    keys = label_keys(files)
    assert {key.name: key.value for key in keys if not key.is_open} == decided
    assert {key.name for key in keys if key.is_open} == undecided
    assert all(key.why for key in keys)


def test_values_of_a_file(tmp_path: Any) -> None:
    save(tmp_path / "mask.png", disc(0, value=7))
    found = values_of((tmp_path / "mask.png").read_bytes(), "mask.png")
    assert found is not None
    assert found.n_of_value == ((7, int((disc(0) > 0).sum())),)
    save(tmp_path / "p.npy", np.zeros((4, 4), np.float32))
    assert values_of((tmp_path / "p.npy").read_bytes(), "p.npy") is None
    assert values_of(b"no image", "mask.png") is None
