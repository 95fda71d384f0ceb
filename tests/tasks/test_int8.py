from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import EngineError
from segscale.tasks.engine_plan import EnginePlan, plan_engine
from segscale.tasks.engine_rates import EngineRates
from segscale.tasks.engine_sample import Sample
from segscale.tasks.engines import Engine, EngineFacts, Precision, check_batch
from segscale.tasks.engines.heads import HeadChoice
from segscale.tasks.engines.openvino_graph import OpenVinoGraph
from segscale.tasks.engines.selection import Choice
from segscale.tasks.int8 import KEPT, Int8Source
from segscale.tasks.kept_graph import kept_graph
from segscale.tasks.normalize import Recipe, apply_recipe
from segscale.tasks.prediction import Asked

MakeSet = Callable[..., Any]
ASKED = Asked(
    weights_sha256="ff", level=4, ensemble=False, flips=False, n_classes=2, batch_size=0, tile=1024, overlap=0.25,
    threshold=0.5, keep="labels",
)  # fmt: skip
INT8 = Choice("openvino", "float32", "asked for", int8=True)
ASKED_FOR = Choice("openvino", "int8", "asked for")


class Shifted:
    """The brightness of a pixel is its probability; in a reduced precision it is `shift` more."""

    def __init__(self, precision: Precision, shift: float, graph: str = "") -> None:
        self.shift = np.float32(shift)
        self.facts = EngineFacts("openvino", "cpu", precision, "fake 1", ("head_4",), 2, 1, 1, 32, graph=graph)

    def probabilities(self, pixels: NDArray[Any], recipe: NDArray[np.float32]) -> NDArray[np.float32]:
        check_batch(pixels, recipe, self.facts)
        seen = [apply_recipe(image, Recipe(*map(float, row))) for image, row in zip(pixels, recipe, strict=True)]
        return np.stack(seen)[np.newaxis] + self.shift


class Quantiser:
    """Gives graphs whose price falls with each layer that is kept."""

    def __init__(self, shifts: Mapping[int, float]) -> None:
        self.shifts = shifts
        self.calls: list[tuple[tuple[str, ...], int]] = []

    def __call__(self, images: Mapping[str, NDArray[np.float32]], kept: int) -> tuple[OpenVinoGraph, Engine]:
        self.calls.append((tuple(images), kept))
        graph = OpenVinoGraph(
            b"<net/>", bytes([kept]) * 3_000_000, HeadChoice(("head_4",), ("head_4",)), 1, 1, 32, "x", quantised=True
        )
        return graph, Shifted("int8", self.shifts[kept], graph.content)


def drawn(make_set: MakeSet, n_images: int) -> Any:
    """Images of 40x40: a square of 100 pixels, found; below it 100 more that are just below a half."""
    image = np.full((40, 40), 20, np.uint8)
    image[10:20, 10:20], image[20:30, 10:20] = 200, 126
    names = [f"{number:02}.png" for number in range(n_images)]
    made = make_set(dict.fromkeys(names, image), dict.fromkeys(names, (image == 200).astype(np.uint8)))
    made.ingest()
    return made


def resolve(
    made: Any, quantiser: Quantiser, choice: Choice = ASKED_FOR, bfloat16: float = 0.0
) -> tuple[EnginePlan, Engine]:
    keys = [entry.key for entry in made.entries()]

    def build(_: str, precision: Precision) -> Engine:
        return Shifted(precision, bfloat16 if precision == "bfloat16" else 0.0)

    return plan_engine(
        made.store, keys[0], ASKED, choice, build, max_dice_change=0.01, memory_bytes=10**12,
        int8=Int8Source(keys, quantiser),
    )  # fmt: skip


def test_what_costs_little_is_taken_and_kept_in_the_store(make_set: MakeSet) -> None:
    made, quantiser = drawn(make_set, 24), Quantiser(dict.fromkeys(KEPT, 0.001))
    plan, engine = resolve(made, quantiser)
    assert plan.facts == engine.facts
    assert (plan.prediction.precision, plan.facts.precision) == ("int8", "int8")
    assert plan.parity is not None
    assert plan.quantisation is not None
    assert plan.parity.n_images == 6
    ((images, kept),) = quantiser.calls
    assert (plan.quantisation.images, plan.quantisation.kept, kept) == (images, 1, 1)
    assert len(images) == 18
    assert plan.prediction.versions["graph"] == plan.quantisation.graph
    assert (
        kept_graph(made.store, plan.quantisation.graph)
        == quantiser(dict.fromkeys(images, np.zeros(1, np.float32)), 1)[0]
    )
    assert "calibrated on 18 images with the first and last layer in float32" in plan.reason
    assert EnginePlan.from_record(json.loads(json.dumps(plan.record()))) == plan


def test_the_same_images_are_drawn_each_time_and_none_is_checked_with(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, quantiser = drawn(make_set, 24), Quantiser(dict.fromkeys(KEPT, 0.001))
    checked: list[str] = []
    compare = Sample.compare

    def noted(sample: Sample, *arguments: Any) -> Any:
        checked.extend(row.image_id for row in sample.rows)
        return compare(sample, *arguments)

    monkeypatch.setattr(Sample, "compare", noted)
    plans = [resolve(made, quantiser)[0] for _ in range(2)]
    assert plans[0] == replace(plans[1], batch=plans[0].batch, prediction=plans[0].prediction)
    assert quantiser.calls[0] == quantiser.calls[1]
    assert len(checked) == 12
    assert not set(checked) & set(quantiser.calls[0][0])


def test_more_layers_stay_in_float32_until_the_price_is_within_the_bound(make_set: MakeSet) -> None:
    quantiser = Quantiser({1: 0.1, 2: 0.1, 3: 0.001})
    plan, _ = resolve(drawn(make_set, 24), quantiser)
    assert [kept for _, kept in quantiser.calls] == [1, 2, 3]
    assert plan.quantisation is not None
    assert (plan.prediction.precision, plan.quantisation.kept) == ("int8", 3)
    # 100 true pixels and 100 false ones: Dice 2/3 where it was 1.
    assert "int8 with the first and last 2 layers in float32 changes the Dice by 0.33" in plan.reason


def test_it_is_given_up_with_the_figure(make_set: MakeSet) -> None:
    plan, engine = resolve(drawn(make_set, 24), Quantiser(dict.fromkeys(KEPT, 0.1)))
    assert (plan.prediction.precision, engine.facts.precision, plan.quantisation) == ("float32", "float32", None)
    assert "by 0.33 at most" in plan.reason
    assert "more than 0.01 (max_dice_change), so float32, the best of 4 that were tried" in plan.reason


def test_too_few_images_are_refused_with_their_number(make_set: MakeSet) -> None:
    with pytest.raises(EngineError, match=r"needs 16 images .* 21 in all; .* 20 images can be predicted"):
        resolve(drawn(make_set, 20), Quantiser({1: 0.0}))


def test_a_graph_that_is_not_in_the_store_is_named(make_set: MakeSet) -> None:
    with pytest.raises(EngineError, match=r"no quantised graph ffff.* --replan makes one anew"):
        kept_graph(drawn(make_set, 1).store, "f" * 64)


@pytest.mark.parametrize(
    ("rates", "bfloat16", "expected"),
    [
        pytest.param((2.0, 2.5), 0.0, "int8", id="int8 is the faster"),
        pytest.param((2.0, 1.9), 0.0, "bfloat16", id="int8 pays, but less"),
        pytest.param((2.5, 2.0), 0.1, "int8", id="bfloat16 costs too much"),
        pytest.param((1.0, 1.2), 0.0, "float32", id="neither pays"),
    ],
)  # fmt: skip
def test_fastest_takes_what_is_fastest_at_a_low_price(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, rates: tuple[float, float], bfloat16: float, expected: str
) -> None:
    by_name = dict(zip(("bfloat16", "int8"), rates, strict=True))

    def measured(_: Sample, reduced: Engine, *__: object) -> EngineRates:
        rate = by_name[reduced.facts.precision]
        return EngineRates(reduced.facts.precision, (rate,) * 3, (1.0,) * 3)

    monkeypatch.setattr(Sample, "rates", measured)
    choice = replace(INT8, contender="bfloat16")
    plan, engine = resolve(drawn(make_set, 24), Quantiser(dict.fromkeys(KEPT, 0.001)), choice, bfloat16)
    assert (plan.prediction.precision, engine.facts.precision) == (expected, expected)
    assert plan.reason.endswith(f'; model.precision = "{expected}" pins it')
    assert all(f"{name} was" in plan.reason for name in by_name)


def test_fastest_goes_on_without_int8_where_it_cannot_be_had(make_set: MakeSet) -> None:
    plan, _ = resolve(drawn(make_set, 3), Quantiser({}), INT8)
    assert plan.prediction.precision == "float32"
    assert "precision int8 needs 16 images" in plan.reason
