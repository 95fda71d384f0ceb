"""A pair of folders, references and predictions, evaluated without a configuration: this makes one of it."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscale.errors import ConfigError
from segscale.flows import arguments
from segscale.flows.config.described import DESCRIBED, channels_of, description, keys_of, may_be_of_regions
from segscale.flows.config.evaluation import EvaluationConfig, parse_config
from segscale.flows.config.prediction_name import folder_label
from segscale.flows.config.written import PATHS, Key, file_text, is_untouched, seen_from, stamped
from segscale.flows.layouts.look import layout_of
from segscale.flows.roles import role_of, set_name
from segscale.storage.objects import ObjectStore

if TYPE_CHECKING:
    from segscale.flows.run import Run
    from segscale.storage.reports import Report

logger = logging.getLogger("segscale")
FILE = "evaluate.toml"
OUTPUT = "segscale-report"
CLASSES = ("background", "foreground")


@dataclass(frozen=True, slots=True)
class FolderPair:
    """What `segscale evaluate` is asked for."""

    predictions: str
    """A folder, a pattern or a URL, as everywhere; relative to where the command was given."""
    references: str
    by: str = ""
    """A table of further columns of the images, by image_id."""
    classes: tuple[str, ...] = CLASSES
    unit: str = ""
    group_by: tuple[str, ...] = ()
    output: str = OUTPUT
    """The folder of everything that is written."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further keys of a configuration, by section; they win."""


def with_strata(pair: FolderPair, job: Run) -> FolderPair:
    """The pair with columns of its table as strata where none were named; then `job`, a run of it, lists the set.

    Raises ConfigError.
    """
    if not pair.by or pair.group_by or "group_by" in pair.settings.get("metrics", {}):
        return pair
    # What is wrong with the folders is said before libraries of tables are loaded.
    from segscale.flows.dataset import columns_of_table
    from segscale.flows.strata import columns_of_few_values

    images, config = job.listing(), job.config
    few = columns_of_few_values(images, columns_of_table(config, images), config.metrics.unit)
    return replace(pair, group_by=tuple(few))


def laid_out(pair: FolderPair) -> FolderPair:
    """The pair with the layout that its folders have, where somebody did not say it, and with what that tells.

    Raises ConfigError for a dataset.json that cannot be meant.
    """
    said = pair.settings.get("dataset", {})
    seen = layout_of(pair.references, pair.predictions) if "layout" not in said else None
    if seen is not None:
        logger.info("layout: %s, as %s; --set dataset.layout=files goes by names alone", seen.layout, seen.why)
        keys, metrics = {"layout": seen.layout, **seen.dataset}, dict(seen.metrics)
        channels = dict(seen.predictions)
    elif said.get("layout") in DESCRIBED and (described := description(pair.references, pair.predictions)):
        keys, metrics, channels = keys_of(described), {}, channels_of(described)
    else:
        return pair
    if said.get("foreground"):
        keys.pop("label_values", None)
    if pair.group_by:
        metrics.pop("group_by", None)
    # Names that nobody gave are no contradiction; those that somebody gave are compared where all keys are.
    classes = tuple(keys.pop("classes", pair.classes)) if pair.classes == CLASSES else pair.classes
    keys.pop("classes", None)
    if not may_be_of_regions(said, pair.settings.get("predictions", {})):
        channels = {}
    found = {"dataset": keys, "predictions": channels, "metrics": metrics}
    sections = dict.fromkeys((*found, *pair.settings))
    settings = {name: {**found.get(name, {}), **pair.settings.get(name, {})} for name in sections}
    return replace(pair, classes=classes, settings=settings)


def config_of(pair: FolderPair) -> EvaluationConfig:
    """The configuration that evaluates a pair of folders. Raises ConfigError."""
    _check_places(pair)
    return parse_config(_document(pair), base=Path.cwd(), source="evaluate")


def _document(pair: FolderPair) -> dict[str, dict[str, Any]]:
    output = pair.output.rstrip("/")
    document: dict[str, dict[str, Any]] = {
        "dataset": {
            "name": set_name(_absolute(pair.references)),
            "references": pair.references,
            "classes": list(pair.classes),
        },
        "predictions": {"path": pair.predictions},
        "metrics": {},
        "store": {"path": f"{output}/store"},
        "report": {"path": f"{output}/reports"},
    }
    if pair.by:
        document["dataset"]["columns"] = pair.by
    if pair.unit:
        document["metrics"]["unit"] = pair.unit
    if pair.group_by:
        document["metrics"]["group_by"] = list(pair.group_by)
    for section, keys in pair.settings.items():
        document[section] = {**document.get(section, {}), **keys}
    return {section: keys for section, keys in document.items() if keys}


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100 - a pattern is no Path


def _check_places(pair: FolderPair) -> None:
    """Raise ConfigError where the two are one place, or called as if they were exchanged."""
    for key, path in (("predictions.path", pair.predictions), ("dataset.references", pair.references)):
        if not path:
            raise ConfigError(f"{key}: expected a folder or a pattern, got none")
    if len(pair.classes) == 1:
        raise ConfigError(
            f"dataset.classes: expected two names or more, the background first, got {pair.classes[0]!r} alone"
        )
    if "://" not in pair.predictions and os.path.realpath(pair.predictions) == os.path.realpath(pair.references):
        raise ConfigError(
            f"predictions.path, dataset.references: expected two places, got {pair.references} for both, and files "
            "always agree with themselves; where one folder holds both, name them by patterns, for example "
            f"'{pair.predictions.rstrip('/')}/{{id}}_pred.png' and '{pair.references.rstrip('/')}/{{id}}_mask.png'"
        )
    labels = folder_label(pair.predictions), folder_label(pair.references)
    if tuple(map(role_of, labels)) == ("reference", "prediction"):
        raise ConfigError(
            f"predictions.path, dataset.references: by their names the predictions {pair.predictions} and the "
            f"references {pair.references} are exchanged; the Dice would be the same, and precision and sensitivity "
            "each other's: exchange them, or rename the folders if they are meant so"
        )


def parsed_settings(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Keys given as "section.key=value", by section; a value that is no TOML is text. Raises ConfigError."""
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise ConfigError(f"--set: expected section.key=value, such as metrics.threshold=0.4, got {text!r}")
        settings.setdefault(section, {})[key] = _parsed(value.strip())
    return settings


def _parsed(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def written(pair: FolderPair, config: EvaluationConfig, folder: str) -> str:
    """The configuration as a file in `folder`, of which `load_config` makes the very same one."""
    document = _document(pair)
    # `load_config` starts from where the file lies, whatever links lead there.
    place, output = (path if "://" in path else os.path.realpath(path) for path in (folder, pair.output))
    moves_with = os.path.dirname(output)  # noqa: PTH120 - may be a URL
    resolved = config.model_dump(mode="json")
    keys = []
    for section, names in document.items():
        for name in names:
            value = resolved[section][name]
            if f"{section}.{name}" in PATHS:
                value = _placed(value, place, moves_with)
            keys.append(Key(section, name, value, _WHY.get(f"{section}.{name}", "")))
    heading = (
        f"What segscale evaluate was asked for: segscale run {FILE} is the same run, and does what is missing.",
        "Every key that can stand here: docs/contract.md.",
    )
    return file_text(heading, keys)


_WHY = {
    "dataset.name": "names the folder of the reports; made from the folder of the references",
    "dataset.references": "the set: a reference without a prediction is a missing prediction",
    "dataset.columns": "further columns of the images, by image_id",
    "dataset.layout": "how the files lie, as found",
    "dataset.classes": "the background first",
    "dataset.label_values": "the value of each class",
    "dataset.ignore_label": "reference voxels of this value count in nothing",
    "dataset.regions": "label values that are one thing together",
    "metrics.cluster_by": "its values are resampled together: files of one case are not independent",
    "predictions.path": "of the references whose names they share",
    "predictions.regions": "what each channel of probabilities is of, where there are as many",
    "predictions.regions_class_order": "the label value that each channel writes, later ones over earlier ones",
    "metrics.group_by": "strata: scores for each value of these columns too",
    "metrics.unit": "scores for each value of this column, its images summed",
    "store.path": "what was counted; a run goes on where it stopped",
    "report.path": "of the reports: DATASET/RUN_ID below it",
}


def keep_configuration(pair: FolderPair, config: EvaluationConfig, report: str) -> None:
    """Write what a report was made of beside its tables, and say where it lies.

    That of another run under the same name is replaced, for the tables were; what somebody edited stays.
    """
    store = ObjectStore(report)
    text = stamped(written(pair, config, report)).encode()
    held = store.read(FILE) if store.exists(FILE) else None
    if held is not None and held != text and not is_untouched(held):
        logger.warning("%s/%s: was edited and stays as it is: it may not be what the report was made of", report, FILE)
        return
    if held != text:
        store.write(FILE, text)
    logger.info("configuration: %s/%s", report, FILE)


def evaluate(
    *,
    predictions: str | os.PathLike[str],
    references: str | os.PathLike[str],
    by: str | os.PathLike[str] = "",
    group_by: str | Sequence[str] = (),
    unit: str = "",
    classes: Sequence[str] = CLASSES,
    output: str | os.PathLike[str] = OUTPUT,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Existing predictions against references, without a configuration; what `segscale evaluate` does.

    Args:
        predictions: folder, pattern with ``{id}`` or URL of label maps or probabilities.
        references: the same of label maps. They are the set: one without a prediction is a missing prediction.
        by: a CSV or Parquet file with image_id and further columns of the images.
        group_by: column or columns whose values are strata; where there are none, those of few values (2 to 12).
        unit: a column such as the patient, whose images are summed for further scores.
        classes: names, the background first.
        output: folder of all that is written: counts in ``store``, reports in ``reports``.
        settings: further keys of a configuration by section, such as ``{"dataset": {"foreground": "any"}}``.

    Returns:
        The report; its folder is ``path``, which also holds ``evaluate.toml``, the configuration that this was.

    Raises:
        ConfigError: the folders or what is asked of them is wrong, said before anything starts.
        FirstImagesError: the first images all failed alike, so there is no report.
        ClusterLostError: workers were lost; the next call does the rest.
    """
    from segscale.flows import evaluate as job
    from segscale.flows.run import Run
    from segscale.storage.reports import open_report

    given = FolderPair(
        predictions=arguments.path_text("predictions", predictions),
        references=arguments.path_text("references", references),
        by=arguments.path_text("by", by, optional=True),
        group_by=arguments.names("group_by", group_by, one_will_do=True),
        unit=arguments.text("unit", unit),
        classes=arguments.names("classes", classes),
        output=arguments.path_text("output", output),
        settings=arguments.sections(settings),
    )
    with arguments.EVALUATE.spoken():
        asked = laid_out(given)
        listed = Run(config_of(asked))
        pair = with_strata(asked, listed)
        config = config_of(pair)
        result = job.run(config, listed=listed)
    keep_configuration(pair, config, result.path)
    return open_report(result.path)


def _placed(value: Any, folder: str, moves_with: str) -> Any:
    if isinstance(value, list | tuple):
        return [seen_from(path, folder, moves_with) for path in value]
    return seen_from(value, folder, moves_with)
