from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.overlap import CLASS_COLUMNS, count_overlap
from segscale.tasks.metrics.settings import EmptyPolicy, ScoreSettings
from segscale.tasks.models.losses import DiceCrossEntropy
from segscale.tasks.models.segmentation_metric import Pixels, SegmentationMetric, accumulate, total
from segscale.tasks.models.training_metrics import (
    BatchSummedDice,
    BatchSummedTversky,
    PerSampleDice,
    PerSampleTversky,
    PooledDice,
    PooledTversky,
)

Labels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

KINDS = (PerSampleDice, BatchSummedDice, PooledDice, PerSampleTversky, BatchSummedTversky, PooledTversky)
WHOLE = tuple(kind for kind in KINDS if kind not in (BatchSummedDice, BatchSummedTversky))
"""Those that do not depend on how a set is cut."""
POLICIES: tuple[EmptyPolicy, ...] = get_args(EmptyPolicy)
NETWORKS = {"sigmoid": 2, "softmax": 2, "four": 4}
BATCH = 4


def draw(kind: str, n_images: int, n_classes: int, seed: int = 0) -> tuple[Labels, Probabilities]:
    """Images of 6 x 7 pixels: labels with some 255, and probabilities of every class."""
    generator = np.random.default_rng(seed)
    shape = (n_images, 6, 7)
    labels = generator.integers(0, n_classes, shape).astype(np.uint8)
    scores = generator.random((*shape, n_classes)) + 0.01
    if kind in ("no_reference", "nothing"):
        labels[:] = 0
    if kind in ("no_prediction", "nothing"):
        scores[..., 0] += n_classes
    if kind == "full":
        labels[:], scores[..., 1] = 1, 1e9
    if kind == "constant":
        scores[:] = 1.0
    labels[generator.random(shape) < 0.1] = 255
    if kind == "ignored":
        labels[:] = 255
    return labels, (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


def draw_mixed(n_classes: int, seed: int = 0) -> tuple[Labels, Probabilities]:
    """Images of every kind, and more of the common one."""
    kinds = ("random", "nothing", "random", "no_reference", "ignored", "no_prediction", "full", "constant", "random")
    drawn = [draw(kind, 1, n_classes, seed + place) for place, kind in enumerate(kinds)]
    labels, probabilities = zip(*drawn, strict=True)
    return np.concatenate(labels), np.concatenate(probabilities)


def draw_set(inputs: str, network: str) -> tuple[Labels, Probabilities]:
    """A set as the network gives it; 9 images, so that the last batch is short."""
    n_classes = NETWORKS[network]
    labels, probabilities = draw_mixed(n_classes) if inputs == "mixed" else draw(inputs, 9, n_classes)
    return labels, probabilities[..., 1:] if network == "sigmoid" else probabilities


def per_image(labels: Labels, probabilities: Probabilities, n_classes: int, threshold: float) -> pd.DataFrame:
    """The counts of a report."""
    rows = []
    for place, (reference, prediction) in enumerate(zip(labels, probabilities, strict=True)):
        counts = count_overlap(
            reference, n_classes=n_classes, probabilities=prediction, threshold=threshold, ignore_index=255
        )
        columns = {name: getattr(counts, name) for name in CLASS_COLUMNS}
        rows.append(pd.DataFrame({"class_index": range(n_classes), **columns}).assign(image_id=f"image{place}"))
    return pd.concat(rows, ignore_index=True).assign(
        class_name=lambda table: "class " + table["class_index"].astype(str), head=0, n_pixels=42, status="ok"
    )


def of_the_report(counts: pd.DataFrame, chosen: ScoreSettings) -> dict[tuple[str, str, str], float]:
    """Means in the tables of a report, by aggregation, metric and class name."""
    sums = batch_summed(counts, chosen)
    tables = {
        "PerSample": per_sample(counts, chosen),
        "BatchSummed": sums[~sums["pooled"]],
        "Pooled": sums[sums["pooled"]],
    }
    return {
        (aggregation, row["metric"], row["class_name"]): row["mean"]
        for aggregation, table in tables.items()
        for row in table.to_dict("records")
    }


def key(kind: Any, soft: bool) -> tuple[str, str]:
    """Aggregation and metric of a kind in a report."""
    name = kind.__name__
    score = "Tversky" if name.endswith("Tversky") else "Dice"
    return name.removesuffix(score), ("soft_" if soft else "") + score.lower()


def update(metric: Any, labels: Any, probabilities: Any, cuts: tuple[int, ...] = (BATCH, 2 * BATCH)) -> Any:
    """The result after the batches between the cuts."""
    for first, last in pairwise((0, *cuts, len(labels))):
        metric.update_state(labels[first:last], probabilities[first:last])
    return metric.result()


def measure(metric: Any, labels: Any, probabilities: Any, cuts: tuple[int, ...] = (BATCH, 2 * BATCH)) -> float:
    """The result, where it is a single number."""
    return float(update(metric, labels, probabilities, cuts))


@pytest.mark.parametrize(
    ("inputs", "network", "threshold", "empty", "smooth"),
    [
        *(pytest.param("mixed", "four", 0.5, empty, 2.5, id=f"{empty}, of images of every kind") for empty in POLICIES),
        pytest.param("mixed", "sigmoid", 0.5, "nan", 0.0, id="two classes of a sigmoid"),
        pytest.param("mixed", "softmax", 0.7, "smooth", 0.0, id="two classes at 0.7 as float32, and 0/0 unsmoothed"),
        pytest.param("nothing", "four", 0.5, "one", 1.0, id="nothing to find and nothing found"),
        pytest.param("full", "softmax", 0.5, "nan", 0.0, id="all foreground"),
        pytest.param("constant", "sigmoid", 0.5, "nan", 0.0, id="p equals the threshold"),
        pytest.param("constant", "four", 0.5, "nan", 0.0, id="all classes equally probable"),
        pytest.param("no_reference", "sigmoid", 0.5, "smooth", 1.0, id="false positives alone"),
        pytest.param("ignored", "four", 0.5, "one", 0.0, id="no counted pixel"),
    ],
)
def test_equals_the_tables_of_a_report(
    inputs: str, network: str, threshold: float, empty: EmptyPolicy, smooth: float
) -> None:
    labels, probabilities = draw_set(inputs, network)
    n_classes = NETWORKS[network]
    # Soft sums decide at 0.5 what is empty.
    kinds_of_sums = (False, True) if threshold == 0.5 else (False,)
    counts = per_image(labels, probabilities, n_classes, threshold)
    wanted = of_the_report(counts, ScoreSettings(empty=empty, smooth=smooth, batch_sizes=(BATCH,)))
    for kind, soft in product(KINDS, kinds_of_sums):
        metric = kind(n_classes, "each", None if soft else threshold, smooth, empty, name="score")
        for name, score in update(metric, labels, probabilities).items():
            class_name = "all_macro" if name == "score" else name.removeprefix("score_").replace("_", " ")
            np.testing.assert_allclose(
                float(score), wanted[(*key(kind, soft), class_name)], rtol=1e-6, atol=1e-7, err_msg=f"{kind} {name}"
            )


def test_one_class_or_the_mean_is_that_of_each() -> None:
    labels, probabilities = draw_set("mixed", "four")
    each = update(PooledDice(4, "each", name="dice"), labels, probabilities)
    assert list(each) == ["dice", *(f"dice_class_{index}" for index in range(4))]
    for index, name in ((None, "dice"), (0, "dice_class_0"), (3, "dice_class_3")):
        assert measure(PooledDice(4, index), labels, probabilities) == float(each[name])


@settings(max_examples=5, deadline=None)
@given(cuts=st.sets(st.integers(1, 8)), soft=st.booleans())
def test_means_over_images_and_pooled_do_not_depend_on_the_cuts(cuts: set[int], soft: bool) -> None:
    labels, probabilities = draw_set("mixed", "softmax")
    for kind in WHOLE:
        at_once, in_parts = (kind(threshold=None if soft else 0.5) for _ in range(2))
        assert measure(in_parts, labels, probabilities, tuple(sorted(cuts))) == pytest.approx(
            measure(at_once, labels, probabilities, ()), rel=1e-6
        )


def test_short_last_batch_counts_by_its_images() -> None:
    # Ten pixels: a reference of all, of which nine tenths, then one half, are found.
    labels = np.ones((7, 2, 5), np.uint8)
    found = np.float32(np.arange(10).reshape(1, 2, 5, 1) < np.array([9] * 6 + [5]).reshape(-1, 1, 1, 1))
    full, last = 18 / 19, 10 / 15
    assert measure(BatchSummedDice(), labels, found, (3, 6)) == pytest.approx((6 * full + last) / 7)
    assert measure(BatchSummedTversky(alpha=1, beta=1), labels, found, (3, 6)) == pytest.approx((6 * 0.9 + 0.5) / 7)
    assert measure(PooledDice(), labels, found, (3, 6)) == pytest.approx(2 * 59 / (59 + 70))


@pytest.mark.parametrize("empty", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_image_has_no_score(kind: Any, empty: EmptyPolicy) -> None:
    assert math.isnan(float(kind(empty=empty, smooth=1.0).result()))


@pytest.mark.parametrize("kind", KINDS)
def test_reset_forgets_all(kind: Any) -> None:
    labels, probabilities = draw_set("mixed", "four")
    metric = kind(n_classes=4)
    first = measure(metric, labels, probabilities)
    metric.reset_state()
    assert math.isnan(float(metric.result()))
    assert measure(metric, labels, probabilities) == first


@pytest.mark.parametrize("network", ["sigmoid", "four"])
def test_one_hot_references_without_a_class_are_ignored_pixels(network: str) -> None:
    labels, probabilities = draw_set("mixed", network)
    n_classes = NETWORKS[network]
    one_hot = np.float32(labels[..., None] == np.arange(n_classes))
    metrics = [PooledDice(n_classes=n_classes, reference=encoding) for encoding in ("index", "one_hot")]
    assert measure(metrics[0], labels, probabilities) == measure(metrics[1], one_hot, probabilities)


class Count(SegmentationMetric):
    """A sum of numbers."""

    def __init__(self) -> None:
        super().__init__(2, "index", None)
        self.sums = self._add_sums("sums", 1)

    def _count(self, pixels: Pixels) -> None:  # noqa: ARG002
        raise AssertionError("numbers are added to the sums directly")

    @property
    def exact(self) -> int:
        return sum(int(part) for part in ops.convert_to_numpy(self.sums).ravel())


COUNTS = {
    "one pixel more": ([2.0**24], [1.0]),
    "ones after much": ([2.0**30], *[[1.0]] * 70),
    "largest images": ([2.0**24 - 1] * 9, [2.0**24 - 3] * 9, [1.0, 2.0**24 - 1]),
}


@pytest.mark.parametrize("batches", COUNTS.values(), ids=COUNTS.keys())
def test_counts_are_exact_beyond_what_float32_counts_to(batches: tuple[list[float], ...]) -> None:
    counted = Count()
    for batch in batches:
        accumulate(counted.sums, ops.reshape(ops.convert_to_tensor(batch, "float32"), (-1, 1)))
    true = sum(int(number) for batch in batches for number in batch)
    assert counted.exact == true
    assert float(total(counted.sums)[0]) == pytest.approx(true, rel=1e-7)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compilers_leave_counts_exact(jit_compile: bool) -> None:
    tf = pytest.importorskip("tensorflow")
    counted = Count()
    compiled = tf.function(
        lambda values: accumulate(counted.sums, values),
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec((None, 1))],
    )
    check_counts_stay_exact(counted, compiled)


def check_counts_stay_exact(counted: Count, add: Callable[[Probabilities], Any]) -> None:
    """Add more than float32 counts to, by batches of different sizes."""
    generator = np.random.default_rng(0)
    batches = [generator.integers(0, 2**24, (size, 1)) for size in (1, 2, 3, 8) * 10]
    for batch in batches:
        add(batch.astype(np.float32))
    assert counted.exact == sum(int(batch.sum()) for batch in batches)


def test_large_images_are_counted_exactly_and_soft_sums_well() -> None:
    # Constant, so that rounding errors of a running sum add up.
    labels, p = np.ones((1, 1024, 1024), np.uint8), np.full((1, 1024, 1024, 1), 0.3, np.float32)
    assert measure(PooledDice(threshold=None), labels, p, ()) == pytest.approx(2 * 0.3 / 1.3, rel=1e-6)
    assert measure(PooledDice(threshold=0.2), labels, p, ()) == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_probabilities_are_summed_in_float32(dtype: str) -> None:
    # More pixels than either type counts to.
    labels = np.zeros((2, 300, 300), np.uint8)
    labels[:, :, :100] = 1
    p = ops.cast(ops.full((2, 300, 300, 1), 0.75), dtype)
    soft, hard = PerSampleDice(threshold=None), PooledDice()
    assert measure(soft, labels, p, ()) == pytest.approx(2 * 0.75 * 30000 / (0.75 * 90000 + 30000), rel=1e-6)
    assert measure(hard, labels, p, ()) == pytest.approx(2 * 30000 / 120000, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"n_classes": 1}, "n_classes must be 2 or more", id="one class"),
        pytest.param({"class_index": 2}, "class_index must be one of 0 to 1", id="no such class"),
        pytest.param({"threshold": 0}, "threshold must lie above 0", id="threshold that all reach"),
        pytest.param({"threshold": 127}, "threshold must lie above 0", id="threshold of 8 bits"),
        pytest.param({"smooth": -1}, "smooth must be", id="negative smoothing"),
        pytest.param({"empty": "skip"}, "empty must be one of", id="no policy"),
        pytest.param({"reference": "labels"}, "reference must be one of", id="no encoding"),
        pytest.param({"alpha": 0, "beta": 0}, "not both 0", id="neither mistake counts"),
        pytest.param({"alpha": math.inf}, "must be finite", id="infinite weight"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerSampleTversky(**options)


def test_what_does_not_fit_is_refused() -> None:
    labels, probabilities = draw_set("mixed", "four")
    with pytest.raises(ValueError, match="tells 4 classes apart, the metric 2"):
        PerSampleDice().update_state(labels, probabilities)
    with pytest.raises(ValueError, match="announced as 'one_hot'"):
        PerSampleDice(n_classes=4, reference="one_hot").update_state(labels, probabilities)
    with pytest.raises(ValueError, match="takes no sample weights"):
        PerSampleDice(n_classes=4).update_state(labels, probabilities, np.ones(9))


@pytest.mark.parametrize("kind", KINDS)
def test_comes_back_from_its_configuration(kind: Any) -> None:
    own = {"alpha": 0.2, "beta": 0.9} if "Tversky" in kind.__name__ else {}
    options = {
        "n_classes": 4,
        "class_index": 2,
        "threshold": 0.25,
        "smooth": 0.5,
        "empty": "smooth",
        "reference": "one_hot",
        "name": "mine",
    }
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(kind(**options, **own)))
    assert type(metric) is kind
    assert metric.get_config() == {**options, **own}


# A network of free height and width, in compiled steps.


def build(n_classes: int, policy: str = "float32") -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 1), dtype="float32")
    features = keras.layers.Conv2D(3, 3, padding="same", activation="relu", dtype=policy)(image)
    outputs = {"activation": "sigmoid", "filters": 1} if n_classes == 2 else {"activation": "softmax", "filters": 4}
    return keras.Model(image, keras.layers.Conv2D(kernel_size=1, dtype=policy, **outputs)(features))


def draw_images(labels: Labels) -> Probabilities:
    noise = np.random.default_rng(1).random((*labels.shape, 1), dtype=np.float32)
    return np.asarray(noise + (labels % 4)[..., None], np.float32)


def all_scores(n_classes: int) -> list[Any]:
    """Every kind, hard and soft, each with a name of its own."""
    return [
        kind(n_classes=n_classes, threshold=threshold, name=f"{kind.__name__}_{threshold}")
        for kind, threshold in product(KINDS, (0.5, None))
    ]


def check_scores_of_a_training(n_classes: int, policy: str, jit_compile: bool) -> None:
    """Train for three epochs, each followed by the scores of a set whose last batch is short."""
    labels, _ = draw("random", 9, n_classes)
    images = draw_images(labels)
    model = build(n_classes, policy)
    loss = DiceCrossEntropy([1 / n_classes] * n_classes)
    # The learning rate is large, so that the epochs differ.
    model.compile(keras.optimizers.Adam(0.1), loss, metrics=all_scores(n_classes), jit_compile=jit_compile)
    found: list[tuple[dict[str, float], Probabilities]] = []

    def note(_: int, logs: dict[str, float]) -> None:
        predicted = [
            ops.convert_to_numpy(ops.cast(model(images[i : i + BATCH]), "float32")) for i in range(0, 9, BATCH)
        ]
        found.append((dict(logs), np.concatenate(predicted)))

    model.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=3,
        verbose=0,
        validation_data=(images, labels),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
    )
    assert len({logs["val_PerSampleDice_None"] for logs, _ in found}) == 3
    for logs, probabilities in found:
        counts = per_image(labels, probabilities, n_classes, 0.5)
        wanted = of_the_report(counts, ScoreSettings(batch_sizes=(BATCH,)))
        for kind, threshold in product(KINDS, (0.5, None)):
            # The network itself is compiled here and not there, which moves its probabilities by a little.
            tolerance = 1e-5 if policy == "float32" else 0.02
            assert logs[f"val_{kind.__name__}_{threshold}"] == pytest.approx(
                wanted[(*key(kind, threshold is None), "all_macro")], abs=tolerance
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_classes", "policy", "jit_compile"),
    [
        (2, "float32", False),
        (4, "float32", True),
        (2, "mixed_float16", False),
        (2, "mixed_bfloat16", True),
    ],
)
def test_scores_of_a_training_are_those_of_its_predictions(n_classes: int, policy: str, jit_compile: bool) -> None:
    check_scores_of_a_training(n_classes, policy, jit_compile)


def test_compiled_model_comes_back_with_its_metrics(tmp_path: Path) -> None:
    labels, _ = draw("random", 9, 4)
    model = build(4)
    model.compile("sgd", DiceCrossEntropy([0.25] * 4), metrics=[PooledTversky(4, smooth=2.0), PerSampleDice(4, 3)])
    before = model.evaluate(draw_images(labels), labels, verbose=0, batch_size=BATCH, return_dict=True)
    assert before.keys() == {"loss", "pooled_tversky", "per_sample_dice"}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    after = again.evaluate(draw_images(labels), labels, verbose=0, batch_size=BATCH, return_dict=True)
    assert after == pytest.approx(before, abs=1e-6)
