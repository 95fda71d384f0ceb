from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from segscale.tasks.engines.selection import Choice, Surroundings, choose_engine

GPU = Surroundings(gpu=True, openvino=True, matrix_units=True)
AMX = Surroundings(gpu=False, openvino=True, matrix_units=True)
CPU = Surroundings(gpu=False, openvino=True, matrix_units=False)
BARE = Surroundings(gpu=False, openvino=False, matrix_units=True)


@pytest.mark.parametrize(
    ("engine", "precision", "here", "expected"),
    [
        pytest.param(
            "auto", "auto", GPU,
            Choice("keras", "bfloat16", "a GPU is visible, GPUs are fastest in bfloat16"), id="a GPU",
        ),
        pytest.param(
            "auto", "auto", AMX,
            Choice(
                "openvino", "bfloat16",
                "no GPU is visible, openvino is installed, the CPU has matrix units for bfloat16",
            ), id="a CPU with matrix units",
        ),
        pytest.param(
            "auto", "auto", CPU,
            Choice(
                "openvino", "float32",
                "no GPU is visible, openvino is installed, the CPU has no matrix units for bfloat16",
            ), id="bfloat16 without matrix units is slower",
        ),
        pytest.param(
            "auto", "auto", BARE,
            Choice(
                "keras", "float32",
                "no GPU is visible, openvino is not installed, keras computes in float32 on a CPU",
            ), id="no OpenVINO",
        ),
        pytest.param(
            "keras", "auto", AMX,
            Choice("keras", "float32", "engine keras was asked for, keras computes in float32 on a CPU"),
            id="Keras asked for on a CPU",
        ),
        pytest.param(
            "openvino", "auto", GPU,
            Choice("openvino", "bfloat16", "engine openvino was asked for, the CPU has matrix units for bfloat16"),
            id="OpenVINO asked for beside a GPU",
        ),
        pytest.param(
            "auto", "float32", GPU,
            Choice("keras", "float32", "a GPU is visible, precision float32 was asked for"), id="precision asked for",
        ),
        pytest.param(
            "keras", "float16", CPU,
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
