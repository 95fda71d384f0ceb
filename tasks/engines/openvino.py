"""The OpenVINO engine: a converted network on the cores of a CPU, image by image, without TensorFlow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError, EngineError
from segscale.tasks.engines import EngineFacts, Precision, check_batch
from segscale.tasks.engines.hardware import cpu_flags, has_bfloat16, has_int8, usable_cores
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.openvino_runtime import load_openvino
from segscale.tasks.normalize import Recipe, apply_recipe

_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What is computed in int8 the graph says; the hint is for the rest."""

_PIXELS_IN_FLIGHT = 2**20
"""Of the streams of all sizes together: the activations of the published network take 1.6 GB for these, even idle."""

_COMPILED_SIZES = 4
"""Kept at a time: each holds the weights once more."""


class OpenVinoEngine:
    """A graph compiled for the CPU once for every image size, with one image in every stream.

    `threads` cores are shared by as many streams as there are images in a batch, as memory allows; 0 takes all cores
    that the process may use. An image is computed alone whatever is beside it, so neither the batch nor streams or
    threads change a bit of it.

    Pixels are normalised here and not in the graph: OpenVINO multiplies by the reciprocal instead of dividing, so that
    half of the values are another float32, and under bfloat16 it rounds the recipe as well.

    int8 takes a quantised graph (`segscale.tasks.engines.quantisation`), and no other precision does.

    Raises EngineError where OpenVINO is not installed, or the precision is not there on this CPU.
    """

    def __init__(self, graph: OpenVinoGraph, *, precision: Precision = "float32", threads: int = 0) -> None:
        if threads < 0:
            raise ArgumentError(f"threads must be 0 or more, got {threads}")
        if graph.quantised != (precision == "int8"):
            kind = "a quantised" if graph.quantised else "no quantised"
            raise ArgumentError(
                f"precision int8 takes a quantised graph, the others do not: got {precision}, {kind} graph"
            )
        self._openvino = load_openvino()
        self._core = self._openvino.Core()
        check_precision(precision, cpu_flags(), self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self._graph = graph
        self._threads = threads or usable_cores()
        self._compiled: OrderedDict[tuple[int, int, int], Any] = OrderedDict()
        self._lock = threading.Lock()
        self._facts = EngineFacts(
            name="openvino",
            device="cpu",
            precision=precision,
            version=graph.made_with,
            heads=graph.heads.reported,
            n_classes=max(graph.outputs, 2),
            outputs=graph.outputs,
            channels=graph.channels,
            stride=graph.stride,
            one_by_one=True,
            rescales=graph.rescales,
            whole_image=graph.whole_image,
            fixed_size=graph.fixed_size,
            graph=graph.content if graph.quantised else "",
        )

    @property
    def facts(self) -> EngineFacts:
        """What this engine computes, and with what."""
        return self._facts

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (heads, B, H, W, outputs) of stored images; see `Engine.probabilities`."""
        check_batch(pixels, recipe, self._facts)
        count, height, width = pixels.shape[:3]
        computed = np.empty((len(self._graph.heads.computed), count, height, width, self._facts.outputs), np.float32)
        # Two threads that fill one queue get each other's images; the streams are busy with one batch anyway.
        with self._lock:
            queue = self._queue(height, width, self._streams(count, height, width))
            for place in range(count):
                # Waits for a stream that is free; the next image is normalised meanwhile.
                queue.start_async([seen_image(pixels[place], recipe[place], self._facts.channels)], (computed, place))
            queue.wait_all()
        return self._report(computed)

    def _report(self, computed: NDArray[np.float32]) -> NDArray[np.float32]:
        heads = self._graph.heads
        if not heads.averaged:
            return computed
        mean = computed.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean if len(heads.reported) == 1 else np.concatenate([computed, mean])

    def _streams(self, images: int, height: int, width: int) -> int:
        wanted = max(1, min(self._threads, images, _PIXELS_IN_FLIGHT // (height * width)))
        # A short last batch is not worth compiling for.
        compiled = [streams for *size, streams in self._compiled if size == [height, width] and streams >= wanted]
        return min(compiled, default=wanted)

    def _queue(self, height: int, width: int, streams: int) -> Any:
        """Requests on the graph for one size of image; sizes not used for longest make room."""
        key = (height, width, streams)
        queue = self._compiled.pop(key, None)
        while self._compiled and not _fits([*self._compiled, key]):
            self._compiled.popitem(last=False)
        self._compiled[key] = queue or self._compile(*key)
        return self._compiled[key]

    def _compile(self, height: int, width: int, streams: int) -> Any:
        network = self._core.read_model(self._graph.topology, self._graph.weights)
        # Networks of fixed size are compiled to faster code than those of any.
        network.reshape([1, height, width, self._graph.channels])
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._facts.precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._threads,
            # Two workers of one machine would pin their threads to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        # Compiled code is not cached on disk: it takes a changed weight for what it was, and saves half a second.
        queue = self._openvino.AsyncInferQueue(self._core.compile_model(network, "CPU", settings), streams)
        queue.set_callback(_collect)
        return queue


def seen_image(pixels: NDArray[Any], recipe: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """What the network sees (1, H, W, channels) of one stored image (H, W, 1 or channels) with its recipe (4,)."""
    with np.errstate(all="ignore"):
        image = apply_recipe(pixels[np.newaxis], Recipe(*recipe.tolist()))
    return image if image.shape[3] == channels else np.repeat(image, channels, axis=3)


def _fits(sizes: list[tuple[int, int, int]]) -> bool:
    pixels = sum(height * width * streams for height, width, streams in sizes)
    return len(sizes) <= _COMPILED_SIZES and pixels <= _PIXELS_IN_FLIGHT


def _collect(request: Any, place: tuple[NDArray[np.float32], int]) -> None:
    computed, image = place
    for head in range(len(computed)):
        computed[head, image] = request.get_output_tensor(head).data[0]


def check_precision(precision: Precision, flags: frozenset[str], capabilities: Sequence[str] = ("BF16",)) -> None:
    """Raise EngineError for a precision that OpenVINO or this CPU does not have.

    `flags` are the instructions of the CPU (`cpu_flags`), `capabilities` what OpenVINO says of it, where it was asked.
    """
    if precision not in _HINTS:
        raise EngineError(f"precision of the engine openvino must be one of {tuple(_HINTS)}, got {precision!r}")
    # OpenVINO offers bfloat16 without such instructions too, and imitates them at a fraction of the speed.
    if precision == "bfloat16" and not ("BF16" in capabilities and has_bfloat16(flags)):
        raise EngineError(
            "precision bfloat16 is not there: this CPU has no instruction for it (AVX512-BF16 or AMX); use float32"
        )
    if precision == "int8" and not has_int8(flags):
        raise EngineError(
            "precision int8 is not there: this CPU has no instruction for it (VNNI or AMX; on ARM dot products); "
            "use float32"
        )
