"""The same network with the same weights in other hands: Keras itself, TensorFlow, PyTorch, ONNX Runtime.

They are given float32 images in the layout that suits them, normalised beforehand; our engines start from stored
pixels.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from made_networks import Network, made_model, unit_images

Probabilities = npt.NDArray[np.float32]
Infer = Callable[[int], Probabilities]
"""Probabilities (n, H, W, 1) of the first n images."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network, and the images that go through it."""

    network: Network
    model: keras.Model
    pixels: npt.NDArray[np.uint8]
    threads: int

    @property
    def images(self) -> npt.NDArray[np.float32]:
        return unit_images(self.pixels)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to compute a network."""

    name: str
    precision: str
    build: Callable[[], Infer]
    """Raises ImportError where something is not installed, ValueError where this machine or backend cannot."""


PREDICT = "Keras model.predict"


def peers(subject: Subject) -> Iterator[Candidate]:
    """All of them; what is not installed is found out when it is built."""
    yield Candidate(PREDICT, "float32", lambda: keras_predict(subject))
    for precision, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
        yield Candidate("tf.function", precision, lambda policy=policy: tensorflow_function(subject, policy))
    yield Candidate("PyTorch", "float32", lambda: torch_float32(subject))
    yield Candidate("PyTorch, autocast", "bfloat16", lambda: torch_autocast(subject))
    yield Candidate("PyTorch, weights too", "bfloat16", lambda: torch_bfloat16(subject))
    yield Candidate("ONNX Runtime", "float32", lambda: onnx_runtime(subject))


def keras_predict(subject: Subject) -> Infer:
    images = subject.images
    return lambda n: subject.model.predict(images[:n], batch_size=n, verbose=0)


def tensorflow_function(subject: Subject, policy: str) -> Infer:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Keras runs on {keras.backend.backend()}")
    tensorflow: Any = importlib.import_module("tensorflow")
    model, images = made_model(subject.network, policy), subject.images
    compiled = tensorflow.function(lambda image: model(image, training=False))
    return lambda n: compiled(tensorflow.constant(images[:n])).numpy()


def torch_float32(subject: Subject) -> Infer:
    torch, twin, images = _torch_parts(subject)

    def infer(n: int) -> Probabilities:
        with torch.inference_mode():
            return _channels_last(twin(images[:n]))

    return infer


def torch_autocast(subject: Subject) -> Infer:
    torch, twin, images = _torch_parts(subject)

    def infer(n: int) -> Probabilities:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return _channels_last(twin(images[:n]))

    return infer


def torch_bfloat16(subject: Subject) -> Infer:
    torch, twin, images = _torch_parts(subject)
    twin = twin.to(torch.bfloat16)

    def infer(n: int) -> Probabilities:
        with torch.inference_mode():
            return _channels_last(twin(images[:n].to(torch.bfloat16)))

    return infer


def _torch_parts(subject: Subject) -> tuple[Any, Any, Any]:
    """The library, the network, and the images: (n, C, H, W), in memory (n, H, W, C)."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(subject.threads)
    twin = importlib.import_module("torch_twin").TorchTwin(subject.model)
    images = torch.from_numpy(subject.images).permute(0, 3, 1, 2)
    return torch, twin.to(memory_format=torch.channels_last), images


def _channels_last(probabilities: Any) -> Probabilities:
    return probabilities.float().permute(0, 2, 3, 1).numpy()


def onnx_runtime(subject: Subject) -> Infer:
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = subject.threads
    # 3: errors alone; a graph that names its batch "n" is no reason to warn.
    options.log_severity_level = 3
    session = runtime.InferenceSession(as_onnx(subject), options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(subject.images.transpose(0, 3, 1, 2))

    def infer(n: int) -> Probabilities:
        (probabilities,) = session.run(None, {"image": images[:n]})
        return probabilities.transpose(0, 2, 3, 1)

    return infer


def as_onnx(subject: Subject) -> bytes:
    """The network as an ONNX model, by way of PyTorch."""
    torch, twin, images = _torch_parts(subject)
    importlib.import_module("onnx")
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The other exporter needs one more package and gives the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            twin,
            (images[:1].contiguous(),),
            file,
            dynamo=False,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_axes={"image": {0: "n"}, "probabilities": {0: "n"}},
        )
    return file.getvalue()
