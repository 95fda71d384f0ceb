"""What training needs, under the JAX backend: a program, since a process has one backend.

``KERAS_BACKEND=jax python tests/tasks/models/training_on_jax.py`` runs every `check_*` and prints their names.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

# The tests of this folder, which is the first on the path of a program that lies in it.
import test_losses  # type: ignore[import-not-found]
import test_training_metrics  # type: ignore[import-not-found]
import test_training_statistics  # type: ignore[import-not-found]

from segscale.tasks.models.segmentation_metric import accumulate
from segscale.tasks.normalize import Recipe
from segscale.tasks.training.checkpoint import Checkpoint
from segscale.tasks.training.loop import Training, train_network
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.settings import TrainSettings
from segscale.tasks.training.split import Split


def check_losses_agree_with_their_definitions_and_have_finite_gradients() -> None:
    # One network: JAX compiles each operation for each shape, and a sigmoid becomes two channels before all else.
    # Each compiles for seconds, and what an input does to the formulas TensorFlow has shown: here the hardest do.
    for name, inputs in product(test_losses.CASES, ("random", "empty", "certain")):
        test_losses.test_agrees_with_the_definition_and_has_a_finite_gradient(name, inputs, "softmax")


def check_losses_of_half_precision_are_summed_in_float32() -> None:
    for dtype in ("float16", "bfloat16"):
        test_losses.test_half_precision_probabilities_are_summed_in_float32("dice_cross_entropy", dtype)


def check_gradients_are_finite_where_nothing_is_predicted_or_all_is_right() -> None:
    for p, name in product((0.0, 1e-30), test_losses.CASES):
        test_losses.test_gradients_of_an_all_but_empty_prediction_are_finite(name, p)
    for gamma in (0.5, 0.75, 1.0, 2.0):
        test_losses.test_focal_gradient_stays_finite_next_to_a_perfect_prediction(gamma)


def check_losses_train_a_model_of_mixed_precision() -> None:
    test_losses.test_model_of_mixed_precision_learns("mixed_bfloat16")


def check_losses_come_back_with_a_compiled_model() -> None:
    with tempfile.TemporaryDirectory() as folder:
        test_losses.test_compiled_model_comes_back_with_its_losses(Path(folder))


def check_scores_are_those_of_a_report() -> None:
    for network, empty, smooth in (("four", "smooth", 2.5), ("sigmoid", "nan", 0.0)):
        test_training_metrics.test_equals_the_tables_of_a_report("mixed", network, 0.5, empty, smooth)


def check_scores_of_half_precision_are_summed_in_float32() -> None:
    for dtype in ("float16", "bfloat16"):
        test_training_metrics.test_half_precision_probabilities_are_summed_in_float32(dtype)


def check_counts_are_exact_beyond_what_float32_counts_to() -> None:
    for batches in test_training_metrics.COUNTS.values():
        test_training_metrics.test_counts_are_exact_beyond_what_float32_counts_to(batches)
    counted = test_training_metrics.Count()

    @jax.jit
    def add(state: Any, values: Any) -> Any:
        with keras.StatelessScope([(counted.sums, state)]) as scope:
            accumulate(counted.sums, values)
        return scope.get_current_value(counted.sums)

    test_training_metrics.check_counts_stay_exact(
        counted, lambda values: counted.sums.assign(add(counted.sums.value, values))
    )


def check_scores_of_a_training_are_those_of_its_predictions() -> None:
    test_training_metrics.test_scores_of_a_training_are_those_of_its_predictions(2, "mixed_bfloat16", True)


def check_a_training_resumes_with_the_rows_of_an_undisturbed_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 1)).astype(np.uint8)
    samples = tuple(
        Sample(f"image-{place}", image, Recipe(-np.inf, np.inf, 0.0, 255.0), (image[..., 0] > 127).astype(np.uint8))
        for place, image in enumerate(pixels)
    )
    settings = TrainSettings(epochs=2, filters=(2, 3), patch=8, batch_size=2, dropout=0.2, l2=1e-4)
    training = Training("training", Split(samples[:2], samples[2:]), settings)
    states: list[Checkpoint] = []
    train_network(training, states.append)
    resumed: list[Checkpoint] = []
    train_network(training, resumed.append, states[0])
    for row, other in zip(states[1].rows, resumed[0].rows, strict=True):
        assert row["loss"] == other["loss"], (row, other)
        assert row["dice_pooled"] == other["dice_pooled"], (row, other)
        parts = row["head_1_loss"] * row["head_1_weight"] + row["regularization"]
        assert abs(parts - row["loss"]) < 1e-5, row


def check_statistics_agree_with_their_definitions() -> None:
    for name, n_classes in product(test_training_statistics.STATISTICS, (2, 4)):
        test_training_statistics.test_agrees_with_the_definition(name, "random", n_classes)
    test_training_statistics.test_operating_point_is_the_best_of_the_scores_at_its_thresholds("random")


def check_statistics_of_a_training_are_those_of_its_predictions() -> None:
    with tempfile.TemporaryDirectory() as folder:
        test_training_statistics.test_statistics_of_a_training_are_those_of_its_predictions(Path(folder), True)


def main() -> int:
    """Run every check; the first that fails ends the program with its traceback."""
    assert keras.backend.backend() == "jax", "set KERAS_BACKEND=jax"
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check()
            print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
