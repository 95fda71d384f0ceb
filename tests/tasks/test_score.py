from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.storage import parts
from segscale.storage.catalog import rows_by_shard
from segscale.storage.ledger import Ledger
from segscale.tasks import score
from segscale.tasks.prediction_file import Counting
from segscale.tasks.score import plan_job, score_shard

MakeSet = Callable[..., Any]
HEIGHT, WIDTH = 12, 9
Key = tuple[str, int]


def _grey(shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def _mask(seed: int = 0, shape: tuple[int, ...] = (HEIGHT, WIDTH), n_classes: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, n_classes, shape, np.uint8)


def _probabilities(shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> NDArray[np.float32]:
    # Multiples of 1/64 are exact in every float type that a file may have.
    return np.random.default_rng(7).integers(0, 65, shape).astype(np.float32) / np.float32(64)


def _score(data: Any, threshold: float = 0.5) -> dict[Key, dict[str, Any]]:
    """Ingest, score all shards, and the rows of the parts by image and class."""
    data.ingest()
    counting = Counting(threshold, data.preparation.labels)
    found: dict[Key, dict[str, Any]] = {}
    for rows in rows_by_shard(data.catalog).values():
        job = plan_job(data.catalog.iloc[rows], counting)
        done = score_shard(data.store, job, counting)
        entry = Ledger(data.store).read(score.STAGE, job.key)
        assert entry.facts == {"n_images": len(rows), "n_failed": done.n_failed}
        for row in parts.read_part(data.store, entry).to_pylist():
            assert found.setdefault((row["image_id"], row["class_index"]), row) is row
    return found


def _counts(row: dict[str, Any]) -> list[int]:
    return [row[name] for name in ("true_positive", "false_positive", "false_negative", "true_negative")]


def _by_hand(reference: NDArray[Any], prediction: NDArray[Any]) -> list[int]:
    pairs = ((True, True), (False, True), (True, False), (False, False))
    return [int(np.count_nonzero((reference == one) & (prediction == other))) for one, other in pairs]


@pytest.mark.parametrize("label_values", [(), (0, 255)], ids=["0 against anything else", "as configured"])
def test_label_maps(make_set: MakeSet, label_values: tuple[int, ...]) -> None:
    names = ["a.png", "b.png", "c.png"]
    masks = {name: _mask(seed) * 255 for seed, name in enumerate(names)}
    predictions = {name: _mask(seed + 9) * 255 for seed, name in enumerate(names)}
    data = make_set(dict.fromkeys(names, _grey()), masks, predictions=predictions, label_values=label_values)
    rows = _score(data)
    for name in names:
        row = rows[name[0], 1]
        assert _counts(row) == _by_hand(masks[name] > 0, predictions[name] > 0)
        assert (row["head"], row["status"], row["histogram_foreground"]) == ("", "ok", None)
        assert np.isnan(row["soft_intersection"])


def test_classes_of_a_label_map(make_set: MakeSet) -> None:
    values = np.array([5, 3, 9], np.uint8)
    mask, prediction = values[_mask(0, n_classes=3)], values[_mask(1, n_classes=3)]
    data = make_set(
        {"a.png": _grey()}, {"a.png": mask}, predictions={"a.png": prediction}, n_classes=3, label_values=(5, 3, 9)
    )
    rows = _score(data)
    for index, value in enumerate(values):
        assert _counts(rows["a", index]) == _by_hand(mask == value, prediction == value)


@pytest.mark.parametrize(
    ("name", "arrange"),
    [
        pytest.param("a.npy", lambda p: p, id="height, width"),
        pytest.param("a.npy", lambda p: p[..., None], id="one channel last"),
        pytest.param("a.npy", lambda p: p[None], id="one channel first, or a depth of one"),
        pytest.param("a.npy", lambda p: np.stack([1 - p, p], axis=-1), id="two channels last"),
        pytest.param("a.npy", lambda p: np.stack([1 - p, p]), id="two channels first"),
        pytest.param("a.npy", lambda p: np.stack([1 - p, p], axis=-1)[None], id="depth, then two channels last"),
        pytest.param("a.npy", lambda p: p.astype(np.float16), id="float16"),
        pytest.param("a.npy", lambda p: p.astype(">f8"), id="float64 of another machine"),
        pytest.param("a.npy", lambda p: np.asfortranarray(p), id="columns first in memory"),
        pytest.param("a.tif", lambda p: p, id="TIFF"),
    ],
)
def test_probabilities_in_any_arrangement(
    make_set: MakeSet, name: str, arrange: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    probabilities, mask = _probabilities(), _mask()
    data = make_set({"a.png": _grey()}, {"a.png": mask}, predictions={name: arrange(probabilities)})
    row = _score(data)["a", 1]
    assert row["error"] == ""
    assert _counts(row) == _by_hand(mask == 1, probabilities >= 0.5)
    assert row["soft_prediction_sum"] == probabilities.sum(dtype=np.float64)
    assert sum(row["histogram_foreground"]) == np.count_nonzero(mask)


@pytest.mark.parametrize("threshold", [0.25, 0.75, 1.0])
def test_the_threshold_is_inclusive(make_set: MakeSet, threshold: float) -> None:
    probabilities, mask = _probabilities(), _mask()
    assert (probabilities == threshold).any()
    data = make_set({"a.png": _grey()}, {"a.png": mask}, predictions={"a.npy": probabilities})
    assert _counts(_score(data, threshold)["a", 1]) == _by_hand(mask == 1, probabilities >= threshold)


@pytest.mark.parametrize("axis", [0, -1], ids=["channels first", "channels last"])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (4, HEIGHT, WIDTH)], ids=["flat", "volume"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_channels(make_set: MakeSet, axis: int, shape: tuple[int, ...], n_classes: int) -> None:
    scores = np.random.default_rng(3).random((*shape, n_classes)).astype(np.float32)
    scores /= scores.sum(axis=-1, keepdims=True)
    mask = _mask(0, shape, n_classes)
    data = make_set(
        {"a.npy": _grey(shape)}, {"a.npy": mask}, predictions={"a.npy": np.moveaxis(scores, -1, axis)},
        n_classes=n_classes, label_values=tuple(range(n_classes)),
    )  # fmt: skip
    rows = _score(data)
    labels = scores[..., 1] >= 0.5 if n_classes == 2 else scores.argmax(axis=-1)
    for index in range(n_classes):
        assert _counts(rows["a", index]) == _by_hand(mask == index, labels == index)


_NAN, _LOGITS = _probabilities(), _probabilities() * 8 - 4
_NAN[2, 3] = np.nan


@pytest.mark.parametrize(
    ("name", "prediction", "words"),
    [
        pytest.param("bad.npy", _probabilities((HEIGHT, WIDTH + 1)), "got 12x10", id="probabilities too wide"),
        pytest.param("bad.npy", _probabilities((WIDTH, HEIGHT)), "got 9x12", id="turned"),
        pytest.param("bad.npy", _probabilities((HEIGHT, WIDTH, 3)), "got 12x9x3", id="channels of another model"),
        pytest.param("bad.npy", _NAN, "1 of 108 probabilities are NaN", id="NaN"),
        pytest.param("bad.npy", _LOGITS, "apply the sigmoid", id="logits"),
        pytest.param("bad.png", _mask(shape=(HEIGHT + 1, WIDTH)), "expected the size of its image", id="mask too high"),
        pytest.param("bad.png", _mask() * 7, "label values 7", id="unlisted value"),
        pytest.param("bad.png", np.stack([_mask(), _mask(), 1 - _mask()], axis=-1), "coloured", id="colours"),
        pytest.param("bad.png", b"", "0 bytes", id="zero bytes"),
        pytest.param("bad.npy", b"\x93NUMPY torn", "bad.npy", id="torn"),
        pytest.param("bad.csv", b"0,1\n", "no reader", id="unknown ending"),
    ],
)
def test_a_bad_prediction_fails_alone_and_says_why(
    make_set: MakeSet, tmp_path: Path, name: str, prediction: Any, words: str
) -> None:
    images = dict.fromkeys(["bad.png", "good.png"], _grey())
    data = make_set(
        images, dict.fromkeys(images, _mask()), predictions={"good.png": _mask(), name: prediction}, label_values=(0, 1)
    )
    rows = _score(data)
    assert rows["good", 1]["true_positive"] == np.count_nonzero(_mask())
    for index in range(2):
        row = rows["bad", index]
        assert (row["status"], row["stage"], row["n_pixels"]) == ("failed", "score", None)
        assert row["error_type"] in ("ValueError", "UnreadableImage")
        assert words in row["error"]
        assert str(tmp_path) not in row["error"]
    assert name in rows["bad", 1]["error"], "the file is not named"


@pytest.mark.parametrize(
    ("place", "bug"),
    [
        pytest.param("prediction_file.count_overlap", ValueError("a bug"), id="a plain ValueError"),
        pytest.param("prediction_file.count_overlap", ArgumentError("a bug"), id="a function of ours called wrongly"),
        pytest.param("prediction_file.count_overlap", AssertionError("a bug"), id="an assertion"),
        pytest.param("prediction_file.class_indices", ValueError("a bug"), id="between the reader and the kernel"),
        pytest.param("prediction_file.read_label_map", KeyError("a bug"), id="on the way to the reader"),
        pytest.param("score.read_catalogued", OSError("a bug"), id="a file that cannot be fetched is no bad data"),
    ],
)
def test_a_defect_fails_no_image_but_the_attempt(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, place: str, bug: Exception
) -> None:
    data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={"a.png": _mask()})
    data.ingest()

    def broken(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr(f"segscale.tasks.{place}", broken)
    with pytest.raises(type(bug), match="a bug"):
        _score(data)
    assert not Ledger(data.store).done(score.STAGE)


def test_a_missing_prediction_is_a_failure(make_set: MakeSet) -> None:
    images = dict.fromkeys(["a.png", "b.png"], _grey())
    row = _score(make_set(images, dict.fromkeys(images, _mask()), predictions={"a.png": _mask()}))["b", 1]
    assert (row["status"], row["stage"], row["error_type"]) == ("failed", "score", "MissingFile")
    assert "expected a file for image b" in row["error"]


def test_of_a_missing_or_unusable_prediction_the_reference_is_known(make_set: MakeSet) -> None:
    names = ["good.png", "gone.png", "wide.png", "torn.png", "broken.png", "stray.png"]
    masks = {name: _mask(seed) for seed, name in enumerate(names)}
    masks["gone.png"][2, 3:7] = 9
    masks["stray.png"] = _mask(shape=(3, 3))
    predictions: dict[str, Any] = {name: _mask(5) for name in ("good.png", "broken.png", "stray.png")}
    predictions |= {"wide.png": _mask(5, (HEIGHT, WIDTH + 1)), "torn.png": b""}
    images: dict[str, Any] = {**dict.fromkeys(names, _grey()), "broken.png": b""}
    rows = _score(make_set(images, masks, predictions=predictions, ignore_label=9))
    for name in ("good", "gone", "wide", "torn"):
        pixels = [int(np.count_nonzero(masks[f"{name}.png"] == index)) for index in range(2)]
        assert [rows[name, index]["reference_pixels"] for index in range(2)] == pixels, name
    for name in ("broken", "stray"):
        assert [rows[name, index]["reference_pixels"] for index in range(2)] == [None, None], name
    assert rows["good", 1]["reference_sum"] == rows["good", 1]["reference_pixels"]


def test_an_image_that_failed_before_keeps_its_reason(make_set: MakeSet) -> None:
    images = {"a.png": _grey(), "b.png": _grey(), "c.png": b""}
    masks = {"a.png": _mask(), "b.png": _mask(shape=(3, 3)), "c.png": _mask()}
    data = make_set(images, masks, predictions=dict.fromkeys(masks, _mask()))
    rows = _score(data)
    assert rows["a", 1]["status"] == "ok"
    for name in "bc":
        failed = rows[name, 0]
        assert (failed["status"], failed["stage"]) == ("failed", "ingest")
        assert failed["error"] == data.rows()[name].failure.error


def test_a_prediction_that_changed_is_no_failure_of_the_image(make_set: MakeSet, tmp_path: Path) -> None:
    data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={"a.npy": _probabilities()})
    file = tmp_path / "set/prediction/a.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(OSError, match="changed while it was being read"):
        _score(data)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        _score(data)
    assert Ledger(data.store).done(score.STAGE) == frozenset()


def test_a_key_knows_what_is_counted_and_no_paths(make_set: MakeSet) -> None:
    def key(folder: str, seed: int = 0, threshold: float = 0.5, **changes: Any) -> str:
        data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={"a.png": _mask(seed)}, folder=folder)
        return plan_job(data.catalog, Counting(threshold, replace(data.preparation.labels, **changes))).key

    first = key("here")
    assert key("there") == first
    assert len({first, key("other", seed=1), key("t", threshold=0.4), key("l", values=(0, 1))}) == 4


def test_jobs_hold_the_predictions_of_their_rows(make_set: MakeSet) -> None:
    names = [f"{number}.png" for number in range(6)]
    data = make_set(
        dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()),
        predictions={name: _mask(seed) for seed, name in enumerate(names) if seed != 3}, shard_images=4,
    )  # fmt: skip
    for (_, rows), ingested in zip(rows_by_shard(data.catalog).items(), data.jobs(), strict=True):
        job = plan_job(data.catalog.iloc[rows], Counting(0.5, data.preparation.labels))
        assert job.ingest_key == ingested.key
        for (url, sha256), row in zip(job.predictions, ingested.rows, strict=True):
            assert url.endswith("" if row.image_id == "3" else f"prediction/{row.image_id}.png")
            assert bool(url) == bool(sha256) == (row.image_id != "3")
