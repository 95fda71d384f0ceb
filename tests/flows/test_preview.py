"""What a run would meet, without running it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.errors import ConfigError
from segscale.flows import trial
from segscale.flows.cluster import machine
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.dataset import list_dataset
from segscale.flows.preview import Preview, describe, preview
from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.tasks.labels import LabelRule
from segscale.tasks.prediction_file import Counting
from segscale.tasks.score_plan import plan_scores
from segscale.tasks.scoring import Scoring
from tests.drawn_pairs import IDS, SIZE, disc, draw, noise, save
from tests.tasks.volumes import GEOMETRY, nifti


def config_of(folder: Path, **sections: dict[str, Any]) -> EvaluationConfig:
    document: dict[str, Any] = {
        "dataset": {"name": "set", "references": "masks", **sections.pop("dataset", {})},
        "predictions": {"path": "preds"},
        "store": {"path": "work"},
        "report": {"path": "reports"},
        **sections,
    }
    return parse_config(document, base=folder, source="test")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return draw(tmp_path, {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"})


def redraw(folder: Path, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    """Predictions that are made of their references."""
    for number, name in enumerate(IDS):
        save(folder / "preds" / f"{name}.png", change(disc(number)))


def facts(found: Preview) -> dict[str, str]:
    return {fact.name: fact.text for fact in found.facts}


def remarks(found: Preview) -> list[tuple[str, str]]:
    return [(remark.severity, remark.text) for remark in found.remarks]


def test_of_a_sound_set_there_is_nothing_to_say(pairs: Path) -> None:
    before = sorted(path.name for path in pairs.iterdir())
    found = preview(config_of(pairs))
    assert found.remarks == ()
    assert facts(found)["size"] == "24x32 (height x width)"
    assert facts(found)["looked at"] == "12 of 12 images, counted on trial"
    assert facts(found)["classes"] == "background, lesion are 0 and 1, or full scale, as files told"
    assert facts(found)["time"].startswith("about 2 s on ")
    assert describe(found).endswith("\nnothing would fail or warn")
    assert sorted(path.name for path in pairs.iterdir()) == before


SPOILED: list[Any] = [
    pytest.param(
        lambda f: (f / "preds/case03.png").unlink(), "fails", "1 of 12 images have no prediction: case03", id="missing"
    ),
    pytest.param(
        lambda f: save(f / "preds/case05.png", np.zeros((8, 8), np.uint8)),
        "fails",
        "1 of 12 images looked at, ValueError: case05: case05.png: expected the size of its reference 24x32, got 8x8",
        id="another size",
    ),
    pytest.param(
        lambda f: (f / "masks/case05.png").write_bytes(b"no image"), "fails", "UnreadableImage: case05:", id="damaged"
    ),
    pytest.param(
        lambda f: save(f / "preds/extra.png", disc(0)),
        "warns",
        "predictions: 1 has no reference: extra",
        id="left over",
    ),
    pytest.param(lambda f: (f / "work").write_text("a file"), "fails", "store.path: ", id="no folder to write to"),
    pytest.param(
        lambda f: redraw(f, lambda pixels: pixels),
        "warns",
        "12 of 12 predictions looked at are their references, byte for byte",
        id="copies",
    ),
    pytest.param(
        lambda f: redraw(f, lambda pixels: np.roll(pixels, 15, axis=1)),
        "warns",
        "meet none of their references",
        id="of other images",
    ),
    pytest.param(
        lambda f: [(f / f"{role}/{name}.png").unlink() for role in ("masks", "preds") for name in IDS[3:]],
        "warns",
        "3 images: intervals need 10",
        id="few",
    ),
]


@pytest.mark.parametrize(("spoil", "severity", "text"), SPOILED)
def test_what_would_fail_or_warn(pairs: Path, spoil: Callable[[Path], Any], severity: str, text: str) -> None:
    spoil(pairs)
    found = [remark for remark in remarks(preview(config_of(pairs))) if text in remark[1]]
    assert [one for one, _ in found] == [severity]


@pytest.mark.parametrize(
    ("shard_images", "expected"),
    [pytest.param(128, 8, id="smaller in a small set"), pytest.param(3, 3, id="as small as asked for")],
)
def test_shards_are_those_of_the_scoring(pairs: Path, shard_images: int, expected: int) -> None:
    config = config_of(pairs, store={"path": "work", "shard_images": shard_images})
    scoring = Scoring(LabelRule(2), Counting(0.5, LabelRule(2)), has_images=False)
    unread = pd.DataFrame(columns=list(MEMORY_COLUMNS))
    planned = plan_scores(list_dataset(config).images, unread, scoring, shard_images, {}).shards
    assert facts(preview(config))["shards"] == f"{len(planned)} of up to {expected} images"


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        pytest.param({}, "on 3 workers, where", id="as many as this machine has room for"),
        pytest.param({"workers": 5}, "on 5 workers, where", id="as asked for"),
        pytest.param({"kind": "address", "address": "tcp://h:1"}, "on 1 worker, less on more, where", id="of others"),
        pytest.param({"kind": "address", "address": "tcp://h:1", "workers": 7}, "on 7 workers, where", id="waited for"),
    ],
)
def test_workers_are_those_of_the_run(
    pairs: Path, monkeypatch: pytest.MonkeyPatch, cluster: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(machine, "core_count", lambda: 64)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10 * 10**9)
    assert expected in facts(preview(config_of(pairs, cluster=cluster)))["time"]


def test_strata_of_few_images(pairs: Path) -> None:
    (pairs / "table.csv").write_text("\n".join(["id,site", *(f"{name},{'ab'[name < 'case03']}" for name in IDS)]))
    config = config_of(pairs, dataset={"columns": "table.csv"}, metrics={"group_by": ["site"]})
    found = remarks(preview(config))
    assert found == [
        ("warns", "metrics.group_by: 1 value of 'site' with fewer than 10 images, too few for intervals: b (2)")
    ]


@pytest.fixture
def some_with_spacing(pairs: Path) -> Path:
    """Pairs of which the first five are volumes with a spacing."""
    for number, name in enumerate(IDS[:5]):
        for role in ("masks", "preds"):
            (pairs / role / f"{name}.png").unlink()
            shift = 2 * (role == "preds")
            (pairs / role / f"{name}.nii.gz").write_bytes(nifti(disc(number, shift, 1)[None], GEOMETRY))
    return pairs


MIXED = "12 images looked at 5 have a spacing (mm), e.g. case01, and 7 have none (px), e.g. case06: "


@pytest.mark.parametrize(
    ("metrics", "spacing", "expected"),
    [
        pytest.param({"surface": True}, None, "metrics.surface: of " + MIXED + "no mean of their distances", id="both"),
        pytest.param({"lesions": True}, None, "metrics.lesions: of " + MIXED + "sizes and distances", id="lesions"),
        pytest.param({"surface": True, "lesions": True}, None, "metrics.surface and lesions: of ", id="both kinds"),
        pytest.param({}, None, "", id="nothing is measured"),
        pytest.param({"surface": True}, [2.0, 1.0, 1.0], "", id="a spacing is given"),
    ],
)
def test_images_with_a_spacing_beside_others_without(
    some_with_spacing: Path, metrics: dict[str, Any], spacing: list[float] | None, expected: str
) -> None:
    dataset = {"references": "masks/*", **({"spacing_mm": spacing} if spacing else {})}
    found = remarks(preview(config_of(some_with_spacing, dataset=dataset, metrics=metrics)))
    assert [severity for severity, _ in found] == (["warns"] if expected else [])
    assert all(text.startswith(expected) and "dataset.spacing_mm" in text for _, text in found)


def test_where_all_have_a_spacing_or_none_nothing_is_said(pairs: Path, some_with_spacing: Path) -> None:
    for name in IDS[5:]:
        for role in ("masks", "preds"):
            (pairs / role / f"{name}.png").unlink()
    texts = [text for _, text in remarks(preview(config_of(some_with_spacing, metrics={"surface": True})))]
    assert texts == ["5 images: intervals need 10"]


def test_what_a_run_refuses_is_refused(pairs: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.references: .*found none"):
        preview(config_of(pairs, dataset={"references": "nowhere"}))
    save(pairs / "masks" / "case01.png", np.arange(24 * 32).reshape(SIZE).astype(np.uint8))
    with pytest.raises(ConfigError, match=r"dataset\.label_values: .*They may be "):
        preview(config_of(pairs))


def test_images_beside_are_not_decoded(pairs: Path) -> None:
    draw(pairs, {"image": "images/{id}.png"})
    assert preview(config_of(pairs, dataset={"images": "images"})).remarks == ()
    save(pairs / "images" / "case02.png", noise(1)[:10])
    (remark,) = preview(config_of(pairs, dataset={"images": "images"})).remarks
    assert "expected the size of its image 10x32, got 24x32" in remark.text


def test_images_are_tried_until_the_time_is_over(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.0)
    found = facts(preview(config_of(pairs)))
    assert found["looked at"] == "1 of 12 images, counted on trial"
    assert found["time"].startswith("about ")
