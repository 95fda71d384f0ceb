"""Two folders as a configuration, and as the file of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import load_config
from segscale.flows.folder_pair import (
    CLASSES,
    FILE,
    FolderPair,
    config_of,
    evaluate,
    keep_configuration,
    laid_out,
    parsed_settings,
    with_strata,
    written,
)
from segscale.flows.run import Run
from tests.drawn_pairs import IDS, dice, draw
from tests.storage.made_files import make


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pairs in it."""
    folder = draw(tmp_path / "liver", {"reference": "masks/{id}.png", "prediction": "preds/{id}.png"})
    monkeypatch.chdir(folder)
    return folder


ASKED = [
    pytest.param({}, id="nothing but two folders"),
    pytest.param({"output": "../far/away"}, id="data that does not move with the report"),
    pytest.param({"output": "s3://bucket/out"}, id="a report elsewhere"),
    pytest.param({"references": "s3://bucket/masks/*.png"}, id="references elsewhere"),
    pytest.param({"predictions": "preds/{id}.png"}, id="a pattern"),
    pytest.param({"predictions": "sub[1]/*.png"}, id="letters of patterns"),
    pytest.param({"classes": ("background", "a", 'b "quoted"')}, id="classes"),
    pytest.param(
        {"settings": {"dataset": {"foreground": "any"}, "metrics": {"threshold": 0.25}, "cluster": {"workers": 3}}},
        id="further keys",
    ),
    pytest.param({"settings": {"store": {"path": "elsewhere"}, "report": {"run_id": "first"}}}, id="keys that win"),
]


@pytest.mark.parametrize("asked", ASKED)
def test_the_file_is_the_very_same_configuration(here: Path, asked: dict[str, Any]) -> None:
    pair = FolderPair(**{"predictions": "preds", "references": "masks", **asked})
    config = config_of(pair)
    folder = here / "anywhere" / "deep"
    folder.mkdir(parents=True)
    (folder / FILE).write_text(written(pair, config, str(folder)), encoding="utf-8")
    # Where a network would be saved is nobody's concern here.
    unused = {"train"}
    assert load_config(folder / FILE).model_dump(exclude=unused) == config.model_dump(exclude=unused)


def test_the_file_moves_with_its_folder(here: Path) -> None:
    pair = FolderPair("preds", "masks")
    report = here / "segscale-report" / "reports" / "liver" / "run"
    report.mkdir(parents=True)
    (report / FILE).write_text(written(pair, config_of(pair), str(report)))
    moved = here.rename(here.parent / "moved")
    config = load_config(moved / "segscale-report" / "reports" / "liver" / "run" / FILE)
    assert config.dataset.references == str(moved / "masks")
    assert config.store.path == str(moved / "segscale-report" / "store")


def test_a_working_folder_reached_by_a_link(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.parent / "link").symlink_to(here)
    monkeypatch.chdir(here.parent / "link")
    pair = FolderPair("preds", "masks", output=str(here.parent / "link" / "out"))
    config = config_of(pair)
    (here / FILE).write_text(written(pair, config, str(here)))
    assert load_config(here / FILE).dataset == config.dataset


@pytest.mark.parametrize(
    "beside",
    [pytest.param("masks", id="the data beside the link"), pytest.param("deep/er/masks", id="beside the place")],
)
def test_an_output_reached_by_a_link(here: Path, beside: str) -> None:
    (here / "deep" / "er" / "out").mkdir(parents=True)
    (here / "link").symlink_to(here / "deep" / "er" / "out")
    pair = FolderPair("preds", str(here / beside), output="link")
    config = config_of(pair)
    keep_configuration(pair, config, str(here / "link"))
    found = load_config(here / "link" / FILE)
    assert (found.dataset, found.predictions, found.store) == (config.dataset, config.predictions, config.store)


def test_the_file_of_another_run_is_replaced_with_its_report(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(here, {"prediction": "others/{id}.png"})
    run = here / "run"
    for predictions in ("preds", "others"):
        pair = FolderPair(predictions, "masks", settings={"report": {"run_id": "z"}})
        with caplog.at_level(logging.INFO, "segscale"):
            keep_configuration(pair, config_of(pair), str(run))
        assert load_config(run / FILE).predictions.path == str(here / predictions)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]


@pytest.mark.parametrize(
    ("edited", "predictions"),
    [
        pytest.param(b"edited", "preds", id="all of it, and the same run again"),
        pytest.param(b"%b ", "others", id="a blank, and another run"),
        pytest.param(b"%b\n", "others", id="an empty line"),
        pytest.param(b"%b# mine\n", "others", id="a remark"),
    ],
)
def test_any_edit_keeps_the_file(here: Path, caplog: pytest.LogCaptureFixture, edited: bytes, predictions: str) -> None:
    pair, other = FolderPair("preds", "masks"), FolderPair(predictions, "masks")
    with caplog.at_level(logging.INFO, "segscale"):
        keep_configuration(pair, config_of(pair), str(here / "run"))
        keep_configuration(pair, config_of(pair), str(here / "run"))
        edited = edited.replace(b"%b", (here / "run" / FILE).read_bytes())
        (here / "run" / FILE).write_bytes(edited)
        keep_configuration(other, config_of(other), str(here / "run"))
    assert (here / "run" / FILE).read_bytes() == edited
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param({"predictions": ""}, "predictions.path: expected a folder", id="none"),
        pytest.param(
            {"predictions": "./masks/"}, "expected two places, got masks for both", id="the same, spelled anew"
        ),
        pytest.param({"predictions": "link"}, "expected two places", id="the same by a link"),
        pytest.param({"predictions": "masks", "references": "preds"}, "are exchanged", id="exchanged"),
        pytest.param({"classes": ("tumour",)}, "dataset.classes: expected two names or more", id="one class"),
        pytest.param({"settings": {"dataset": {"clases": []}}}, "dataset.clases: unknown key", id="a mistyped key"),
        pytest.param({"settings": {"data": {}}}, "", id="an empty section is none"),
        pytest.param({"predictions": "s3://u:p@b/x"}, r"\*\*\*", id="a secret is not shown"),
    ],
)
def test_what_is_wrong_is_said_at_once(here: Path, asked: dict[str, Any], message: str) -> None:
    (here / "link").symlink_to(here / "masks")
    pair = FolderPair(**{"predictions": "preds", "references": "masks", **asked})
    if not message:
        config_of(pair)
        return
    with pytest.raises(ConfigError, match=message):
        config_of(pair)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("metrics.threshold=0.4", 0.4),
        ("metrics.threshold = 0.4", 0.4),
        ('metrics.threshold="0.4"', "0.4"),
        ("metrics.threshold=any", "any"),
        ("metrics.threshold=[0, 255]", [0, 255]),
        ("metrics.threshold=a=b", "a=b"),
        ("metrics.threshold=", ""),
    ],
)
def test_settings_are_toml_or_text(text: str, value: Any) -> None:
    assert parsed_settings([text]) == {"metrics": {"threshold": value}}


@pytest.mark.parametrize("text", ["threshold=1", "metrics.threshold", "=1", ".=1"])
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set: expected section\.key=value"):
        parsed_settings([text])


def _with_strata(**asked: Any) -> FolderPair:
    pair = FolderPair(**{"predictions": "preds", "references": "masks", "by": "table.csv", **asked})
    return with_strata(pair, Run(config_of(pair)))


def test_columns_of_few_values_are_strata_unless_some_are_named(here: Path) -> None:
    rows = [f"{name};{'ab'[number % 2]};{number}" for number, name in enumerate(IDS)]
    (here / "table.csv").write_text("\n".join(["image_id;site;age", *rows]))
    pair = _with_strata()
    config = config_of(pair)
    assert (config.metrics.group_by, config.dataset.columns) == (("site",), str(here / "table.csv"))
    named = FolderPair("preds", "masks", by="table.csv", settings={"metrics": {"group_by": []}})
    assert with_strata(named, Run(config_of(named))) is named
    with pytest.raises(ConfigError, match=r"dataset\.columns: .*nowhere.csv: expected a table"):
        _with_strata(by="nowhere.csv")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, ("site", "view"), id="no unit"),
        pytest.param({"unit": "patient"}, ("site",), id="a column of the table"),
        pytest.param({"settings": {"metrics": {"unit": "patient"}}}, ("site",), id="named as a key"),
        pytest.param({"unit": "view"}, (), id="one that lies across all"),
        pytest.param({"unit": "view", "settings": {"metrics": {"unit": "patient"}}}, ("site",), id="the key wins"),
        pytest.param({"references": "cases/{p}_{v}.png", "unit": "p"}, ("site",), id="a field of a pattern"),
        pytest.param({"references": "cases/{p}_{v}.png"}, ("site", "view"), id="fields are no columns of the table"),
    ],
)
def test_strata_cut_no_unit_apart(here: Path, asked: dict[str, Any], expected: tuple[str, ...]) -> None:
    header, names = "image_id;patient;site;view", [f"p{n // 2}_{'ab'[n % 2]}" for n in range(12)]
    draw(here, {"reference": "cases/{id}.png", "prediction": "preds/{id}.png"}, names)
    for file, ids in (("table.csv", IDS), ("cases.csv", names)):
        rows = [f"{name};p{n // 2};{'xy'[n // 6]};{'ab'[n % 2]}" for n, name in enumerate(ids)]
        (here / file).write_text("\n".join([header, *rows]))
    pair = _with_strata(**({"by": "cases.csv"} if "references" in asked else {}), **asked)
    assert pair.group_by == expected


def test_values_are_counted_over_the_set(here: Path) -> None:
    names = [*IDS, *(f"other{number}" for number in range(108))]
    rows = [f"{name};s{number % 12};{'ab'[number % 2]}" for number, name in enumerate(names)]
    (here / "table.csv").write_text("\n".join(["image_id;site;view", *rows]))
    assert _with_strata().group_by == ("view",), "120 rows of 12 sites, an image of each in the set"


def test_the_set_is_called_as_the_folder_of_its_references(here: Path) -> None:
    assert config_of(FolderPair("preds", "masks")).dataset.name == "liver"
    (here / "kidney labels").mkdir()
    assert config_of(FolderPair("preds", "kidney labels")).dataset.name == "kidney-labels"


def _raw(here: Path, labels: dict[str, Any]) -> None:
    """The drawn pairs as an nnU-Net raw folder with its results."""
    draw(here / "raw", {"reference": "labelsTr/{id}.png", "image": "imagesTr/{id}_0000.png"}, value=1)
    draw(here / "raw", {"prediction": "../results/{id}.png"}, value=1)
    document = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".png"}
    (here / "raw" / "dataset.json").write_text(json.dumps(document))


@pytest.mark.parametrize("references", ["raw", "raw/labelsTr"])
def test_a_layout_is_found_and_written_down(here: Path, references: str) -> None:
    _raw(here, {"background": 0, "disc": 1, "ignore": 2})
    pair = laid_out(FolderPair("results", references))
    config = config_of(pair)
    assert config.dataset.layout == "nnunet"
    assert config.dataset.classes == ("background", "disc")
    assert config.dataset.ignore_label == 2
    (here / FILE).write_text(written(pair, config, str(here)))
    again = load_config(here / FILE)
    assert again.dataset == config.dataset
    assert len(Run(again).listing()) == len(IDS)


@pytest.mark.parametrize(
    ("asked", "layout", "classes"),
    [
        pytest.param({}, "nnunet", ("background", "disc"), id="nothing"),
        pytest.param({"classes": ("background", "disc")}, "nnunet", ("background", "disc"), id="the same classes"),
        pytest.param({"settings": {"dataset": {"layout": "files"}}}, "files", CLASSES, id="names alone"),
        pytest.param({"settings": {"dataset": {"layout": "nnunet"}}}, "nnunet", ("background", "disc"), id="said"),
        pytest.param(
            {"settings": {"dataset": {"label_values": [0, 1]}}}, "nnunet", ("background", "disc"), id="values"
        ),
        pytest.param({"references": "raw/labelsTr/*.png"}, "files", CLASSES, id="a pattern"),
    ],
)
def test_what_is_asked_wins_over_what_is_found(
    here: Path, asked: dict[str, Any], layout: str, classes: tuple[str, ...]
) -> None:
    _raw(here, {"background": 0, "disc": 1})
    dataset = config_of(laid_out(FolderPair(**{"predictions": "results", "references": "raw", **asked}))).dataset
    assert (dataset.layout, dataset.classes) == (layout, classes)


def test_other_classes_than_those_of_a_layout_are_refused(here: Path) -> None:
    _raw(here, {"background": 0, "disc": 1})
    with pytest.raises(ConfigError, match=r"^dataset\.classes: .*in .*raw/dataset\.json: leave it out, or correct"):
        config_of(laid_out(FolderPair("results", "raw", classes=("background", "kidney"))))


@pytest.mark.parametrize("group_by", [(), ("case",)])
def test_structures_are_strata(here: Path, group_by: tuple[str, ...]) -> None:
    make(here, "cases/s1/segmentations/liver.png", "p/s1/liver.png")
    pair = laid_out(FolderPair("p", "cases", group_by=group_by))
    metrics = config_of(pair).metrics
    assert (metrics.group_by, metrics.cluster_by) == (group_by or ("structure",), "case")


def test_a_layout_is_evaluated(here: Path) -> None:
    """From two folders to scores, by the names and values that dataset.json gives."""
    _raw(here, {"background": 0, "disc": 1})
    report = evaluate(predictions="results", references="raw", settings={"metrics": {"bootstrap": 0}})
    per_image = report.table("per_image")
    rows = per_image[per_image["class_name"] == "disc"]
    expected = [dice(number) for number in range(len(IDS))]
    assert rows["dice"].tolist() == pytest.approx(expected)
