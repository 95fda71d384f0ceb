"""The sections of the configuration beside [dataset]: each a frozen record that checks itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from segscale.flows.config.prediction_name import folder_label
from segscale.flows.config.values import NAME, NAMED, Folder, Names, NonNegative, Place, spelled
from segscale.storage.objects import ObjectStore
from segscale.tasks.model_facts import Ending, ModelReading, is_onnx
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

MAX_LEVEL = 8
Level = int | Literal["all"]
Channels = Literal["", "argmax", "independent", "regions"]


def _shown_name(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError(f"expected a name that can be printed, without blanks around it, got {as_toml(name)}")
    return name


class Predictions(Section):
    """Predictions that something else made."""

    path: Names = ""
    """Label maps or probabilities that exist; called as the image, or a pattern with {id}."""
    kind: Literal["auto", "labels", "probabilities"] = "auto"
    """What numbers in the files are; auto: integers are labels, floats are what their values say."""
    label_values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """The value of each class in label maps; empty: as in the references."""
    channels: Channels = ""
    """Of a channel for each class: "" for one distribution, else "argmax" or "independent"; "regions": of `regions`,
    which "" tells by their number."""
    regions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Of predictions with a channel for each region: their names, or those of classes. No table, for its order counts,
    which not every store of JSON keeps."""
    regions_class_order: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Of each of them the label value that a label map has where its channel is likely and none behind it is."""
    name: Annotated[str, Field(max_length=100), AfterValidator(_shown_name)] = ""
    """What stands for the model in reports; empty: the folder that `path` names."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.label_values)) != len(self.label_values):
            raise ValueError(f"label_values: expected different values, got {as_toml(self.label_values)}")
        if self.channels == "regions" and not self.regions:
            raise ValueError('channels: "regions" needs predictions.regions, which say what each channel is of')
        if self.channels in ("argmax", "independent") and self.regions:
            raise ValueError(
                f"channels: {as_toml(self.channels)} is of a channel for each class, and regions name other channels; "
                "leave one of them out"
            )
        if len(self.regions_class_order) != len(self.regions):
            raise ValueError(
                f"regions_class_order: expected for each of {as_toml(self.regions)} the label value that its channel "
                "writes into a label map, those of later ones over those of earlier ones, got "
                f"{as_toml(self.regions_class_order)}"
            )
        return self

    @property
    def label(self) -> str:
        """The name, or that of the folder; "" without either: a manifest may name files of many folders."""
        return self.name or folder_label(self.path)


def _checked_level(value: object) -> object:
    # A union of its own kind would answer a wrong number with one error for each of its members.
    if value == "all" or (type(value) is int and 1 <= value <= MAX_LEVEL):
        return value
    raise ValueError(f'expected 1 to {MAX_LEVEL}, or "all", got {as_toml(value)}')


class Model(Section):
    """The network and how it is run."""

    path: Place = ""
    """A .keras or .onnx file, or the name of a bundled model."""
    output: Annotated[str, Field(max_length=1000)] = ""
    """The one output that is taken; empty: all of them."""
    activation: Ending = ""
    """What its logits become; none: they are probabilities; empty: as the network says."""
    layout: Literal["", "NCHW", "NHWC"] = ""
    """Where an ONNX network has its channels; empty: as the network says."""
    engine: Literal["auto", "keras", "openvino"] = "auto"
    """What computes; auto: what is there, chosen once per run."""
    precision: Literal["auto", "fastest", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Of the network; auto: float32, or bfloat16 where that is measured to be faster; fastest: or int8 likewise."""
    max_dice_change: NonNegative = 0.01
    """A reduced precision that changes the Dice of a checked image by more gives way to float32."""
    level: Annotated[Level, PlainValidator(_checked_level, json_schema_input_type=Level)] = 4
    """Head of a UNet++ with deep supervision, and with it the pruned network; "all": every head."""
    ensemble: bool = False
    """The mean of heads 1 to level instead; with "all" beside them."""
    flips: bool = False
    """The mean over the image and its mirror images: four times the work."""
    batch_size: Annotated[int, Field(ge=0)] = 0
    """Images in one pass; 0: found by trying, once per run."""
    tile: Annotated[int, Field(ge=32, multiple_of=32)] = 1024
    """Side in pixels; larger images are predicted in tiles."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Of neighbouring tiles, as a fraction."""
    replan: bool = False
    """Resolve engine and precision anew, whatever the store says of them."""

    @property
    def reading(self) -> ModelReading:
        """How the file is read."""
        return ModelReading(self.output, self.activation, self.layout)

    @property
    def is_onnx(self) -> bool:
        """Whether the network is one in ONNX."""
        return is_onnx(self.path)


class Store(Section):
    """Where shards, catalog and ledger live."""

    path: Folder = "work"
    """A folder or URL; any number of data sets and runs may share one."""
    shard_images: Annotated[int, Field(ge=1, le=65536)] = 128
    """Images of a shard, at most."""
    keep: Literal["labels", "probabilities", "none"] = "labels"
    """What stays of a network's predictions; those that exist are their files."""
    single_driver: bool = False
    """Go on with a store that cannot decide between two drivers; there must never be two."""

    def open(self) -> ObjectStore:
        """The store."""
        return ObjectStore(self.path, self.single_driver)


def _served(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise ValueError(
            f"expected the address under which report.path is served, such as https://HOST/reports, got {as_toml(url)}"
        )
    return url.rstrip("/")


class Report(Section):
    """Where the tables go, and how many failures a run may have."""

    path: Folder = "reports"
    """The folder or URL of all reports: DATASET/RUN_ID below it."""
    run_id: Annotated[str, Field(max_length=100), spelled(rf"({NAME})?", NAMED)] = ""
    """Name of the run's folder; empty: the first 12 hex digits of the sha256 of all that affects a number."""
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of images that may fail; with more a run has failed. 1 goes on where all of the first 32 fail alike."""
    url: Annotated[Place, AfterValidator(_served)] = ""
    """Base address under which `path` is served, for links to reports; empty: reports are named by their path."""
    overlays: Literal["image", "labels", "none"] = "labels"
    """What the page shows of single images: outlines on their pixels, outlines alone, or nothing."""

    def forbids(self, n_failed: int, n_images: int) -> bool:
        """Whether more images failed than a run may have."""
        return n_failed > 0 and n_failed / n_images > self.max_failure_rate
