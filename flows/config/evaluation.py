"""The configuration: one frozen record, read from TOML, validated where it enters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError, model_validator

from segscale.errors import ConfigError
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.dataset import Dataset
from segscale.flows.config.described import with_description
from segscale.flows.config.metrics import Metrics
from segscale.flows.config.sections import Model, Predictions, Report, Store
from segscale.flows.config.toml_text import read_toml
from segscale.flows.config.training import Train
from segscale.flows.config.values import anchored
from segscale.storage.patterns import escaped
from segscale.tasks.metrics.region_channels import RegionChannel, RegionChannels
from segscale.tasks.refusal import as_toml, refusals
from segscale.tasks.section import Section

S = TypeVar("S", bound=Section)


class EvaluationConfig(Section):
    """Everything a run is asked to do. Frozen; an unknown key is an error."""

    dataset: Dataset
    """Which images, which references, and what their values mean."""
    predictions: Predictions = Predictions()
    """Those that exist, which are scored as they are."""
    model: Model = Model()
    """The network, where one is to predict."""
    metrics: Metrics = Metrics()
    """What is counted, and how scores are made of it."""
    store: Store = Store()
    """Where work is kept, so that a run does what is new."""
    cluster: Cluster = Cluster()
    """Where the workers are."""
    report: Report = Report()
    """Where the tables go, and how many images may fail."""
    train: Train = Train()
    """How a network is trained; for training alone."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.predictions.path and self.model.path:
            raise ValueError("model.path, predictions.path: expected one of them, got both")
        are_named = self.dataset.images or self.dataset.manifest or self.dataset.layout != "files"
        if not (are_named or self.predictions.path):
            raise ValueError(
                "dataset.images: expected the images that a network sees; only existing predictions, named in "
                "predictions.path, are scored without"
            )
        if self.dataset.instances and not self.metrics.lesions:
            raise ValueError("dataset.instances: is of lesions, which metrics.lesions = true counts")
        if self.dataset.instances == "both" and self.model.path:
            raise ValueError(
                'dataset.instances: "both" is of existing predictions; the lesions that a network predicts are '
                'connected components: take "references" for label maps of instances'
            )
        if self.predictions.label_values and len(self.predictions.label_values) != len(self.dataset.classes):
            raise ValueError(
                f"predictions.label_values: expected a value for each of {len(self.dataset.classes)} classes, "
                f"got {as_toml(self.predictions.label_values)}"
            )
        if self.train.class_weights and len(self.train.class_weights) != len(self.dataset.classes):
            raise ValueError(
                f"train.class_weights: expected a weight for each of {len(self.dataset.classes)} classes, "
                f"got {as_toml(self.train.class_weights)}"
            )
        return self

    @model_validator(mode="after")
    def _check_region_channels(self) -> Self:
        of_name, of_value = self.dataset.classes_of_name, self.dataset.class_of_value
        first: dict[tuple[int, ...], str] = {}
        for name in self.predictions.regions:
            if name not in of_name:
                raise ValueError(
                    f"predictions.regions: {as_toml(name)} is neither a region nor a class other than the background; "
                    f"expected some of {as_toml(list(of_name))}"
                )
            if of_name[name] in first:
                raise ValueError(
                    f"predictions.regions: {as_toml(first[of_name[name]])} and {as_toml(name)} are of the same "
                    "classes; expected one channel for them"
                )
            first[of_name[name]] = name
        unknown = [value for value in self.predictions.regions_class_order if value not in of_value]
        if unknown:
            raise ValueError(
                f"predictions.regions_class_order: {unknown[0]} is the value of no class; expected some of "
                f"{as_toml(list(of_value))}"
            )
        return self

    @property
    def region_channels(self) -> RegionChannels:
        """What each channel is of, where predictions have one for each region."""
        of_name, of_value = self.dataset.classes_of_name, self.dataset.class_of_value
        asked = zip(self.predictions.regions, self.predictions.regions_class_order, strict=True)
        return tuple(RegionChannel(of_name[name], of_value[value]) for name, value in asked)


def load_config(path: str | Path) -> EvaluationConfig:
    """Read a TOML file; relative paths in it are meant relative to its folder and come back absolute.

    Raises ConfigError with a line for each thing that is wrong: the file, the key, what was expected, what was given.
    """
    return parse_config(read_toml(path), base=Path(path).resolve().parent, source=str(path))


def parse_config(document: dict[str, Any], *, base: Path, source: str) -> EvaluationConfig:
    """Validate a configuration given as tables; `base` is the folder that relative paths start from.

    What a data set says of itself in a dataset.json stands in it, as if it had been written there.
    """
    config = _validated(with_description(document, base), source)
    # The folder of the file is meant as it is, whatever letters its name holds; only what was written is a pattern.
    pattern_base = Path(escaped(str(base)))
    return config.model_copy(
        update={
            "dataset": _anchored(
                _anchored(config.dataset, pattern_base, "images", "references", "masks"),
                base,
                "manifest",
                "roots",
                "columns",
            ),
            "predictions": _anchored(config.predictions, pattern_base, "path"),
            "model": _anchored(config.model, base, "path") if "." in config.model.path else config.model,
            "store": _anchored(config.store, base, "path"),
            "cluster": _anchored(config.cluster, base, "tls_ca", "tls_cert", "tls_key", "job_folder", "spec"),
            "report": _anchored(config.report, base, "path"),
            "train": _anchored(config.train, base, "output", "initial_weights"),
        }
    )


def override(
    config: EvaluationConfig,
    *,
    run_id: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    rescan: bool = False,
    replan: bool = False,
    split: str | None = None,
) -> EvaluationConfig:
    """The configuration with what the command line says instead. Raises ConfigError as `parse_config` does."""
    document = config.model_dump()
    if scheduler is not None:
        # What was said of other workers holds for them alone.
        kept = document["cluster"] if config.cluster.kind == "address" else {}
        document["cluster"] = {**kept, "kind": "address", "address": scheduler}
    if workers is not None:
        document["cluster"]["workers"] = workers
    if run_id is not None:
        document["report"]["run_id"] = run_id
    if rescan:
        document["dataset"]["rescan"] = True
    if replan:
        document["model"]["replan"] = True
    if split is not None:
        document["dataset"]["split"] = split
    return _validated(document, "command line")


def _validated(document: dict[str, Any], source: str) -> EvaluationConfig:
    try:
        return EvaluationConfig.model_validate(document)
    except ValidationError as error:
        raise _refused(source, error) from None


def _refused(source: str, error: ValidationError) -> ConfigError:
    """What is raised: a line for each thing that was refused."""
    return ConfigError(*(f"{source}: {line}" for line in refusals(error, EvaluationConfig)))


def _anchored(section: S, base: Path, *keys: str) -> S:
    def placed(value: Any) -> Any:
        return tuple(anchored(path, base) for path in value) if isinstance(value, tuple) else anchored(value, base)

    return section.model_copy(update={key: placed(getattr(section, key)) for key in keys})
