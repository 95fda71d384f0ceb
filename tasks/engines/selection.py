"""The choice of an engine and a precision for this machine, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segscale.errors import EngineError
from segscale.tasks.engines import Precision
from segscale.tasks.engines.hardware import cpu_flags, has_bfloat16, has_int8, sees_nvidia_gpu
from segscale.tasks.engines.openvino_runtime import NOT_INSTALLED, openvino_is_installed

EngineName = Literal["keras", "openvino"]

ONNX_ON_CPUS = "networks in ONNX are computed on CPUs, by the engine openvino; on GPUs not yet"


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and its precision."""

    engine: EngineName
    precision: Precision
    reason: str
    """Why, in half a sentence for a log."""
    contender: Precision | None = None
    """A precision that takes the place of float32 where it is found to be faster, and its price low."""
    int8: bool = False
    """Whether int8 contends as well."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a choice depends on."""

    gpu: bool
    """An NVIDIA GPU is visible."""
    openvino: bool
    """OpenVINO is installed."""
    bfloat16: bool
    """The CPU has an instruction that multiplies bfloat16; whether that is faster than float32 it does not say."""
    int8: bool = False
    """Likewise, int8."""


def look_around() -> Surroundings:
    """The surroundings of this process."""
    return Surroundings(sees_nvidia_gpu(), openvino_is_installed(), has_bfloat16(cpu_flags()), has_int8(cpu_flags()))


def choose_engine(
    engine: Literal["auto", EngineName],
    precision: Literal["auto", "fastest", Precision],
    surroundings: Surroundings | None = None,
    *,
    onnx: bool = False,
) -> Choice:
    """The engine and the precision that "auto" stands for here; anything else is left as it was asked for.

    Keras on a GPU; on a CPU OpenVINO where it is installed, which is the faster, else Keras. The precision is float32,
    and where the hardware has bfloat16 that contends with it: some processors take half as long in it as in float32,
    some 1.7 times as long. "fastest" has int8 contend as well, where the
    engine is OpenVINO. A network in ONNX is for OpenVINO alone, on CPUs. Raises
    EngineError for an OpenVINO that is asked for and not installed, and for Keras and ONNX; whether the hardware has a
    precision that was asked for is said by the engine itself.
    """
    here = surroundings or look_around()
    if onnx and engine == "keras":
        raise EngineError(ONNX_ON_CPUS)
    if precision == "int8" and engine == "keras":
        raise EngineError("precision int8 is one of the engine openvino; use that, or bfloat16")
    if (onnx or engine == "openvino" or precision == "int8") and not here.openvino:
        raise EngineError(NOT_INSTALLED)
    chosen, reasons = (engine, [f"engine {engine} was asked for"]) if engine != "auto" else _fastest(here)
    if onnx:
        chosen, reasons = "openvino", ["a network in ONNX is for openvino, on CPUs"]
    if precision == "int8" and chosen == "keras":
        chosen, reasons = "openvino", ["int8 is for openvino, on CPUs"]
    int8 = precision == "fastest" and chosen == "openvino" and here.int8
    if precision != "auto" and precision != "fastest":
        return Choice(chosen, precision, ", ".join([*reasons, f"precision {precision} was asked for"]))
    if (chosen == "keras" and here.gpu) or (chosen == "openvino" and here.bfloat16):
        return Choice(chosen, "float32", ", ".join(reasons), "bfloat16", int8)
    without = "keras computes in float32 on a CPU" if chosen == "keras" else "the CPU has no instruction for bfloat16"
    return Choice(chosen, "float32", ", ".join([*reasons, without]), int8=int8)


def _fastest(here: Surroundings) -> tuple[EngineName, list[str]]:
    if here.gpu:
        return "keras", ["a GPU is visible"]
    if here.openvino:
        return "openvino", ["no GPU is visible", "openvino is installed"]
    return "keras", ["no GPU is visible", "openvino is not installed"]
