from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from segscale.tasks.engines.selection import Choice, Surroundings, choose_engine

GPU = Surroundings(gpu=True, openvino=True, bfloat16=True)
NEW = Surroundings(gpu=False, openvino=True, bfloat16=True)
OLD = Surroundings(gpu=False, openvino=True, bfloat16=False)
BARE = Surroundings(gpu=False, openvino=False, bfloat16=True)


@pytest.mark.parametrize(
    ("engine", "precision", "here", "expected"),
    [
        pytest.param(
            "auto", "auto", GPU,
            Choice("keras", "float32", "a GPU is visible", "bfloat16"), id="a GPU: bfloat16 is tried",
        ),
        pytest.param(
            "auto", "auto", NEW,
            Choice("openvino", "float32", "no GPU is visible, openvino is installed", "bfloat16"),
            id="a CPU that multiplies bfloat16: it is tried",
        ),
        pytest.param(
            "auto", "auto", OLD,
            Choice(
                "openvino", "float32",
                "no GPU is visible, openvino is installed, the CPU has no instruction for bfloat16",
            ), id="a CPU that does not multiply bfloat16",
        ),
        pytest.param(
            "auto", "auto", BARE,
            Choice(
                "keras", "float32",
                "no GPU is visible, openvino is not installed, keras computes in float32 on a CPU",
            ), id="no OpenVINO",
        ),
        pytest.param(
            "keras", "auto", NEW,
            Choice("keras", "float32", "engine keras was asked for, keras computes in float32 on a CPU"),
            id="Keras asked for on a CPU",
        ),
        pytest.param(
            "openvino", "auto", GPU,
            Choice("openvino", "float32", "engine openvino was asked for", "bfloat16"),
            id="OpenVINO asked for beside a GPU",
        ),
        pytest.param(
            "auto", "float32", GPU,
            Choice("keras", "float32", "a GPU is visible, precision float32 was asked for"), id="precision asked for",
        ),
        pytest.param(
            "keras", "float16", OLD,
            Choice("keras", "float16", "engine keras was asked for, precision float16 was asked for"),
            id="both asked for",
        ),
    ],
)  # fmt: skip
def test_choice(engine: Any, precision: Any, here: Surroundings, expected: Choice) -> None:
    assert choose_engine(engine, precision, here) == expected


def test_openvino_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not installed; install the extra predict \(docs/inference\.md\)"):
        choose_engine("openvino", "auto", BARE)


def test_choosing_loads_no_runtime() -> None:
    code = (
        "import sys; from segscale.tasks.engines.selection import choose_engine; choose_engine('auto', 'auto'); "
        "print(*(name for name in ('tensorflow', 'keras', 'openvino') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
