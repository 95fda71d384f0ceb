"""The hardware of this machine, as far as an engine is chosen by it; nothing is initialised to find out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)

_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_BFLOAT16_MATRIX = frozenset({"amx_bf16"})
_FLOAT16 = frozenset({"avx512_fp16", "amx_fp16", "fphp"})


def cpu_flags(cpu_info: Path = _CPU_INFO) -> frozenset[str]:
    """Instruction sets of the CPU as Linux names them; empty where it cannot be asked."""
    try:
        flags = _FLAGS.search(cpu_info.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return frozenset()
    return frozenset(flags[1].split()) if flags else frozenset()


def has_bfloat16(flags: frozenset[str]) -> bool:
    """Whether the CPU has any instruction that multiplies bfloat16."""
    return bool(flags & _BFLOAT16)


def has_bfloat16_matrix_units(flags: frozenset[str]) -> bool:
    """Whether the CPU multiplies whole tiles of bfloat16, which is what makes it faster than float32."""
    return bool(flags & _BFLOAT16_MATRIX)


def has_float16(flags: frozenset[str]) -> bool:
    """Whether the CPU has any instruction that multiplies float16."""
    return bool(flags & _FLOAT16)


def sees_nvidia_gpu(devices: Path = Path("/dev"), environment: Mapping[str, str] = os.environ) -> bool:
    """Whether an NVIDIA GPU is there and not hidden from this process by CUDA_VISIBLE_DEVICES."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "all").strip()
    # CUDA stops at the first entry that names no GPU.
    if not visible or visible.startswith("-"):
        return False
    return any(re.fullmatch(r"nvidia\d+", path.name) for path in devices.glob("nvidia*"))


def usable_cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
