"""The sections of the configuration: each a frozen record that checks itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from segscale.errors import ListingError
from segscale.flows.config.cluster_keys import unused_key, walltime_seconds
from segscale.flows.config.prediction_name import folder_label
from segscale.flows.config.toml_text import special_letters
from segscale.storage.locations import redacted, refuse_secrets
from segscale.storage.objects import ObjectStore
from segscale.storage.patterns import Pattern
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def _spelled(pattern: str, words: str) -> AfterValidator:
    """A text that the pattern fits; what fits not is refused in words, for nobody reads patterns."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {words}, got {as_toml(text)}")
        return text

    return AfterValidator(check)


_NAMED = "letters A to Z, digits, dots, dashes and underscores, with a letter or digit at the beginning"
Name = Annotated[str, Field(max_length=100), _spelled(NAME, _NAMED)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _typed_place(place: str) -> str:
    if advice := special_letters(place):
        raise ValueError(f"expected a path, got {as_toml(place)}: {advice}")
    return place


# What is refused is shown by whoever validates (Prefect too), so it is refused without its secrets.
Place = Annotated[
    str,
    AfterValidator(_typed_place),
    AfterValidator(refuse_secrets),
    BeforeValidator(lambda url: redacted(url) if isinstance(url, str) else url),
]
Folder = Annotated[Place, Field(min_length=1)]


def _readable(pattern: str) -> str:
    try:
        Pattern.of(pattern)
    except ListingError as error:
        raise ValueError(str(error)) from None
    return pattern


Names = Annotated[Place, AfterValidator(_readable)]
"""A folder, a file or a pattern."""


def _shown_address(address: object) -> object:
    return (
        re.sub(r"^(\w+://)?.*@", r"\1***@", redacted(address), flags=re.DOTALL) if isinstance(address, str) else address
    )


def _without_secrets(address: str) -> str:
    if "@" in address or "?" in address:
        raise ValueError(
            f"expected tcp://HOST:PORT or tls://HOST:PORT without user, password or query, got {as_toml(address)}; "
            "addresses are logged, and Dask asks for none: leave it out, and use tls_ca, tls_cert and tls_key"
        )
    return address


# As with places: shown without its secrets by whoever refuses it.
Address = Annotated[str, AfterValidator(_without_secrets), BeforeValidator(_shown_address)]


def _shown_lines(lines: object) -> object:
    is_lines = isinstance(lines, list | tuple) and all(isinstance(line, str) for line in lines)
    return lines if is_lines else "***"


# What jobs are told may hold a token: what is no such line is refused without being shown.
Lines = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_shown_lines)]
Directive = Annotated[
    str,
    _spelled(r"-[^\n]+", 'an option of sbatch that begins with a dash, such as "--gres=gpu:1"'),
    BeforeValidator(lambda line: line if re.fullmatch(r"-[^\n]+", line) else "***"),
]
Directives = Annotated[tuple[Directive, ...], Field(strict=False), BeforeValidator(_shown_lines)]
MAX_LEVEL = 8
# A worker ends before its job does, and needs time to start.
MIN_WALLTIME_SECONDS = 120
Level = int | Literal["all"]
Channels = Literal["", "argmax", "independent"]
OVER_CLASSES = frozenset({"all_macro", "all_micro", "all_channels_micro"})


class Dataset(Section):
    """Which images, which references, and what their values mean."""

    name: Name
    images: Names = ""
    """Optional where existing predictions are scored; the set is then the references."""
    references: Names = ""
    manifest: Place = ""
    columns: Place = ""
    """A table with image_id (or id) and what else is known of the images, beside what names their files."""
    roots: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    """Folders that files named by the manifest may lie in, beside the folder of the manifest itself."""
    layout: Literal["files", "nnunet", "dicom"] = "files"
    classes: Annotated[tuple[str, ...], Field(strict=False)] = ("background", "lesion")
    label_values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    ignore_label: int | None = None
    foreground: Literal["", "any"] = ""
    """Of two classes without label_values: "any" takes every value but 0 for the second, as of instances."""
    channels: Literal[0, 1, 3] = 0
    normalize: Literal["unit", "window", "percentile", "zscore", "none"] = "unit"
    window: Annotated[tuple[float, float], Field(strict=False)] = (-1000.0, 400.0)
    full_scale: NonNegative = 0.0
    """The stored value that "unit" makes 1, of every image; 0: as their files and types say."""
    split: str = ""
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
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window: expected [low, high] with low < high, got {as_toml(self.window)}")
        if self.full_scale and self.normalize != "unit":
            raise ValueError(f'full_scale: means something to normalize = "unit" alone, got {as_toml(self.normalize)}')
        if self.split and not self.manifest:
            raise ValueError("split: needs a manifest with a column named split")
        if self.roots and not self.manifest:
            raise ValueError("roots: needs a manifest, whose files may lie in them")
        return self


def _shown_name(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError(f"expected a name that can be printed, without blanks around it, got {as_toml(name)}")
    return name


class Predictions(Section):
    """Predictions that something else made."""

    path: Names = ""
    kind: Literal["auto", "labels", "probabilities"] = "auto"
    label_values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """The value of each class in label maps; empty: as in the references."""
    channels: Channels = ""
    """Of predictions with a channel for each class: "" for one distribution, else "argmax" or "independent"."""

    name: Annotated[str, Field(max_length=100), AfterValidator(_shown_name)] = ""
    """What stands for the model in reports; empty: the folder that `path` names."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.label_values)) != len(self.label_values):
            raise ValueError(f"label_values: expected different values, got {as_toml(self.label_values)}")
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
    engine: Literal["auto", "keras", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_dice_change: NonNegative = 0.01
    level: Annotated[Level, PlainValidator(_checked_level, json_schema_input_type=Level)] = 4
    ensemble: bool = False
    flips: bool = False
    batch_size: Annotated[int, Field(ge=0)] = 0
    tile: Annotated[int, Field(ge=32, multiple_of=32)] = 1024
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25


class Metrics(ScoreSettings):
    """What is counted and how scores are made of the counts."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    threshold_count: Annotated[int, Field(ge=2, le=BINS)] = 64

    @model_validator(mode="after")
    def _check(self) -> Self:
        if BINS % self.threshold_count:
            raise ValueError(f"threshold_count: expected a divisor of {BINS}, got {self.threshold_count}")
        return self


class Store(Section):
    """Where shards, catalog and ledger live."""

    path: Folder = "work"
    shard_images: Annotated[int, Field(ge=1, le=65536)] = 128
    keep: Literal["labels", "probabilities", "none"] = "labels"
    single_driver: bool = False
    """Go on with a store that cannot decide between two drivers; there must never be two."""

    def open(self) -> ObjectStore:
        """The store."""
        return ObjectStore(self.path, self.single_driver)


class Cluster(Section):
    """The workers. Which kind uses which key: `segscale.flows.config.cluster_keys`."""

    kind: Literal["local", "gpus", "address", "slurm", "kubernetes"] = "local"
    workers: Annotated[int, Field(ge=0)] = 0
    adaptive: bool = False
    """From one worker to `workers`, as there is work."""
    wait_seconds: Positive = 300.0
    """How long workers may take to come, and to answer."""
    address: Address = ""
    shard_seconds: NonNegative = 0.0
    """After which a shard is given up by its worker; 0: by its pixels."""
    resources: dict[str, NonNegative] = {}  # noqa: RUF012 - pydantic copies it
    """What each worker must offer at least, as `dask worker --resources` gives it."""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    cores: Annotated[int, Field(ge=1)] = 1
    """Of each worker."""
    memory: Annotated[str, _spelled(r"[1-9][0-9]*(\.[0-9]+)? ?[kMGT]i?B", 'a size such as "4GB" or "500 MiB"')] = "4GB"
    """Of each worker."""
    queue: str = ""
    account: str = ""
    walltime: str = "01:00:00"
    interface: str = ""
    directives: Directives = ()
    """Further options of sbatch."""
    prologue: Lines = ()
    """Shell commands of a job before its worker starts."""
    job_folder: str = ""
    """A folder that all machines share, for the logs of jobs and the keys of their connection."""
    image: str = ""
    namespace: str = ""
    spec: str = ""
    """A file with a DaskCluster resource."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        # By value: a configuration that went through a scheduler comes with every key written out.
        given = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if unused := unused_key(self.kind, given):
            raise ValueError(unused)
        if self.kind == "address":
            self._check_address()
        if self.kind in ("slurm", "kubernetes") and not self.workers and not self.spec:
            raise ValueError(f'workers: expected how many at most, 1 or more, with kind = "{self.kind}", got 0')
        if self.kind == "slurm" and walltime_seconds(self.walltime) < MIN_WALLTIME_SECONDS:
            raise ValueError(f"walltime: expected {MIN_WALLTIME_SECONDS} seconds or more, got {as_toml(self.walltime)}")
        if self.kind == "kubernetes" and bool(self.image) == bool(self.spec):
            raise ValueError("image, spec: expected the image of the workers, or a file with a DaskCluster")
        if self.spec and {"cores", "memory"}.intersection(given):
            raise ValueError("cores, memory: stand in the file that spec names; leave them out")
        return self

    def _check_address(self) -> None:
        if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://[^\s/?#]+:\d+", self.address):
            raise ValueError(
                f'address: expected one like tcp://HOST:PORT with kind = "address", got {as_toml(self.address)}'
            )
        tls = (self.tls_ca, self.tls_cert, self.tls_key)
        if any(tls) and not all(tls):
            raise ValueError("tls_ca, tls_cert, tls_key: expected all three or none")
        if any(tls) and not self.address.startswith(("tls://", "wss://")):
            raise ValueError(f"address: expected tls://HOST:PORT with tls_ca, got {as_toml(self.address)}")


class Report(Section):
    """Where the tables go, and how many failures a run may have."""

    path: Folder = "reports"
    run_id: Annotated[str, Field(max_length=100), _spelled(rf"({NAME})?", _NAMED)] = ""
    """Name of the run's folder; empty: the first 12 hex digits of the sha256 of all that affects a number."""
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
