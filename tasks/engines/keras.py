"""The Keras engine: normalisation and network as one compiled function, on TensorFlow or JAX."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from segscale.errors import ArgumentError, EngineError
from segscale.tasks.engines import EngineFacts, Precision, check_batch
from segscale.tasks.engines.hardware import cpu_flags, has_float16
from segscale.tasks.engines.heads import Level, choose_heads
from segscale.tasks.networks import fixed_size, select_outputs, stride, with_policy
from segscale.tasks.networks.input_scaling import own_scaling
from segscale.tasks.networks.whole_image import whole_image_layers

_COMPILED_SHAPES = 128
"""Kept at a time; images that are padded to shared sizes have fewer."""

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class KerasEngine:
    """A Keras segmentation model, compiled once for every shape of batch it meets.

    `model` takes (B, H, W, channels) and ends in float32 probabilities, with outputs head_1, head_2, ... where it is
    deeply supervised. `level` picks the head, and with it the pruned network that is computed, or "all" of them in one
    pass; `ensemble` gives the mean of heads 1 to `level` instead, or beside all (see `choose_heads`).

    `device` is "" for the runtime's choice, or one of its devices, e.g. "cpu:0" or "gpu:0". `threads` limits one
    operation (see `prepare_runtime`). `model` itself is left as it is, and later changes of its weights are not seen.

    Raises ValueError for a level, a precision or a device that is not there: float16 on a CPU needs instructions for
    it, bfloat16 runs on any, slowly where it has none.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        level: Level = 4,
        ensemble: bool = False,
        precision: Precision = "float32",
        threads: int = 0,
        device: str = "",
    ) -> None:
        prepare_runtime(threads)
        device = _present_device(device)
        _check_precision(precision, device)
        self._heads = choose_heads(model.output_names, level, ensemble)
        with keras.device(device):
            self._network = with_policy(select_outputs(model, self._heads.computed), _POLICIES[precision])
            self._weights = _values(self._network)
        outputs = int(self._network.outputs[0].shape[-1])
        self._facts = EngineFacts(
            name="keras",
            device=device,
            precision=precision,
            version=_version(),
            heads=self._heads.reported,
            n_classes=max(outputs, 2),
            outputs=outputs,
            channels=int(self._network.input.shape[-1]),
            stride=stride(self._network),
            rescales=own_scaling(self._network),
            whole_image=whole_image_layers(self._network),
            fixed_size=fixed_size(self._network),
        )
        self._compiled = self._compile()
        self._met: set[tuple[tuple[int, ...], str]] = set()

    @property
    def facts(self) -> EngineFacts:
        """What this engine computes, and with what."""
        return self._facts

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (heads, B, H, W, outputs) of stored images; see `Engine.probabilities`."""
        check_batch(pixels, recipe, self._facts)
        if pixels.dtype.itemsize > 2:
            # As float32 they are no larger, and JAX would cut 64-bit integers down to 32 bits.
            pixels = pixels.astype(np.float32)
        with keras.device(self._facts.device):
            self._meet(pixels)
            result = ops.convert_to_numpy(self._compiled(pixels, recipe))
        assert result.dtype == np.float32, result.dtype
        return np.asarray(result)

    def _meet(self, pixels: NDArray[Any]) -> None:
        """What was compiled is kept for so many shapes: of images of their true size, each may have its own."""
        shape = (pixels.shape, pixels.dtype.str)
        if shape not in self._met and len(self._met) == _COMPILED_SHAPES:
            self._compiled = self._compile()
            self._met.clear()
        self._met.add(shape)

    def _compile(self) -> Callable[..., Any]:
        # XLA takes long for each shape, and there are many where images have their true size.
        is_fused = self._facts.device.startswith("gpu") and not self._facts.whole_image
        with keras.device(self._facts.device):
            return _compile(self._forward, self._weights, self._facts.precision, is_fused)

    def _forward(self, trainable: Any, non_trainable: Any, pixels: Any, recipe: Any) -> Any:
        image = normalize(pixels, recipe)
        image = ops.broadcast_to(image, (*image.shape[:3], self._network.input.shape[-1]))
        heads, _ = self._network.stateless_call(trainable, non_trainable, image, training=False)
        stacked = ops.stack(heads if isinstance(heads, list | tuple) else [heads])
        if not self._heads.averaged:
            return stacked
        mean = ops.mean(stacked, axis=0, keepdims=True)
        return mean if len(self._heads.reported) == 1 else ops.concatenate([stacked, mean])


def normalize(pixels: Any, recipe: Any) -> Any:
    """Stored pixels (B, H, W, C) as the network sees them, float32, from recipes (B, 4).

    Equal to the last bit to the same formula in numpy on TensorFlow; XLA, under JAX, may round differently.
    """
    clip_low, clip_high, offset, scale = (ops.reshape(recipe[:, column], (-1, 1, 1, 1)) for column in range(4))
    clipped = ops.minimum(ops.maximum(ops.cast(pixels, "float32"), clip_low), clip_high)
    return (clipped - offset) / scale


def prepare_runtime(threads: int) -> None:
    """Settle what the backend takes before its first operation only: call it before a model is loaded.

    TensorFlow is kept from taking all the memory of a GPU at once, so that several processes can share one; `threads`
    are those of one operation (see `limit_threads`, which says what is raised).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            # Where GPUs are in use already, as after loading a model, they keep what they took.
            with contextlib.suppress(RuntimeError):
                tf.config.experimental.set_memory_growth(gpu, True)
    limit_threads(threads)


def limit_threads(threads: int) -> None:
    """Let one operation use `threads` threads; 0 leaves it to the runtime.

    TensorFlow takes this only before its first operation, and loading a model is one: call it before that. Raises
    ValueError where it comes too late to change the number, and on JAX, which has no such setting.
    """
    if threads < 0:
        raise ArgumentError(f"threads must be 0 or more, got {threads}")
    if not threads:
        return
    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(f"threads = {threads} is for TensorFlow only; limit the process to that many cores instead")
    from tensorflow.config import threading

    if threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ArgumentError(
            f"threads = {threads} comes too late: TensorFlow already runs with "
            f"{threading.get_intra_op_parallelism_threads()} (0: its own choice); set it before a model is loaded"
        ) from error


def _present_device(device: str) -> str:
    present: list[str] = keras.distribution.list_devices()
    if not device:
        return next((name for name in present if not name.startswith("cpu")), present[0])
    if device not in present:
        raise EngineError(f"device {device!r} is not there; {keras.backend.backend()} sees {', '.join(present)}")
    return device


def _check_precision(precision: Precision, device: str) -> None:
    if precision not in _POLICIES:
        raise EngineError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
    if precision == "float16" and device.startswith("cpu") and not has_float16(cpu_flags()):
        raise EngineError(f"precision float16 is not there: the CPU ({device}) has no instruction for it; use float32")


def _values(network: keras.Model) -> tuple[list[Any], list[Any]]:
    """Trainable and other weights as constant tensors on the device."""
    trainable = [ops.convert_to_tensor(variable) for variable in network.trainable_variables]
    return trainable, [ops.convert_to_tensor(variable) for variable in network.non_trainable_variables]


def _compile(
    function: Callable[..., Any], weights: tuple[list[Any], list[Any]], precision: Precision, is_fused: bool
) -> Callable[..., Any]:
    """function(*weights, pixels, recipe), compiled by the backend once per shape of pixels and recipe."""
    compiled: Callable[..., Any]
    if keras.backend.backend() == "jax":
        jax: Any = importlib.import_module("jax")
        with_products = jax.default_matmul_precision("highest" if precision == "float32" else "default")
        # Weights that are no arguments would be copied into the code of every shape.
        compiled = partial(jax.jit(with_products(function)), *weights)
        return compiled
    import tensorflow as tf

    if precision == "float32":
        # Newer GPUs otherwise round the factors of float32 products to 10 bits.
        tf.config.experimental.enable_tensor_float_32_execution(False)
    # Weights are captured: as arguments they are checked one by one at every call, which took 30 ms of 40 for an image
    # of 32x32. XLA fuses what lies between convolutions on a GPU; on CPUs it takes nearly twice as long (2.8 against
    # 4.6 images/s of 256x256).
    compiled = tf.function(partial(function, *weights), jit_compile=is_fused, autograph=False)
    return compiled


def _version() -> str:
    backend = keras.backend.backend()
    return f"keras {keras.__version__}, {backend} {importlib.metadata.version(backend)}"
