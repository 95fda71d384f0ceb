"""What a machine can do at best: matrix products in the precisions of the engines, and reading memory.

python benchmarks/machine_roof.py [--short] prints both alone; benchmarks/inference.py measures them beside the engines.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from machine_memory import read_bandwidth
from turns import Contestant, Rates, take_turns

from segscale.tasks.engines.openvino_runtime import load_openvino

SIDE = 4096
"""Large enough that a product is bound by arithmetic, small enough for a fraction of a second in float32."""
PRECISIONS = ("float32", "bfloat16")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small matrices and 1 round: shows that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    threads = available_threads()
    print(f"load {os.getloadavg()[0]:.1f}, {threads} threads")
    measure_roof(threads, side=128 if options.short else SIDE, rounds=1 if options.short else options.rounds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def measure_roof(threads: int, *, side: int, rounds: int) -> dict[str, Contestant]:
    """Print all rates; returns the fastest product of each precision, to be measured again beside others."""
    print(f"{f'products of {side}x{side}':<40}TFLOP/s   lowest  highest")
    rates = take_turns(list(products(side, threads)), [1], rounds=rounds, seconds=0.0)
    for rate in rates:
        show_product(rate)
    bandwidth = read_bandwidth(min(1 << 28, side**2 * 16), rounds, threads)
    print(f"{f'{threads} threads read':<37}{bandwidth / 1e9:9.1f} GB/s")
    fastest = {}
    for rate in sorted((rate for rate in rates if rate.per_second), key=lambda rate: rate.median):
        fastest[rate.contestant.precision] = rate.contestant
    return fastest


def show_product(rate: Rates) -> None:
    one = rate.contestant
    if not rate.per_second:
        print(f"{one.name:<40}{one.absent}")
        return
    values = [value / 1e12 for value in rate.flop_per_second]
    print(f"{one.name:<38}{rate.median * one.flop / 1e12:9.3f}{min(values):9.3f}{max(values):9.3f}")


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def products(side: int, threads: int) -> Iterator[Contestant]:
    """The product of two square matrices, by everyone who is there."""
    yield _product("NumPy", "float32", side, lambda: _by_numpy(side))
    for precision in PRECISIONS:
        yield _product(f"Keras on {keras.backend.backend()}", precision, side, lambda p=precision: by_keras(side, p))
        yield _product("PyTorch", precision, side, lambda p=precision: _by_torch(side, p, threads))
        yield _product("OpenVINO", precision, side, lambda p=precision: _by_openvino(side, p, threads))


def _product(name: str, precision: str, side: int, prepare: Callable[[], Callable[[int], object]]) -> Contestant:
    title = f"product, {name}, {precision}"
    try:
        multiply = prepare()
    except (ImportError, ValueError):
        return Contestant(title, precision, 0.0, None, "not installed")
    return Contestant(title, precision, 2.0 * side**3, multiply, batches=(1,))


def _factors(side: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    first, second = (generator.standard_normal((side, side), np.float32) for _ in range(2))
    return first, second


def _repeated(multiply: Callable[[], object]) -> Callable[[int], None]:
    def repeat(count: int) -> None:
        for _ in range(count):
            multiply()

    return repeat


def _by_numpy(side: int) -> Callable[[int], object]:
    first, second = _factors(side)
    result = np.empty_like(first)
    return _repeated(lambda: np.matmul(first, second, out=result))


def by_keras(side: int, precision: str, device: str = "cpu:0") -> Callable[[int], object]:
    """So many products on a device of Keras' backend.

    One number of the last comes back, so that all are known to be done; the way to a GPU and back is made once.
    """
    with keras.device(device):
        first, second = (keras.ops.convert_to_tensor(factor, precision) for factor in _factors(side))

    def multiply(count: int) -> object:
        with keras.device(device):
            for _ in range(count):
                product = keras.ops.matmul(first, second)
            return float(keras.ops.cast(product[0, 0], "float32"))

    return multiply


def _by_torch(side: int, precision: str, threads: int) -> Callable[[int], object]:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    first, second = (torch.from_numpy(factor).to(getattr(torch, precision)) for factor in _factors(side))
    result = torch.empty_like(first)
    return _repeated(lambda: torch.matmul(first, second, out=result))


def _by_openvino(side: int, precision: str, threads: int) -> Callable[[int], object]:
    """With one factor known when it compiles, as the weights of a network are."""
    openvino: Any = load_openvino()
    operations: Any = importlib.import_module("openvino.opset13")
    first, second = _factors(side)
    parameter = operations.parameter(first.shape, np.float32)
    product = operations.matmul(parameter, operations.constant(second), False, False)
    model = openvino.Model([product], [parameter], "product")
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return _repeated(lambda: request.infer([first], share_inputs=True, share_outputs=True))


if __name__ == "__main__":
    main()
