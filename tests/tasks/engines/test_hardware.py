from __future__ import annotations

from pathlib import Path

import pytest

from segscale.tasks.engines.hardware import (
    cpu_flags,
    has_bfloat16,
    has_float16,
    sees_nvidia_gpu,
    usable_cores,
)


@pytest.mark.parametrize(
    ("text", "bfloat16", "float16"),
    [
        pytest.param("flags\t\t: fpu avx512f amx_tile amx_bf16", True, False, id="AMX"),
        pytest.param("flags\t\t: avx512_bf16 avx512_fp16", True, True, id="AVX512 with both halves"),
        pytest.param("flags\t\t: avx2 fma", False, False, id="AVX2 only"),
        pytest.param("Features\t: fphp bf16", True, True, id="ARM"),
        pytest.param("bugs\t\t: amx_bf16", False, False, id="the word in another line"),
        pytest.param("model name\t: amx_bf16\nflags\t\t: avx", False, False, id="the word in the name"),
        pytest.param("", False, False, id="nothing said"),
    ],
)
def test_what_a_cpu_multiplies(tmp_path: Path, text: str, bfloat16: bool, float16: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}\n\nprocessor\t: 1\n{text}\n")
    flags = cpu_flags(tmp_path / "cpuinfo")
    assert (has_bfloat16(flags), has_float16(flags)) == (bfloat16, float16)


def test_a_system_that_does_not_say_has_none(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("devices", "environment", "expected"),
    [
        pytest.param(["nvidia0"], {}, True, id="one GPU"),
        pytest.param(["nvidia12"], {}, True, id="the thirteenth GPU of a container"),
        pytest.param(["nvidiactl", "nvidia-uvm"], {}, False, id="the driver without a GPU"),
        pytest.param([], {}, False, id="none"),
        pytest.param(["nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, False, id="hidden by nothing"),
        pytest.param(["nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1"}, False, id="hidden by -1"),
        pytest.param(["nvidia0", "nvidia1"], {"CUDA_VISIBLE_DEVICES": "1"}, True, id="one of two"),
        pytest.param(["nvidia0"], {"CUDA_VISIBLE_DEVICES": "1"}, False, id="the second of one"),
        pytest.param(["nvidia5"], {"CUDA_VISIBLE_DEVICES": "0"}, True, id="the first of a container"),
    ],
)
def test_a_gpu_is_seen(tmp_path: Path, devices: list[str], environment: dict[str, str], expected: bool) -> None:
    for name in devices:
        (tmp_path / name).touch()
    assert sees_nvidia_gpu(tmp_path, environment) is expected


def test_there_is_a_core_to_run_on() -> None:
    assert usable_cores() >= 1
