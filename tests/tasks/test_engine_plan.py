from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import EngineError
from segscale.tasks import engine_plan, engine_sample
from segscale.tasks.engine_plan import EnginePlan, plan_engine
from segscale.tasks.engine_rates import EngineRates
from segscale.tasks.engines import Engine, EngineFacts, Precision, check_batch
from segscale.tasks.engines.selection import Choice
from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.prediction import Asked
from segscale.tasks.tiling import pad_to

MakeSet = Callable[..., Any]
AUTO = Choice("openvino", "bfloat16", "it is the fastest here")
CONTENDED = Choice("openvino", "float32", "openvino is installed", "bfloat16")
FASTER, SLOWER = (EngineRates("bfloat16", (rate, rate, rate), (1.0, 1.0, 1.0)) for rate in (2.0, 1.2))
BRIGHT = 100
"""The first stored value of an image that the reduced precision sees a little brighter."""


class ShiftedEngine:
    """The brightness of a pixel is its probability; in bfloat16, images that begin with `BRIGHT` are brighter."""

    def __init__(self, precision: Precision, shift: float, heads: Sequence[str] = ("head_4",)) -> None:
        self.shift = shift if precision == "bfloat16" else 0.0
        self.facts = EngineFacts("fake", "cpu", precision, "fake 1", tuple(heads), 2, 1, 1, 32)
        self.batches: list[int] = []

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        self.batches.append(len(pixels))
        seen = [
            apply_recipe(image, Recipe(*map(float, row))) + np.float32(self.shift if image[0, 0, 0] == BRIGHT else 0)
            for image, row in zip(pixels, recipe, strict=True)
        ]
        return np.stack([np.stack(seen)] * len(self.facts.heads))


@pytest.fixture
def data(make_set: MakeSet) -> Any:
    """Three images of 40x40: a square of 100 pixels, found; in one of them 100 more pixels are just below a half."""
    images, references = {}, {}
    for number in range(3):
        image = np.full((40, 40), 20, np.uint8)
        image[10:20, 10:20] = 200
        if number == 1:
            image[0, 0] = BRIGHT
            image[20:30, 10:20] = 126
        images[f"{number}.png"] = image
        references[f"{number}.png"] = (image == 200).astype(np.uint8)
    return make_set(images, references)


def asked(**changes: Any) -> Asked:
    usual = Asked(
        weights_sha256="ff", level=4, ensemble=False, flips=False, n_classes=2, batch_size=0, tile=1024, overlap=0.25,
        threshold=0.5, keep="labels",
    )  # fmt: skip
    return replace(usual, **changes)


def resolve(
    data: Any, shift: float, choice: Choice = AUTO, max_dice_change: float = 0.01, **changes: Any
) -> tuple[EnginePlan, Engine]:
    data.ingest()
    (entry,) = data.entries()

    def build(engine: str, precision: Precision) -> Engine:
        assert engine == "openvino"
        return ShiftedEngine(precision, shift)

    return plan_engine(
        data.store, entry.key, asked(**changes), choice, build,
        max_dice_change=max_dice_change, memory_bytes=10**12,
    )  # fmt: skip


def test_a_precision_that_changes_no_score_stands(data: Any) -> None:
    plan, engine = resolve(data, shift=0.001)
    assert (plan.prediction.precision, engine.facts.precision, plan.facts.precision) == ("bfloat16",) * 3
    assert plan.parity is not None
    assert (plan.parity.n_images, plan.parity.n_flipped, plan.parity.largest_dice_change) == (3, 0, 0.0)
    assert plan.parity.largest_difference == pytest.approx(0.001, rel=1e-3)
    assert plan.reason.startswith("it is the fastest here; bfloat16 changes")
    assert plan.reason.endswith("accepted")


def test_a_precision_that_changes_one_image_too_much_is_not_used_and_its_price_is_kept(data: Any) -> None:
    plan, engine = resolve(data, shift=0.1)
    assert (plan.prediction.precision, engine.facts.precision, plan.facts.precision) == ("float32",) * 3
    assert plan.parity is not None
    # 100 true pixels and 100 false ones: Dice 2/3 where it was 1.
    assert plan.parity.largest_dice_change == pytest.approx(1 / 3)
    assert plan.parity.worst_image == "1"
    assert plan.parity.n_flipped == 100
    assert plan.reason.endswith("more than 0.01 (max_dice_change), so float32")


def test_the_allowance_decides(data: Any) -> None:
    plan, _ = resolve(data, shift=0.1, max_dice_change=0.34)
    assert plan.prediction.precision == "bfloat16"


def test_an_explicit_precision_has_its_price_checked_too(data: Any) -> None:
    plan, _ = resolve(data, shift=0.1, choice=Choice("openvino", "bfloat16", "asked for"))
    assert plan.prediction.precision == "float32"


def test_float32_is_not_checked_against_itself(data: Any) -> None:
    plan, _ = resolve(data, shift=0.1, choice=Choice("openvino", "float32", "asked for"))
    assert plan.parity is None
    assert plan.reason == "asked for"
    assert plan.prediction.precision == "float32"


def test_where_no_image_can_be_checked_it_is_float32(make_set: MakeSet) -> None:
    broken = make_set({"a.png": b"no image"}, {"a.png": np.zeros((8, 8), np.uint8)})
    plan, _ = resolve(broken, shift=0.0)
    assert plan.prediction.precision == "float32"
    assert plan.batch is None
    assert "unknown" in plan.reason


def test_what_is_no_probability_in_the_reduced_precision_is_float32(data: Any) -> None:
    plan, _ = resolve(data, shift=2.0)
    assert plan.prediction.precision == "float32"
    assert plan.parity is not None
    assert plan.parity.n_unusable == 1
    assert "1 images have results that are no probabilities" in plan.reason


def test_the_batch_is_found_by_trying_and_kept_as_pixels(data: Any) -> None:
    plan, _ = resolve(data, shift=0.0)
    assert plan.batch is not None
    assert plan.batch.trials[0].n_images == 1
    # 40x40 images lie in the store as 64x64.
    assert plan.prediction.batch_pixels == plan.batch.n_images * 64 * 64


def test_a_batch_that_was_given_is_not_tried(data: Any) -> None:
    plan, _ = resolve(data, shift=0.0, batch_size=3)
    assert plan.batch is None
    assert (plan.prediction.batch_size, plan.prediction.batch_pixels) == (3, 0)


def test_an_engine_that_cannot_be_had_says_so(data: Any) -> None:
    data.ingest()
    (entry,) = data.entries()

    def build(engine: str, precision: Precision) -> Engine:
        raise ValueError(f"{engine} has no {precision}")

    with pytest.raises(ValueError, match="openvino has no bfloat16"):
        plan_engine(data.store, entry.key, asked(), AUTO, build, max_dice_change=0.01, memory_bytes=10**12)


def test_the_record_is_plain_json_without_nan(make_set: MakeSet) -> None:
    broken = make_set({"a.png": b"no image"}, {"a.png": np.zeros((8, 8), np.uint8)})
    plan, _ = resolve(broken, shift=0.0)
    record = plan.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["engine"]["parity"]["largest_dice_change"] is None


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_a_plan_is_read_as_it_was_written(data: Any, shift: float) -> None:
    plan, _ = resolve(data, shift)
    assert EnginePlan.from_record(json.loads(json.dumps(plan.record()))) == plan


def test_what_was_nan_is_nan_again(make_set: MakeSet) -> None:
    plan, _ = resolve(make_set({"a.png": b"no image"}, {"a.png": np.zeros((8, 8), np.uint8)}), shift=0.0)
    read = EnginePlan.from_record(plan.record())
    assert read.parity is not None
    assert np.isnan(read.parity.largest_dice_change)
    assert read.record() == plan.record()


class MeanEngine(ShiftedEngine):
    """A pixel is as bright as it is against the mean of all that the engine is given; `known` if its layers say so."""

    def __init__(self, precision: Precision, known: bool) -> None:
        super().__init__(precision, 0.0)
        self.facts = replace(self.facts, stride=8, whole_image=("'mean' (Mean)",) if known else ())

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = super().probabilities(pixels, recipe)
        return np.asarray(0.5 + (seen - seen.mean(axis=(2, 3), keepdims=True)) / 2, np.float32)


def resolve_mean(data: Any, known: bool, **changes: Any) -> EnginePlan:
    data.ingest()
    (entry,) = data.entries()
    plan, _ = plan_engine(
        data.store, entry.key, asked(**changes), Choice("keras", "float32", "asked for"),
        lambda _, precision: MeanEngine(precision, known), max_dice_change=0.01, memory_bytes=10**12,
    )  # fmt: skip
    return plan


def two_sizes(make_set: MakeSet) -> Any:
    """Images of 40x64 and 60x37, both padded to 64x64 in the store; brighter to the right."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    images = {"a.png": ramp[:40], "b.png": ramp[:60, :37]}
    return make_set(images, {name: (image > 90).astype(np.uint8) for name, image in images.items()})


@pytest.mark.parametrize("known", [pytest.param(True, id="by its layers"), pytest.param(False, id="by a change")])
def test_a_network_that_looks_at_the_whole_image_is_told_by(make_set: MakeSet, known: bool) -> None:
    data = two_sizes(make_set)
    plan = resolve_mean(data, known)
    assert plan.prediction.whole_image
    assert plan.reach is not None
    assert plan.reach.image == "b"
    assert np.isnan(plan.reach.far_difference) == known
    # The true size is padded to the stride of 8, the shared one is 64x64.
    image = data.stored("b")[0][:, :60, :37] / 255
    means = [pad_to(image, *size, "reflect").mean() for size in ((64, 40), (64, 64))]
    assert plan.reach.padding_difference == pytest.approx(abs(means[0] - means[1]) / 2, rel=1e-4)
    assert plan.prediction.batch_pixels % (40 * 64) == 0
    assert EnginePlan.from_record(json.loads(json.dumps(plan.record()))).record() == plan.record()


def test_a_network_that_looks_at_a_neighbourhood_is_left_as_it_was(data: Any) -> None:
    plan, _ = resolve(data, shift=0.0)
    assert not plan.prediction.whole_image
    assert plan.reach is not None
    assert (plan.reach.image, plan.reach.far_difference) == ("0", 0.0)
    assert np.isnan(plan.reach.padding_difference)


@pytest.mark.parametrize("known", [True, False])
def test_images_beyond_a_tile_are_not_tried_whole(make_set: MakeSet, known: bool) -> None:
    plan = resolve_mean(two_sizes(make_set), known, tile=32)
    assert plan.prediction.whole_image
    assert plan.reach is None or np.isnan(plan.reach.padding_difference)
    assert plan.batch is None


def rated(monkeypatch: pytest.MonkeyPatch, rates: EngineRates) -> list[tuple[int, ...]]:
    """The shapes of the batches that were timed; `rates` is what comes of it."""
    timed: list[tuple[int, ...]] = []

    def measure(reduced: Engine, full: Engine, pixels: NDArray[Any], _recipe: NDArray[np.float32]) -> EngineRates:
        assert (reduced.facts.precision, full.facts.precision) == ("bfloat16", "float32")
        timed.append(pixels.shape)
        return rates

    monkeypatch.setattr(engine_sample, "measure_rates", measure)
    return timed


@pytest.mark.parametrize(
    ("rates", "shift", "precision", "words"),
    [
        pytest.param(FASTER, 0.001, "bfloat16", "0 of 4800 pixels flip: accepted", id="faster, at no price"),
        pytest.param(FASTER, 0.1, "float32", "more than 0.01 (max_dice_change), so float32", id="faster, too dear"),
        pytest.param(FASTER, 2.0, "float32", "results that are no probabilities: float32", id="faster and broken"),
        pytest.param(SLOWER, 0.001, "float32", "1.20, 1.20, 1.20 times as fast as float32", id="not fast enough"),
    ],
)
def test_a_contender_takes_the_place_of_float32_where_it_is_faster_and_costs_little(
    data: Any, monkeypatch: pytest.MonkeyPatch, rates: EngineRates, shift: float, precision: str, words: str
) -> None:
    timed = rated(monkeypatch, rates)
    plan, engine = resolve(data, shift, CONTENDED)
    assert (plan.prediction.precision, plan.facts.precision, engine.facts.precision) == (precision,) * 3
    assert plan.prediction.versions == engine_plan.versions(plan.facts)
    assert plan.rates == rates
    assert (plan.parity is None) == (rates is SLOWER)
    assert words in plan.reason
    assert plan.reason.endswith(f'; model.precision = "{precision}" pins it')
    assert plan.batch is not None
    assert timed == [(plan.batch.n_images, 64, 64, 1)]
    assert EnginePlan.from_record(json.loads(json.dumps(plan.record()))) == plan


def test_of_images_that_cannot_be_predicted_nothing_is_known(make_set: MakeSet) -> None:
    broken = make_set({"a.png": b"no image"}, {"a.png": np.zeros((8, 8), np.uint8)})
    plan, _ = resolve(broken, 0.0, CONTENDED)
    assert (plan.prediction.precision, plan.rates) == ("float32", None)
    assert plan.reason.endswith("no image of the shard checked can be predicted: float32")


def test_a_contender_that_cannot_be_built_is_none(data: Any) -> None:
    data.ingest()
    (entry,) = data.entries()

    def build(_engine: str, precision: Precision) -> Engine:
        if precision != "float32":
            raise EngineError("the runtime knows no bfloat16")
        return ShiftedEngine(precision, 0.0)

    plan, engine = plan_engine(
        data.store, entry.key, asked(), CONTENDED, build, max_dice_change=0.01, memory_bytes=10**12
    )
    assert (plan.prediction.precision, engine.facts.precision, plan.rates) == ("float32", "float32", None)
    assert plan.reason == "openvino is installed; the runtime knows no bfloat16"


def test_a_record_of_before_has_no_rates(data: Any) -> None:
    plan, _ = resolve(data, shift=0.0)
    record = plan.record()
    del record["engine"]["rates"]
    assert EnginePlan.from_record(record) == plan
