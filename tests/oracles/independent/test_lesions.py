"""Beside cc3d, SimpleITK and panoptica: components, places and sizes of lesions, and which of them match.

panoptica wants an older pandas, so it has an environment of its own, whose Python SEGSCALE_PANOPTICA names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cc3d
import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

import segscale
from segscale.tasks.bit_rows import bit_rows
from segscale.tasks.lesions.components import components
from tests.oracles.independent.conftest import DATA
from tests.tasks.lesions.lesion_labels import as_labels, in_scan_order

pytestmark = pytest.mark.oracle

Mask = NDArray[Any]
Ask = Callable[..., dict[str, Any]]
SPINES = DATA / "formats" / "panoptica_spine_pairs"
PROGRAM = """
import json, sys
import numpy as np
from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
from panoptica.instance_matcher import MaxBipartiteMatching, NaiveThresholdMatching
from panoptica.metrics import Metric, MetricMode

for line in sys.stdin:
    one = json.loads(line)
    pair = np.load(one["pair"])
    how = {"matching_metric": Metric[one["metric"]], "matching_threshold": one["threshold"]}
    matcher = NaiveThresholdMatching(**how, allow_many_to_one=True) if one["many"] else MaxBipartiteMatching(**how)
    metrics = [Metric.IOU, Metric.DSC, *([Metric.CEDI] if one["distances"] else [])]
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE if one["instances"] else InputType.SEMANTIC,
        instance_approximator=None if one["instances"] else ConnectedComponentsInstanceApproximator(),
        instance_matcher=matcher, instance_metrics=metrics, global_metrics=[],
    )
    spacing = {"voxelspacing": tuple(one["spacing"])} if one["distances"] else {}
    result = evaluator.evaluate(pair["prediction"], pair["reference"], verbose=False, **spacing)["ungrouped"]
    lists = {metric.name: list(map(float, result.get_list_metric(metric, MetricMode.ALL))) for metric in metrics}
    said = {"counts": [result.tp, result.fp, result.fn], "rq": result.rq, "pq": result.pq, **lists}
    print("ANSWER", json.dumps(said), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and a prediction of lesions."""

    reference: Mask
    prediction: Mask
    spacing_mm: tuple[float, ...]
    are_instances: bool = False


def noise(shape: tuple[int, ...], share: float) -> Pair:
    """Specks, of which four fifths are in both."""
    generator = np.random.default_rng(len(shape))
    reference = generator.random(shape) < share
    changed = generator.random(shape) < share / 5
    return Pair(reference, reference ^ changed, (2.5, 0.8, 0.7)[-len(shape) :])


def balls(shape: tuple[int, ...], number: int, seed: int) -> Pair:
    """Lesions of any size and such as lie about as they do, some of them one and some alone."""
    generator = np.random.default_rng(seed)

    def drawn(centres: NDArray[Any], radii: NDArray[Any]) -> Mask:
        places: NDArray[Any] = np.moveaxis(np.indices(shape), 0, -1)
        mask = np.zeros(shape, np.bool_)
        for centre, radius in zip(centres, radii, strict=True):
            mask |= np.linalg.norm(places - centre, axis=-1) <= radius
        return mask

    centres, radii = generator.uniform(0, shape, (number, len(shape))), generator.uniform(1, 5, number)
    moved = centres + generator.normal(0, 2, centres.shape)
    return Pair(drawn(centres, radii), drawn(moved[3:], radii[3:] * 1.1), (2.5, 0.8, 0.7)[-len(shape) :])


def spine(kind: str, choose: Callable[[Mask], Mask], *, are_instances: bool) -> Pair:
    images = [nibabel.load(SPINES / kind / f"{side}.nii.gz") for side in ("ref", "pred")]
    reference, prediction = (choose(np.asarray(image.dataobj)) for image in images)
    spacing = tuple(float(one) for one in images[0].header.get_zooms())
    return Pair(reference, prediction, spacing, are_instances)


def patient(name: str) -> Pair:
    """Lesions of multiple sclerosis, and what a network might have said: the same, moved by two pixels."""
    paths = sorted((DATA / "ms_lesions" / "masks").glob(f"{name}_*.png"))
    reference = np.stack([np.asarray(Image.open(path)) > 0 for path in paths])
    return Pair(reference, np.roll(reference, 2, axis=2), (3.0, 1.0, 1.0))


DRAWN: dict[str, Callable[[], Pair]] = {
    "specks": lambda: noise((5, 20, 65), 0.1),
    "specks of an image": lambda: noise((30, 129), 0.2),
    "balls": lambda: balls((24, 48, 70), 25, 1),
    "circles": lambda: balls((90, 128), 25, 2),
    "one voxel": lambda: Pair(np.eye(1, 64, 63, bool)[None], np.ones((1, 1, 64), bool), (1.0, 1.0, 1.0)),
}
REAL: dict[str, Callable[[], Pair]] = {
    "spine, instances": lambda: spine("unmatched_instance", lambda labels: labels, are_instances=True),
    "spine, matched instances": lambda: spine("matched_instance", lambda labels: labels, are_instances=True),
    "spine, discs": lambda: spine("semantic", lambda labels: labels == 100, are_instances=False),
    "spine, processes": lambda: spine("semantic", lambda labels: labels == 42, are_instances=False),
    "spine, bodies": lambda: spine("semantic", lambda labels: labels == 49, are_instances=False),
    "lesions of p07": lambda: patient("p07"),
    "lesions of p19": lambda: patient("p19"),
}
MADE = {name: cache(make) for name, make in (DRAWN | REAL).items()}
every_pair = pytest.mark.parametrize("name", [*DRAWN, *(pytest.param(name, marks=pytest.mark.data) for name in REAL)])


def pair_of(name: str) -> Pair:
    if name in REAL and not (SPINES.is_dir() and (DATA / "ms_lesions").is_dir()):
        pytest.skip("no real masks: set SEGSCALE_DATA")
    return MADE[name]()


def test_differs_from_cc3d_in_images_of_truth_values() -> None:
    """With eight neighbours, an even height and an odd width it joins less than it does of integers or a volume."""
    mask = np.random.default_rng(2).random((60, 129)) < 0.2
    of_integers, of_volume = mask.astype(np.uint8), mask[None]
    assert cc3d.connected_components(mask, connectivity=8).max() == 643
    assert cc3d.connected_components(of_integers, connectivity=8).max() == 587
    assert cc3d.connected_components(of_volume, connectivity=26).max() == 587
    assert ours(mask, 8).max() == 587


def ours(mask: Mask, neighbours: int) -> NDArray[Any]:
    volume = mask if mask.ndim == 3 else mask[None]
    return as_labels(components(bit_rows(volume != 0), volume.shape[-1], neighbours)).reshape(mask.shape)


@every_pair
def test_components_are_those_of_cc3d(name: str) -> None:
    # As integers: of truth values it has more in some images (below).
    mask = (pair_of(name).reference != 0).astype(np.uint8)
    for neighbours in (6, 18, 26) if mask.ndim == 3 else (4, 8):
        theirs = cc3d.connected_components(mask, connectivity=neighbours)
        np.testing.assert_array_equal(ours(mask, neighbours), in_scan_order(theirs))


@every_pair
def test_components_their_places_and_sizes_are_those_of_simpleitk(name: str) -> None:
    pair = pair_of(name)
    mask = pair.prediction != 0
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(pair.spacing_mm[::-1])
    for neighbours, fully in ((26, True), (6, False)) if mask.ndim == 3 else ((8, True), (4, False)):
        labels = SimpleITK.ConnectedComponent(image, fully)
        np.testing.assert_array_equal(
            ours(mask, neighbours), in_scan_order(SimpleITK.GetArrayFromImage(labels).astype(np.int64))
        )
        statistics = SimpleITK.LabelShapeStatisticsImageFilter()
        statistics.Execute(labels)
        theirs = [
            (
                *statistics.GetCentroid(label)[::-1],
                statistics.GetPhysicalSize(label),
                statistics.GetNumberOfPixels(label),
            )
            for label in statistics.GetLabels()
        ]
        found = segscale.lesions(mask, mask, pair.spacing_mm, neighbours).reference
        size = found.volume_mm3 if mask.ndim == 3 else found.area_mm2
        table = np.column_stack([found.centroid, size, found.voxels])
        np.testing.assert_allclose(sorted(map(tuple, table)), sorted(theirs), rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def panoptica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """What panoptica says of a pair, as often as it is asked, by one process: its import takes seconds."""
    python = os.environ.get("SEGSCALE_PANOPTICA")
    if not python:
        pytest.skip("SEGSCALE_PANOPTICA names a Python that has panoptica")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pair = tmp_path_factory.mktemp("panoptica") / "pair.npz"
    command, pipe = [python, "-c", PROGRAM], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(reference: Mask, prediction: Mask, **question: Any) -> dict[str, Any]:
            np.savez(pair, reference=reference.astype(np.uint8), prediction=prediction.astype(np.uint8))
            question = {"pair": str(pair), "many": False, "instances": False, "distances": False, **question}
            print(json.dumps(question), file=questions, flush=True)
            # It also prints how it wants to be cited.
            answer = next((line for line in answers if line.startswith("ANSWER ")), None)
            assert answer is not None, "the process ended, see what it wrote to stderr"
            said: dict[str, Any] = json.loads(answer.removeprefix("ANSWER "))
            return said

        yield ask


RULES: dict[str, Literal["iou", "dice"]] = {"IOU": "iou", "DSC": "dice"}


@every_pair
@pytest.mark.parametrize("metric", RULES)
@pytest.mark.parametrize("threshold", [0.5, 0.25, 0.0])
def test_one_to_one_is_matched_as_by_panoptica(name: str, metric: str, threshold: float, panoptica: Ask) -> None:
    pair = pair_of(name)
    found = found_in(pair, metric, threshold)
    theirs = panoptica(
        pair.reference,
        pair.prediction,
        metric=metric,
        threshold=threshold,
        spacing=pair.spacing_mm,
        instances=pair.are_instances,
        # It has none where nothing is matched. Of specks many matchings weigh the same, with other distances.
        distances=found.true_positive > 0 and "specks" not in name,
    )
    assert [found.true_positive, found.false_positive, found.false_negative] == theirs["counts"]
    assert [found.f1, found.panoptic_quality] == pytest.approx([theirs["rq"], theirs["pq"]], rel=1e-12)
    rows = found.reference
    for scores, of_theirs in ((rows.iou, "IOU"), (rows.dice, "DSC"), (rows.distance, "CEDI")):
        if of_theirs in theirs:
            np.testing.assert_allclose(sorted(scores[rows.matched]), sorted(theirs[of_theirs]), rtol=1e-9, atol=1e-9)


def found_in(pair: Pair, metric: str, threshold: float) -> segscale.Lesions:
    """Ours, with four neighbours in images as it has them."""
    return segscale.lesions(
        pair.reference,
        pair.prediction,
        pair.spacing_mm,
        None if pair.reference.ndim == 3 else 4,
        RULES[metric],
        threshold=threshold,
        instances="both" if pair.are_instances else "",
    )


@pytest.mark.parametrize(
    ("reference", "prediction", "counts", "same"),
    [
        ("######", "##.###", (1, 0, 0), True),
        ("######.##", "#.#.#..##", (2, 0, 0), True),
        ("##.##", "#####", (2, 0, 0), False),
    ],
    ids=["split", "split and found", "merged"],
)
def test_any_overlap_differs_where_lesions_are_merged(
    reference: str, prediction: str, counts: tuple[int, ...], same: bool, panoptica: Ask
) -> None:
    """Of many to one panoptica gives each lesion of the prediction to one of the reference: a second is missed."""
    pair = [np.array([[[letter == "#" for letter in row]] * 3] * 3) for row in (reference, prediction)]
    theirs = panoptica(*pair, metric="IOU", threshold=0.0, many=True)
    found = segscale.lesions(pair[0], pair[1])
    assert (found.true_positive, found.false_positive, found.false_negative) == counts
    if same:
        assert [*counts] == theirs["counts"]
        assert [found.f1, found.panoptic_quality] == pytest.approx([theirs["rq"], theirs["pq"]], rel=1e-12)
    else:
        assert theirs["counts"] == [1, 0, 1]


@pytest.mark.parametrize("drawn", ["....", "#..."])
def test_nothing_to_find_or_found_is_as_for_panoptica(drawn: str, panoptica: Ask) -> None:
    mask = np.array([[[letter == "#" for letter in drawn]]])
    theirs = panoptica(mask, mask & False, metric="IOU", threshold=0.5)
    found = segscale.lesions(mask, None, rule="iou")
    assert [found.f1, found.panoptic_quality] == pytest.approx([theirs["rq"], theirs["pq"]], nan_ok=True)


def test_differs_from_panoptica_in_the_neighbours_of_an_image(panoptica: Ask) -> None:
    """Two pixels at a corner are two lesions for it in an image, one in a volume; for us one in both."""
    corner = np.eye(2, dtype=bool)
    for mask, n in ((corner, 2), (corner[None], 1)):
        theirs = panoptica(mask, mask, metric="IOU", threshold=0.5)
        assert theirs["counts"] == [n, 0, 0]
        assert segscale.lesions(mask, mask).true_positive == 1
