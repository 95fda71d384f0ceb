from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from segscale.tasks.models.losses import DiceCrossEntropy, FocalTversky, Tversky, WeightedDice
from segscale.tasks.training.network import SupervisedNetwork, build_network, compiled_network, head_loss
from segscale.tasks.training.settings import TrainSettings

SETTINGS = TrainSettings(
    epochs=1, filters=(2, 3, 4), patch=8, batch_size=4, dropout=0.2, l2=1e-2, head_weights=(0.5, 2.0), loss="dice"
)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((4, 8, 8, 1), np.float32)
REFERENCES = RANDOM.integers(0, 2, (4, 8, 8, 1)).astype(np.uint8)


class Mean(keras.metrics.Mean):  # type: ignore[misc]
    """Mean prediction, of whatever it is shown."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:  # noqa: ARG002
        return super().update_state(y_pred, sample_weight)


@pytest.fixture(scope="module")
def network() -> SupervisedNetwork:
    keras.utils.set_random_seed(1)
    return compiled_network(SETTINGS, [Mean(name="shown")])


def total_of(results: dict[str, Any]) -> float:
    heads = sum(
        weight * results[f"head_{place}_loss"] for place, weight in enumerate(SETTINGS.weights_of_heads, start=1)
    )
    return float(heads + results["regularization"])


def test_parts_sum_to_the_total_over_batches_of_any_size(network: SupervisedNetwork) -> None:
    network.start_epoch()
    for size in (4, 3, 1):
        results = network.train_on_batch(IMAGES[:size], REFERENCES[:size], return_dict=True)
    assert results["regularization"] > 0
    assert total_of(results) == pytest.approx(results["loss"], abs=1e-5)


def test_means_are_weighted_by_images(network: SupervisedNetwork) -> None:
    def loss_of(*batches: slice) -> dict[str, Any]:
        network.start_epoch()
        for batch in batches:
            results = network.test_on_batch(IMAGES[batch], REFERENCES[batch], return_dict=True)
        return dict(results)

    once = loss_of(slice(0, 4))
    split = loss_of(slice(0, 3), slice(3, 4))
    for name, value in once.items():
        assert split[name] == pytest.approx(value, abs=1e-6), name


def test_regularization_is_the_penalty_of_the_kernels(network: SupervisedNetwork) -> None:
    network.start_epoch()
    results = network.test_on_batch(IMAGES, REFERENCES, return_dict=True)
    kernels = [layer.kernel for layer in network.layers if getattr(layer, "kernel_regularizer", None)]
    expected = 1e-2 * sum(float(np.square(np.asarray(kernel, np.float64)).sum()) for kernel in kernels)
    assert results["regularization"] == pytest.approx(expected, rel=1e-6)


def test_the_last_head_is_measured(network: SupervisedNetwork) -> None:
    network.start_epoch()
    results = network.test_on_batch(IMAGES, REFERENCES, return_dict=True)
    last = np.asarray(network(IMAGES, training=False)[-1])
    assert results["shown"] == pytest.approx(last.mean(), abs=1e-6)


def test_an_epoch_begins_anew(network: SupervisedNetwork) -> None:
    network.start_epoch()
    first = network.test_on_batch(IMAGES[:1], REFERENCES[:1], return_dict=True)["head_1_loss"]
    network.test_on_batch(IMAGES, REFERENCES)
    network.start_epoch()
    assert network.test_on_batch(IMAGES[:1], REFERENCES[:1], return_dict=True)["head_1_loss"] == first


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dice", WeightedDice),
        ("dice_cross_entropy", DiceCrossEntropy),
        ("tversky", Tversky),
        ("focal_tversky", FocalTversky),
    ],
)
def test_every_loss_of_the_settings_is_made(name: Any, kind: type) -> None:
    settings = TrainSettings(epochs=1, loss=name, smooth=0.5, reduction_axes="batch", tversky_alpha=0.2)
    config = head_loss(settings).get_config()
    assert type(head_loss(settings)) is kind
    assert (config["smooth"], config["reduction_axes"]) == (0.5, "batch")
    assert config.get("alpha", 0.2) == 0.2


@pytest.mark.parametrize(
    ("precision", "policy", "scaled"),
    [
        pytest.param("float32", "float32", False, id="all in float32"),
        pytest.param("bfloat16", "mixed_bfloat16", False, id="bfloat16 has the range of float32"),
        pytest.param("float16", "mixed_float16", True, id="gradients in float16 need a scaled loss"),
    ],
)
def test_precision_is_that_of_the_convolutions(precision: Any, policy: str, scaled: bool) -> None:
    network = compiled_network(TrainSettings(epochs=1, filters=(2, 2), patch=8, precision=precision), [])
    assert network.get_layer("X_0_0_conv_1").dtype_policy.name == policy
    assert network.get_layer("head_1").compute_dtype == "float32"
    assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer) == scaled


def test_the_policy_of_the_process_is_left_as_it_was() -> None:
    build_network(SETTINGS, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
