import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segscale.errors import ArgumentError
from segscale.storage import parts
from segscale.storage.failures import Failure
from segscale.storage.ledger import Ledger
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.storage.sources import ROLES, read_file
from segscale.tasks import score_image
from segscale.tasks.prediction_file import Counting
from segscale.tasks.score import score_shard
from segscale.tasks.score_plan import plan_scores
from segscale.tasks.scoring import STAGE, ScoreDone, ScoreJob, Scoring, sizes_in

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


def _scoring(data: Any, threshold: float = 0.5, **changes: Any) -> Scoring:
    labels = replace(data.preparation.labels, **changes)
    has_images = bool((data.listing["image"] != "").any())
    return Scoring(labels, Counting(threshold, labels), has_images)


def _jobs(data: Any, scoring: Scoring, *, known: bool = False, left_out: Mapping[Any, Failure] = {}) -> list[ScoreJob]:
    """The jobs of a set nothing is known of, or all of whose files were read before."""
    files = data.files if known else data.files.iloc[:0]
    plan = plan_scores(data.listing, files, scoring, data.shard_images, left_out)
    return [plan.job(key) for key in plan.shards]


def _rows(data: Any, done: ScoreDone) -> dict[Key, dict[str, Any]]:
    """The rows of a part by image and class."""
    entry = Ledger(data.store).read(STAGE, done.key)
    assert (entry.facts["n_images"], entry.facts["n_failed"]) == (done.n_images, done.n_failed)
    assert len(sizes_in(entry.facts)) == done.n_images
    rows = parts.read_part(data.store, entry).to_pylist()
    found = {(row["image_id"], row["class_index"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def _score(data: Any, threshold: float = 0.5) -> dict[Key, dict[str, Any]]:
    """Score all shards, and the rows of the parts by image and class."""
    scoring = _scoring(data, threshold)
    found: dict[Key, dict[str, Any]] = {}
    for job in _jobs(data, scoring):
        rows = _rows(data, score_shard(data.store, job, scoring))
        assert found.keys().isdisjoint(rows)
        found |= rows
    return found


def _without_images(data: Any) -> Any:
    return replace(data, listing=data.listing.assign(image="", image_version=""))


def _encode_png(pixels: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()


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
        pytest.param(
            "bad.png", _mask(shape=(HEIGHT + 1, WIDTH)), "expected the size of its reference", id="mask too high"
        ),
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
        pytest.param("pair_counts.count_overlaps", ValueError("a bug"), id="a plain ValueError"),
        pytest.param("pair_counts.count_overlaps", ArgumentError("a bug"), id="a function of ours called wrongly"),
        pytest.param("pair_counts.count_overlaps", AssertionError("a bug"), id="an assertion"),
        pytest.param("prediction_file.class_indices", ValueError("a bug"), id="between the reader and the kernel"),
        pytest.param("prediction_file.read_labels", KeyError("a bug"), id="on the way to the reader"),
        pytest.param("reference_file.class_indices", ValueError("a bug"), id="of the reference"),
        pytest.param("scan.read_header", ValueError("a bug"), id="of the header"),
        pytest.param("pair_counts.count_overlaps", OSError("a bug"), id="of the system, but of no file"),
        pytest.param("score.shards.commit_shard", OSError("a bug"), id="of the store"),
    ],
)
def test_a_defect_fails_no_image_but_the_attempt(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, place: str, bug: Exception
) -> None:
    data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={"a.png": _mask()})

    def broken(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr(f"segscale.tasks.{place}", broken)
    with pytest.raises(type(bug), match="a bug"):
        _score(data)
    assert not Ledger(data.store).done(STAGE)


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


def test_an_image_or_a_reference_that_cannot_be_used_fails_with_its_reason(make_set: MakeSet) -> None:
    images = {"a.png": _grey(), "b.png": _grey(), "c.png": b"", "d.png": _grey((1, 1)), "e.png": _grey()}
    masks = {"a.png": _mask(), "b.png": _mask(shape=(3, 3)), "c.png": _mask(), "d.png": _mask(shape=(1, 1))}
    rows = _score(make_set(images, masks, predictions=dict.fromkeys(images, _mask())))
    assert rows["a", 1]["status"] == "ok"
    reasons = {
        "b": ("ValueError", "b.png: expected the size of its image 12x9, got 3x3"),
        "c": ("UnreadableImage", "c.png: the file is empty (0 bytes); expected a PNG image"),
        "d": ("UnreadableImage", "d.png: expected at least 2 pixels a side, got 1x1"),
        "e": ("MissingFile", "reference: expected a file for image e, found none"),
    }
    for image_id, reason in reasons.items():
        failed = rows[image_id, 0]
        assert (failed["status"], failed["stage"], failed["reference_pixels"]) == ("failed", "score", None)
        assert (failed["error_type"], failed["error"]) == reason


def test_of_an_image_the_header_is_read_and_no_pixel(make_set: MakeSet) -> None:
    """A file that is whole but for its pixels is sound here, and the size of everything is that of its header."""
    whole = _encode_png(_grey())
    start = whole.index(b"IDAT")
    pixels = whole[start : whole.index(b"IEND") - 8]
    torn = whole.replace(pixels + struct.pack(">I", zlib.crc32(pixels)), spoilt := b"IDAT" + bytes(len(pixels) - 4))
    torn = torn.replace(spoilt, spoilt + struct.pack(">I", zlib.crc32(spoilt)))
    assert len(torn) == len(whole)
    data = make_set({"a.png": torn}, {"a.png": _mask()}, predictions={"a.png": _mask()})
    assert _score(data)["a", 1]["status"] == "ok"


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (4, HEIGHT, WIDTH), (1, HEIGHT, WIDTH)], ids=str)
def test_without_images_the_counts_are_the_same(make_set: MakeSet, shape: tuple[int, ...]) -> None:
    names = ["a.npy", "b.npy"]
    masks = {name: _mask(seed, shape) for seed, name in enumerate(names)}
    predictions = {name: _mask(seed + 9, shape) for seed, name in enumerate(names)}
    data = make_set(dict.fromkeys(names, _grey(shape)), masks, predictions=predictions)
    alone = _without_images(data)
    assert _scoring(data).has_images
    assert not _scoring(alone).has_images
    assert repr(_score(alone)) == repr(_score(data)), "equal, NaN for NaN"
    depth, *side = shape if len(shape) == 3 else (1, *shape)
    entries = [Ledger(data.store).read(STAGE, key) for key in Ledger(data.store).done(STAGE)]
    assert [sizes_in(entry.facts) for entry in entries] == [[(depth, *side)] * 2] * 2, "with images and without"


def _file(data: Any, role: str, name: str) -> Path:
    (url,) = (url for url in data.listing[role] if url.endswith(name))
    return Path(url.removeprefix("file://"))


def test_known_files_that_changed_are_no_failure_of_the_image(make_set: MakeSet) -> None:
    """Nothing is committed under a key that the bytes do not have; unknown, they have another key."""
    data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={"a.npy": _probabilities()})
    scoring = _scoring(data)
    (known,) = _jobs(data, scoring, known=True)
    (unknown,) = _jobs(data, scoring)
    assert (known.is_content, unknown.is_content) == (True, False)
    file = _file(data, "prediction", "a.npy")
    before = file.read_bytes()
    file.write_bytes(before[:-1] + b"\0")
    with pytest.raises(OSError, match="changed while they were being read"):
        score_shard(data.store, known, scoring)
    file.unlink()
    with pytest.raises(OSError, match=r"No such file.*a\.npy"):
        score_shard(data.store, known, scoring)
    assert Ledger(data.store).done(STAGE) == frozenset()
    missing = _rows(data, score_shard(data.store, unknown, scoring))["a", 1]
    assert missing["error"] == "prediction: expected a.npy, none could be read"
    file.write_bytes(before)
    assert score_shard(data.store, known, scoring).key == known.key
    assert Ledger(data.store).done(STAGE) > {known.key}


@pytest.mark.parametrize("role", ["image", "reference", "prediction"])
def test_a_file_that_cannot_be_fetched_fails_its_image_and_is_not_known_afterwards(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    names = ["a.png", "b.png"]
    data = make_set(
        dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()), predictions=dict.fromkeys(names, _mask())
    )
    scoring, read = _scoring(data), read_file
    (job,) = _jobs(data, scoring)

    def refused(url: str) -> bytes:
        if url.endswith(f"{role}/a.png"):
            raise PermissionError(13, "Permission denied", url)
        return read(url)

    monkeypatch.setattr(score_image, "read_source", refused)
    done = score_shard(data.store, job, scoring)
    row = _rows(data, done)["a", 0]
    if role == "prediction":
        said = ("MissingFile", "prediction: expected a.png, none could be read")
    else:
        said = ("PermissionError", "a.png: cannot be read: Permission denied")
    assert (row["status"], row["stage"], row["error_type"], row["error"]) == ("failed", "score", *said)
    assert (row["reference_pixels"] is None) == (role != "prediction")
    assert _rows(data, done)["b", 0]["status"] == "ok"
    facts = dict(zip(zip(done.files["role"], done.files["url"], strict=True), done.files["sha256"], strict=True))
    assert len(facts) == 6
    assert [key for key, sha256 in facts.items() if not sha256] == [(role, f"file://{_file(data, role, 'a.png')}")]
    monkeypatch.setattr(score_image, "read_source", read)
    again = score_shard(data.store, job, scoring)
    assert again.key != done.key, "as soon as it can be read, it is another shard"
    assert again.n_failed == 0


def test_what_files_told_comes_back(make_set: MakeSet) -> None:
    """The same as a scan of them finds."""
    names = ["a.png", "b.png", "c.png"]
    images = {"a.png": _grey(), "b.png": b"", "c.png": _grey((3, 4))}
    data = make_set(images, dict.fromkeys(names[:2], _mask()), predictions=dict.fromkeys(names[1:], _mask()))
    scoring = _scoring(data)
    (job,) = _jobs(data, scoring)
    done = score_shard(data.store, job, scoring)
    columns = list(MEMORY_COLUMNS)
    found = {tuple(row) for row in zip(*(done.files[name] for name in columns), strict=True)}
    assert found == set(data.files[columns].itertuples(index=False, name=None))
    known = dict(zip(data.files["url"], data.files["sha256"], strict=True))
    for files, content in zip(job.images, done.contents, strict=True):
        assert (content.image_id, content.failure) == (files.image_id, None)
        assert content.hashes == tuple(known.get(files.of(role)[0], "") for role in ROLES)
        assert content.names == tuple(Path(files.of(role)[0]).name for role in ROLES)


def test_what_ends_workers_is_not_even_decoded(make_set: MakeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.png", "b.png"]
    data = make_set(
        dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()), predictions=dict.fromkeys(names, _mask())
    )
    scoring = _scoring(data)
    files = [_file(data, role, "a.png") for role in ("image", "reference", "prediction")]
    content = (*(hashlib.sha256(file.read_bytes()).hexdigest() for file in files), "")
    held = Failure("score", "WorkerDied", "a worker died at it")
    seen: list[str] = []

    def watched(true: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*given: Any, **named: Any) -> Any:
            seen.append(str(given))
            return true(*given, **named)

        return reading

    for name in ("read_labels", "read_prediction"):
        monkeypatch.setattr(score_image, name, watched(getattr(score_image, name)))
    for known in (False, True):
        seen.clear()
        (job,) = _jobs(data, scoring, known=known, left_out={("a", *content): held})
        done = score_shard(data.store, job, scoring)
        rows = _rows(data, done)
        assert [(row["error_type"], row["error"]) for (name, _), row in rows.items() if name == "a"] == [
            ("WorkerDied", "a worker died at it")
        ] * 2
        assert rows["b", 1]["status"] == "ok"
        assert len(seen) == 2
        assert not any("a.png" in one for one in seen)
        assert [one.failure for one in done.contents] == [
            held if one.image_id == "a" else None for one in done.contents
        ]
    # Of other bytes nothing is left out.
    other = {("a", *content[:2], "0" * 64): held}
    assert score_shard(data.store, _jobs(data, scoring, left_out=other)[0], scoring).n_failed == 0


def test_a_trial_counts_some_images_and_commits_nothing(make_set: MakeSet) -> None:
    names = ["a.png", "b.png", "c.png"]
    data = make_set(
        dict.fromkeys(names, _grey()), dict.fromkeys(names, _mask()), predictions=dict.fromkeys(names, _mask())
    )
    scoring = _scoring(data)
    for known in (False, True):
        (job,) = _jobs(data, scoring, known=known)
        for only, n_images in ((("b",), 1), (("a", "c"), 2), (("",), 0)):
            done = score_shard(data.store, replace(job, only=only), scoring)
            assert (done.n_images, {one.image_id for one in done.contents}) == (
                n_images,
                {name for name in only if name},
            )
    assert list(data.store.listing()) == []


def test_a_key_knows_what_is_counted_and_no_paths(make_set: MakeSet) -> None:
    def key(folder: str, seed: int = 0, threshold: float = 0.5, name: str = "a.png", **changes: Any) -> str:
        data = make_set({"a.png": _grey()}, {"a.png": _mask()}, predictions={name: _mask(seed)}, folder=folder)
        scoring = _scoring(data, threshold, **changes)
        (job,) = _jobs(data, scoring, known=True)
        (unknown,) = _jobs(data, scoring)
        assert unknown.key != job.key
        assert score_shard(data.store, unknown, scoring).key == job.key, "known before it is read, or found by reading"
        return job.key

    first = key("here")
    assert key("there") == first
    others = [key("other", seed=1), key("t", threshold=0.4), key("l", values=(0, 1)), key("n", name="a.tif")]
    assert len({first, *others}) == 5
