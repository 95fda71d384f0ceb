"""The hardware of this machine, as far as an engine is chosen by it; nothing is initialised to find out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)

_GPU_NAME = re.compile(r"\d+|(GPU|MIG)-\S+")

_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
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


def has_int8(flags: frozenset[str]) -> bool:
    """Whether the CPU has any instruction that adds up products of int8 in int32, where no sum overflows."""
    return bool(flags & _INT8)


def has_float16(flags: frozenset[str]) -> bool:
    """Whether the CPU has any instruction that multiplies float16."""
    return bool(flags & _FLOAT16)


def visible_gpus(devices: Path = Path("/dev"), environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: numbers or UUIDs, in its order."""
    present = sorted(int(path.name[6:]) for path in devices.glob("nvidia*") if path.name[6:].isdecimal())
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if not present or visible is None:
        return tuple(map(str, present))

    def is_there(name: str) -> bool:
        # Numbers count what is there from 0, whatever the devices of a container are called.
        return bool(_GPU_NAME.fullmatch(name)) and (not name.isdecimal() or int(name) < len(present))

    # CUDA stops at the first entry that names no GPU.
    return tuple(takewhile(is_there, (name.strip() for name in visible.split(","))))


def sees_nvidia_gpu(devices: Path = Path("/dev"), environment: Mapping[str, str] = os.environ) -> bool:
    """Whether an NVIDIA GPU is there and not hidden from this process by CUDA_VISIBLE_DEVICES."""
    return bool(visible_gpus(devices, environment))


def usable_cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
