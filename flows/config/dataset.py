"""The section [dataset]: which files, and what their values mean."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from segscale.flows.config.values import Name, Names, NonNegative, Place
from segscale.tasks.geometry import LARGEST_MM, SMALLEST_MM
from segscale.tasks.lesions.inputs import Instances
from segscale.tasks.metrics.regions import Regions
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

MAX_SEGMENT = 65535
Millimetres = Annotated[float, Field(ge=SMALLEST_MM, le=LARGEST_MM)]
Segment = int | Literal["each"]
RegionTable = dict[str, list[int]]
RegionPairs = list[tuple[str, list[int]]]
Layout = Literal["files", "nnunet", "msd", "cases", "dicom"]
OVER_CLASSES = frozenset({"all_macro", "all_micro", "all_channels_micro"})


def _tabled(value: Any) -> object:
    """A table, or the same as pairs, which keep their order where a store of JSON sorts the keys of tables."""
    with suppress(TypeError, ValueError):
        named = dict(value)
        if len(named) == len(value):
            return named
    raise ValueError(f"expected a table such as {{ whole_tumour = [1, 2, 3] }}, got {as_toml(value)}")


def _checked_segment(value: object) -> object:
    if value in (None, "each") or (type(value) is int and 1 <= value <= MAX_SEGMENT):
        return value
    raise ValueError(f'expected 1 to {MAX_SEGMENT}, or "each", got {as_toml(value)}')


class Dataset(Section):
    """Which images, which references, and what their values mean."""

    name: Name
    """Of the data set, in reports and in their path."""
    images: Names = ""
    """Optional where existing predictions are scored; the set is then the references."""
    references: Names = ""
    """Label maps that people have drawn: a pattern, a folder or a file."""
    manifest: Place = ""
    """Instead of images and references: a table with image_id, image, reference and what else is known."""
    masks: Names = ""
    """Which pixels of each image are evaluated: those that are not 0; the others count as ignored."""
    columns: Place = ""
    """A table with image_id (or id) and what else is known of the images, beside what names their files."""
    roots: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    """Folders that files named by the manifest may lie in, beside the folder of the manifest itself."""
    layout: Layout = "files"
    """How the files of a data set lie; of all but "files" `references` is the folder, and images are found by it."""
    classes: Annotated[tuple[str, ...], Field(strict=False)] = ("background", "lesion")
    """Their names, the background first."""
    label_values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """The value of each class in the references; empty: 0, 1, 2, ..., and of two classes 0 and one other."""
    regions: Annotated[
        dict[str, Annotated[tuple[int, ...], Field(strict=False)]],
        BeforeValidator(_tabled, json_schema_input_type=RegionTable | RegionPairs),
    ] = {}  # noqa: RUF012
    """Unions of classes, counted beside them, each by the label values of its classes."""
    ignore_label: int | None = None
    """The value of pixels that count in nothing."""
    foreground: Literal["", "any"] = ""
    """Of two classes without label_values: "any" takes every value but 0 for the second, as of instances."""
    instances: Instances = ""
    """Which label maps hold another number for each lesion; else lesions are connected components."""
    volume: Annotated[int, Field(ge=0)] | None = None
    """Of files with several volumes the one that is read, from 0 on."""
    segment: Annotated[Segment | None, PlainValidator(_checked_segment, json_schema_input_type=Segment | None)] = None
    """Of DICOM segmentations the one that is read, by its number, as 1 where it is and 0 elsewhere; "each": a row for
    each one of the reference."""
    affine: Literal["", "sform", "qform"] = ""
    """Which one is right where the two of a NIfTI file put voxels to different places."""
    spacing_mm: Annotated[tuple[Millimetres, Millimetres, Millimetres], Field(strict=False)] | None = None
    """Along D, H and W, of files that say nothing of it."""
    slice_axis: Literal["auto", "d", "h", "w"] = "auto"
    """Along which axis of a volume its slices follow one another; auto: the coarsest."""
    resample: bool = False
    """Files on another grid than their reference are resampled into that; else they are refused."""
    channels: Annotated[int, Field(ge=0)] = 0
    """That the network must take; 0: whatever it takes, in training what the images have."""
    normalize: Literal["unit", "window", "percentile", "zscore", "none"] = "unit"
    """What is done to pixels before a network sees them."""
    window: Annotated[tuple[float, float], Field(strict=False)] = (-1000.0, 400.0)
    """For normalize = "window": these become 0 and 1."""
    full_scale: NonNegative = 0.0
    """The stored value that "unit" makes 1, of every image; 0: as their files and types say."""
    split: str = ""
    """Only the rows of the manifest with this value in the column split."""
    same_files: bool = False
    """One file may stand in several places: as an image and as its reference or prediction, or as two images."""
    rescan: bool = False
    """Look at every file again, whatever its time says."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.manifest) == bool(self.images or self.references):
            raise ValueError("expected either references, with or without images, or a manifest")
        if not self.manifest and not self.references:
            raise ValueError("references: expected them beside images (or a manifest)")
        if any(not name.strip() for name in self.classes):
            raise ValueError(f"classes: expected a name for each, got {as_toml(self.classes)}")
        if not 2 <= len(self.classes) <= 255 or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"classes: expected 2 to 255 different names, got {len(self.classes)}: {as_toml(self.classes)}"
            )
        taken = sorted(OVER_CLASSES.intersection(self.classes))
        if taken:
            raise ValueError(
                f"classes: {as_toml(taken[0])} is the reports' name of a score over classes; choose another"
            )
        if self.label_values and len(self.label_values) != len(self.classes):
            raise ValueError(
                f"label_values: expected a value for each of {len(self.classes)} classes, "
                f"got {as_toml(self.label_values)}"
            )
        if len(set(self.label_values)) != len(self.label_values):
            raise ValueError(f"label_values: expected different values, got {as_toml(self.label_values)}")
        if self.ignore_label in self.label_values:
            raise ValueError(f"ignore_label: {self.ignore_label} stands in label_values too")
        if self.foreground and (self.label_values or len(self.classes) != 2):
            raise ValueError("foreground: is for two classes without label_values")
        if self.instances and not self.foreground:
            raise ValueError('instances: every number but 0 is a lesion then, which foreground = "any" has to say too')
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window: expected [low, high] with low < high, got {as_toml(self.window)}")
        if self.full_scale and self.normalize != "unit":
            raise ValueError(f'full_scale: means something to normalize = "unit" alone, got {as_toml(self.normalize)}')
        if self.split and not self.manifest:
            raise ValueError("split: needs a manifest with a column named split")
        if self.roots and not self.manifest:
            raise ValueError("roots: needs a manifest, whose files may lie in them")
        return self

    @model_validator(mode="after")
    def _check_layout(self) -> Self:
        if self.layout == "files":
            return self
        if self.manifest:
            raise ValueError(f"layout: {as_toml(self.layout)} is of folders; beside a manifest leave it out")
        if self.images and self.layout != "dicom":
            raise ValueError(
                f"images: with layout = {as_toml(self.layout)} they are found by the references; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_regions(self) -> Self:
        known = self._values_of_classes
        named: dict[frozenset[int], str] = {}
        for name, values in self.regions.items():
            said = f"regions: {name} = {as_toml(values)}"
            if not name.strip() or not name.isprintable():
                raise ValueError(f"regions: expected a name for each that can be printed, got {as_toml(name)}")
            if name in self.classes:
                raise ValueError(f"regions: {name} is the name of a class; choose another")
            if name in OVER_CLASSES:
                raise ValueError(f"regions: {name} is the reports' name of a score over classes; choose another")
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{said}: expected the label values of its classes, one or more, each once")
            if unknown := [value for value in values if value not in known]:
                raise ValueError(f"{said}: {unknown[0]} is the value of no class; expected some of {as_toml(known)}")
            if len(values) == len(known):
                raise ValueError(f"{said}: holds every class, so every pixel is in it; leave the background out")
            if twin := named.get(frozenset(values)):
                raise ValueError(f"{said}: holds the classes of {twin} and no other; leave one of them out")
            named[frozenset(values)] = name
        return self

    @property
    def _values_of_classes(self) -> tuple[int, ...]:
        return self.label_values or tuple(range(len(self.classes)))

    @property
    def class_of_value(self) -> dict[int, int]:
        """The index of each class by its label value."""
        return {value: index for index, value in enumerate(self._values_of_classes)}

    @property
    def region_classes(self) -> Regions:
        """The class indices of each region, in the order in which they were given."""
        index = self.class_of_value
        return tuple(tuple(sorted(index[value] for value in values)) for values in self.regions.values())

    @property
    def classes_of_name(self) -> dict[str, tuple[int, ...]]:
        """The class indices of each class but the background, and of each region, by its name."""
        own = {name: (index,) for index, name in enumerate(self.classes) if index}
        return own | dict(zip(self.regions, self.region_classes, strict=True))
