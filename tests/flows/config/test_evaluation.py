import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from segscale.errors import ConfigError
from segscale.flows.config.evaluation import EvaluationConfig, load_config, parse_config
from segscale.tasks.metrics.region_channels import RegionChannel

FILES = {"name": "nuclei", "images": "images/*.png", "references": "masks/*.png"}
MANIFEST = {"name": "nuclei", "manifest": "manifest.csv"}
# As the contract prints it.
CONTRACT = """
[dataset]
name = "nuclei"
images = "images/*.png"
references = "masks/*.png"
manifest = ""
layout = "files"
classes = ["background", "lesion"]
label_values = [0, 255]
foreground = ""
full_scale = 0.0
channels = 0
normalize = "unit"
window = [-1000.0, 400.0]
split = ""
[model]
path = ""
output = ""
activation = ""
layout = ""
engine = "auto"
precision = "auto"
max_dice_change = 0.01
level = 4
ensemble = false
flips = false
batch_size = 0
tile = 1024
overlap = 0.25
replan = false
[metrics]
threshold = 0.5
threshold_count = 64
slices = false
surface = false
nsd_tolerances_mm = [2.0]
missed_distance = "worst"
lesions = false
lesion_neighbours = 26
lesion_rule = "overlap"
tversky_alpha = 0.3
tversky_beta = 0.7
smooth = 0.0
batch_sizes = [1, 8, 32]
empty = "nan"
bootstrap = 1000
confidence = 0.95
cluster_by = ""
group_by = []
unit = ""
folds = ""
seed = 0
[store]
path = "work/nuclei"
shard_images = 128
keep = "labels"
[cluster]
kind = "local"
workers = 0
address = ""
tls_ca = ""
tls_cert = ""
tls_key = ""
resources = {}
shard_seconds = 0.0
wait_seconds = 300.0
adaptive = false
cores = 1
memory = "4GB"
queue = ""
account = ""
walltime = "01:00:00"
interface = ""
directives = []
prologue = []
job_folder = ""
image = ""
namespace = ""
spec = ""
[report]
path = "reports"
max_failure_rate = 0.0
"""


def _parse(document: dict[str, Any]) -> EvaluationConfig:
    return parse_config(document, base=Path("/base"), source="config.toml")


def _refusal(document: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        _parse(document)
    message = str(caught.value)
    assert all(line.startswith("config.toml: ") for line in message.split("\n"))
    return message


def test_the_configuration_of_the_contract_is_what_the_defaults_are() -> None:
    written = tomllib.loads(CONTRACT)
    config = _parse(written)
    least = _parse({"dataset": FILES | {"label_values": [0, 255]}, "store": {"path": "work/nuclei"}})
    assert config == least
    # What has no default stands there as a comment.
    sections = {"model", "metrics", "cluster"}
    assert config.model_dump(exclude={"train", "predictions"}, include=sections, exclude_none=True) == {
        section: {key: tuple(value) if isinstance(value, list) else value for key, value in written[section].items()}
        for section in ("model", "metrics", "cluster")
    }


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("dataset", "name", "", "expected letters A to Z"),
        ("dataset", "name", "../escape", "expected letters A to Z"),
        ("dataset", "name", ".hidden", "expected letters A to Z"),
        ("dataset", "name", "two words", "expected letters A to Z"),
        ("dataset", "name", "line\n", "expected letters A to Z"),
        ("dataset", "name", "x" * 101, "at most 100"),
        ("dataset", "layout", "coco", '"files"'),
        ("dataset", "classes", ["lesion"], "expected 2 to 255 different names"),
        ("dataset", "classes", ["a", "a"], "expected 2 to 255 different names"),
        ("dataset", "classes", [str(number) for number in range(256)], "expected 2 to 255 different names"),
        ("dataset", "label_values", [0], "expected a value for each of 2 classes, got [0]"),
        ("dataset", "label_values", [7, 7], "expected different values, got [7, 7]"),
        ("dataset", "foreground", "all", '"any"'),
        ("dataset", "instances", "predictions", '"references"'),
        ("metrics", "nsd_tolerances_mm", [-1.0], "greater than or equal to 0"),
        ("metrics", "nsd_tolerances_mm", [2.0, 2.0], "expected different numbers, got [2.0, 2.0]"),
        ("metrics", "missed_distance", "zero", '"worst"'),
        ("metrics", "lesion_neighbours", 8, "26"),
        ("metrics", "lesion_rule", "centroid", '"overlap"'),
        ("metrics", "lesion_threshold", 0.5, 'is of lesion_rule = "iou" or "dice"'),
        ("metrics", "group_by", ["lesion_volume:0,100"], "which metrics.lesions = true counts"),
        ("dataset", "regions", [1, 2], "expected a table such as { whole_tumour = [1, 2, 3] }, got [1, 2]"),
        ("dataset", "regions", {"whole": 1}, "dataset.regions.whole: expected a list, got 1; write [1]"),
        ("dataset", "regions", {"whole": [1.5]}, "dataset.regions.whole, value 1: expected a whole number, got 1.5"),
        ("dataset", "regions", {" ": [1]}, 'expected a name for each that can be printed, got " "'),
        ("dataset", "regions", {"lesion": [1]}, "dataset.regions: lesion is the name of a class"),
        ("dataset", "regions", {"all_macro": [1]}, "all_macro is the reports' name of a score over classes"),
        ("dataset", "regions", {"whole": []}, "whole = []: expected the label values of its classes"),
        ("dataset", "regions", {"whole": [1, 1]}, "whole = [1, 1]: expected the label values of its classes"),
        ("dataset", "regions", {"whole": [1, 2]}, "2 is the value of no class; expected some of [0, 1]"),
        ("dataset", "regions", {"whole": [1, 0]}, "holds every class"),
        ("dataset", "regions", {"one": [1], "two": [1]}, "two = [1]: holds the classes of one and no other"),
        ("predictions", "kind", "logits", '"probabilities"'),
        ("predictions", "label_values", [7, 7], "expected different values, got [7, 7]"),
        ("predictions", "label_values", [7], "predictions.label_values: expected a value for each of 2 classes"),
        ("predictions", "channels", "softmax", '"independent"'),
        ("dataset", "channels", -1, "greater than or equal to 0"),
        ("predictions", "channels", "regions", '"regions" needs predictions.regions'),
        ("predictions", "regions", ["lesion"], 'regions_class_order: expected for each of ["lesion"] the label value'),
        ("predictions", "regions", {"lesion": 1}, "expected a list"),
        ("predictions", "regions_class_order", [1], "regions_class_order: expected for each of []"),
        ("dataset", "normalize", "minmax", '"unit"'),
        ("dataset", "window", [400.0, -1000.0], "low < high, got [400.0, -1000.0]"),
        ("dataset", "window", [1.0, 1.0], "low < high"),
        ("dataset", "window", [1.0], "window"),
        ("dataset", "window", [float("-inf"), 0.0], "finite"),
        ("dataset", "full_scale", -1.0, "greater than or equal to 0"),
        ("dataset", "full_scale", float("inf"), "finite"),
        ("dataset", "split", "test", "needs a manifest"),
        ("model", "engine", "torch", '"keras"'),
        ("model", "precision", "int4", '"bfloat16"'),
        ("model", "max_dice_change", -0.1, "greater than or equal to 0"),
        ("model", "level", 0, "expected 1 to 8"),
        ("model", "level", 9, 'expected 1 to 8, or "all", got 9'),
        ("model", "level", True, "got true"),
        ("model", "level", "deep", 'got "deep"'),
        ("model", "batch_size", -1, "greater than or equal to 0"),
        ("model", "tile", 0, "greater than or equal to 32"),
        ("model", "tile", 100, "multiple of 32"),
        ("model", "overlap", 1.0, "less than 1"),
        ("model", "overlap", -0.1, "greater than or equal to 0"),
        ("metrics", "threshold", 0.0, "greater than 0"),
        ("metrics", "threshold", 1.1, "less than or equal to 1"),
        ("metrics", "threshold", float("nan"), "finite"),
        ("metrics", "threshold_count", 1, "greater than or equal to 2"),
        ("metrics", "threshold_count", 100, "expected a divisor of 256, got 100"),
        ("metrics", "threshold_count", 512, "less than or equal to 256"),
        ("metrics", "tversky_alpha", -1.0, "greater than or equal to 0"),
        ("metrics", "tversky_beta", float("inf"), "finite"),
        ("metrics", "smooth", -1.0, "greater than or equal to 0"),
        ("metrics", "batch_sizes", [0], "greater than or equal to 1"),
        ("metrics", "batch_sizes", [2**63], "less than or equal to 9223372036854775807"),
        ("metrics", "batch_sizes", [8, 8], "expected different sizes, got [8, 8]"),
        ("metrics", "empty", "skip", '"nan"'),
        ("metrics", "bootstrap", -1, "greater than or equal to 0"),
        ("metrics", "confidence", 0.0, "greater than 0"),
        ("metrics", "confidence", 1.0, "less than 1"),
        ("metrics", "group_by", ["site", "site"], "different"),
        ("metrics", "seed", -1, "greater than or equal to 0"),
        ("store", "shard_images", 0, "greater than or equal to 1"),
        ("store", "shard_images", 65537, "less than or equal to 65536"),
        ("store", "keep", "all", '"probabilities"'),
        ("cluster", "kind", "ray", '"slurm"'),
        ("cluster", "kind", "address", "expected HOST:PORT, or one like tls://HOST:PORT"),
        ("cluster", "address", "tcp://host:8786", 'is not used with kind = "local", only with "address"'),
        ("cluster", "workers", -1, "greater than or equal to 0"),
        ("report", "run_id", "../other", "expected letters A to Z"),
        ("report", "run_id", "x" * 101, "at most 100"),
        ("report", "max_failure_rate", 1.5, "less than or equal to 1"),
        ("report", "url", "file:///reports", "such as https://HOST/reports"),
        ("report", "url", "HOST/reports", "such as https://HOST/reports"),
        ("report", "url", "https://me:planted@host/reports", "without user, password"),
        ("train", "filters", [8, 0], "greater than or equal to 1"),
        ("train", "filters", [8], "filters: expected at least 2"),
        ("train", "patch", 33, "multiple of 32"),
        ("train", "dropout", 1.0, "less than 1"),
        ("train", "l2", -1.0, "greater than or equal to 0"),
        ("train", "learning_rate", 0.0, "greater than 0"),
        ("train", "epochs", 0, "greater than or equal to 1"),
        ("train", "class_weights", [0.5, 0.6], "sum to 1, got [0.5, 0.6]"),
        ("train", "class_weights", [0.2, 0.3, 0.5], "each of 2 classes"),
        ("train", "head_weights", [0.5], "one for each head"),
        ("train", "head_weights", [1.0, 1.0, 1.0, 0.0], "the last above 0"),
        ("train", "foreground_share", 1.5, "less than or equal to 1"),
        ("train", "degrees", 181.0, "less than or equal to 180"),
        ("train", "loss", "cross_entropy", '"focal_tversky"'),
        ("train", "reduction_axes", "batch_summed", '"batch"'),
        ("train", "validation", ["b"], "split_by, validation"),
        ("train", "split_by", "site", "split_by, validation"),
        ("train", "validation_by", "site", "validation_by: needs"),
        ("train", "validation_fraction", 1.0, "less than 1"),
        ("train", "normalization", "group", '"batch"'),
        ("train", "activation", "relu", '"sigmoid"'),
        ("metrics", "threshold", "half", 'got "half"'),
        ("metrics", "group_by", "site", 'expected a list, got "site"; write ["site"]'),
        ("dataset", "classes", "lesion", 'expected a list, got "lesion"; write ["lesion"]'),
        ("dataset", "label_values", [0, 1.5], "value 2: expected a whole number, got 1.5"),
        ("model", "ensemble", "perhaps", "expected true or false"),
        ("store", "path", 3, 'expected text in quotes, got 3; write "3"'),
        ("dataset", "images", ["a.png"], "expected text in quotes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_value_is_refused_in_one_line(section: str, key: str, value: object, words: str) -> None:
    document: dict[str, Any] = {"dataset": FILES}
    document[section] = document.get(section, {}) | {key: value}
    message = _refusal(document)
    assert f"{section}." in message or f"{section}: " in message
    assert key in message
    assert words in message


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("dataset", "classes", [str(number) for number in range(255)]),
        ("dataset", "label_values", [255, 0]),
        ("dataset", "ignore_label", 255),
        ("dataset", "channels", 3),
        ("dataset", "full_scale", 4095),
        ("model", "tile", 32),
        ("model", "overlap", 0.0),
        ("model", "level", 1),
        ("model", "level", "all"),
        ("metrics", "threshold", 1.0),
        ("metrics", "threshold_count", 256),
        ("metrics", "threshold_count", 2),
        ("metrics", "tversky_alpha", 0.0),
        ("metrics", "batch_sizes", []),
        ("metrics", "bootstrap", 0),
        ("metrics", "nsd_tolerances_mm", [0.0, 0.5]),
        ("metrics", "nsd_tolerances_mm", []),
        ("metrics", "lesion_neighbours", 6),
        ("store", "shard_images", 65536),
        ("report", "run_id", "nightly-2026.01_a"),
        ("report", "max_failure_rate", 1.0),
        ("report", "url", "http://host:8000"),
    ],
)
def test_the_ends_of_the_ranges_are_in_them(section: str, key: str, value: object) -> None:
    document: dict[str, Any] = {"dataset": FILES}
    document[section] = document.get(section, {}) | {key: value}
    found = getattr(getattr(_parse(document), section), key)
    assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param({}, "dataset: required, and not given", id="empty"),
        pytest.param({"dataset": {"manifest": "m.csv"}}, "dataset.name: required", id="no name"),
        pytest.param(
            {"dataset": {"name": "x"}}, "either references, with or without images, or a manifest", id="no sources"
        ),
        pytest.param({"dataset": FILES | {"manifest": "m.csv"}}, "either references, with", id="files and a manifest"),
        pytest.param(
            {"dataset": {"name": "x", "images": "i"}},
            "dataset.references: expected them beside images",
            id="images alone",
        ),
        pytest.param(
            {"dataset": {"name": "x", "references": "r"}},
            "dataset.images: expected the images that a network sees",
            id="references alone",
        ),
        pytest.param(
            {"dataset": FILES | {"instances": "both"}},
            'dataset.instances: every number but 0 is a lesion then, which foreground = "any" has to say too',
            id="instances that are classes",
        ),
        pytest.param(
            {"dataset": FILES | {"instances": "both", "foreground": "any"}},
            "dataset.instances: is of lesions, which metrics.lesions = true counts",
            id="instances and no lesions",
        ),
        pytest.param(
            {
                "dataset": FILES | {"instances": "both", "foreground": "any"},
                "metrics": {"lesions": True},
                "model": {"path": "phantom"},
            },
            'dataset.instances: "both" is of existing predictions; the lesions that a network predicts are connected '
            'components: take "references"',
            id="instances that a network should predict",
        ),
        pytest.param(
            {"dataset": FILES | {"full_scale": 4095.0, "normalize": "zscore"}},
            'dataset.full_scale: means something to normalize = "unit" alone, got "zscore"',
            id="full scale of another normalisation",
        ),
        pytest.param(
            {"dataset": FILES | {"label_values": [0, 255], "ignore_label": 255}},
            "ignore_label: 255 stands in label_values too",
            id="an ignored class",
        ),
        pytest.param(
            {"dataset": FILES, "model": {"path": "phantom"}, "predictions": {"path": "p/*.npy"}},
            "model.path, predictions.path: expected one of them, got both",
            id="model and predictions",
        ),
        pytest.param(
            {"dataset": FILES, "metrics": {"tversky_alpha": 0.0, "tversky_beta": 0.0}},
            "tversky_alpha, tversky_beta: expected at least one above 0",
            id="weights of nothing",
        ),
        pytest.param(
            {"dataset": FILES, "train": {"filters": [8] * 7, "patch": 32}}, "multiple of 2^6", id="a deep network"
        ),
        pytest.param(
            {"dataset": FILES, "dateset": {}}, "dateset: unknown section; did you mean [dataset]?", id="unknown section"
        ),
        pytest.param({"dataset": FILES | {"imges": "x"}}, "dataset.imges: unknown key", id="unknown key"),
        pytest.param({"dataset": FILES, "name": "x"}, "name: unknown key", id="key without a section"),
        pytest.param({"dataset": "nuclei"}, "dataset", id="a value for a section"),
        pytest.param({"dataset": [FILES]}, "dataset", id="a list of sections"),
    ],
)
def test_a_configuration_that_does_not_hold_together(document: dict[str, Any], words: str) -> None:
    assert words in _refusal(document)


@pytest.mark.parametrize(
    "section", ["dataset", "predictions", "model", "metrics", "store", "cluster", "report", "train"]
)
def test_no_section_takes_unknown_keys(section: str) -> None:
    message = _refusal({"dataset": FILES} | {section: (FILES if section == "dataset" else {}) | {"treshold": 1}})
    assert f"{section}.treshold: unknown key" in message


def test_all_that_is_wrong_is_said_in_a_line_each() -> None:
    message = _refusal({"dataset": FILES, "model": {"tile": 1, "level": 99}, "store": {"keep": "all"}})
    assert message.splitlines() == [
        'config.toml: model.level: expected 1 to 8, or "all", got 99',
        "config.toml: model.tile: expected a multiple of 32, got 1",
        'config.toml: store.keep: expected "labels", "probabilities" or "none", got "all"',
    ]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param({"metrics": {"treshold": 0.5}}, "treshold: unknown key; did you mean threshold?", id="misspelled"),
        pytest.param({"metrics": {"classes": ["a"]}}, "classes stands below [dataset]", id="in another section"),
        pytest.param({"threshold": 0.5}, "threshold stands below [metrics]", id="above all sections"),
        pytest.param({"colour": 1}, "every key stands below a section", id="of no section"),
        pytest.param({"store": {"colour": 1}}, "there are path, shard_images, keep", id="like none"),
        pytest.param({"colours": {}}, "there are [dataset], [predictions]", id="a section like none"),
        pytest.param({"dataset": 3}, "write [dataset] and its keys below it", id="a value for a section"),
        pytest.param({"dataset": {"images": "i", "references": "r"}}, "write name = ... below [dataset]", id="no name"),
        pytest.param({"metrics": {"threshold": "0.25"}}, "write 0.25, without quotes", id="a number in quotes"),
        pytest.param({"dataset": {"classes": "a, b"}}, 'write ["a", "b"]', id="names between commas"),
        pytest.param({"dataset": {"classes": "tumour"}}, 'write ["tumour"]', id="a name alone"),
        pytest.param({"metrics": {"group_by": "reference_volume:0,1"}}, 'write ["reference_volume:0,1"]', id="bins"),
        pytest.param({"model": {"flips": "true"}}, "write true, without quotes", id="true in quotes"),
        pytest.param({"metrics": {"empty": "nans"}}, 'did you mean "nan"?', id="a misspelled choice"),
        pytest.param({"cluster": {"memory": "4"}}, 'expected a size such as "4GB"', id="a size without its unit"),
        pytest.param({"store": {"path": "C:\temp"}}, """write "C:/temp", or in single quotes 'C:\\temp'""", id="a tab"),
    ],
)
def test_what_to_write_instead_is_said(document: dict[str, Any], words: str) -> None:
    message = _refusal({"dataset": FILES} | document)
    assert words in message, message
    # Of patterns, classes and records of Python nobody who writes TOML has heard.
    assert not any(word in message for word in ("tuple", "pattern", "pydantic", "boolean", "^["))


def test_relative_paths_start_from_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "c.toml").write_text(
        '[dataset]\nname = "x"\nimages = "images/*.png"\nreferences = "../masks"\n[predictions]\npath = "p/*.npy"\n'
        '[store]\npath = "work"\n'
    )
    config = load_config(folder / "c.toml")
    assert config.dataset.images == str(folder / "images/*.png")
    assert Path(config.dataset.references).resolve() == tmp_path / "masks"
    assert config.predictions.path == str(folder / "p/*.npy")
    assert config.store.path == str(folder / "work")
    assert config.report.path == str(folder / "reports")
    assert config.train.output == str(folder / "model.keras")
    assert config.dataset.manifest == ""


def test_a_file_named_from_elsewhere_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.toml").write_text('[dataset]\nname = "x"\nmanifest = "m.csv"\n')
    monkeypatch.chdir(tmp_path)
    assert load_config("sub/c.toml").dataset.manifest == str(tmp_path / "sub/m.csv")


@pytest.mark.parametrize(
    ("section", "key", "path", "expected"),
    [
        ("dataset", "manifest", "s3://bucket/m.csv", "s3://bucket/m.csv"),
        ("dataset", "manifest", "/data/m.csv", "/data/m.csv"),
        ("store", "path", "memory://work", "memory://work"),
        ("store", "path", "work", "/base/work"),
        ("model", "path", "phantom", "phantom"),
        ("model", "path", "models/best.keras", "/base/models/best.keras"),
        ("model", "path", "best.keras", "/base/best.keras"),
        ("model", "path", "", ""),
    ],
)
def test_paths(section: str, key: str, path: str, expected: str) -> None:
    document: dict[str, Any] = {"dataset": MANIFEST}
    document[section] = document.get(section, {}) | {key: path}
    assert getattr(getattr(_parse(document), section), key) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "expected a configuration file, found none", id="no file"),
        pytest.param(b"[dataset\nname = 1", "expected a TOML file", id="broken"),
        pytest.param(b'[dataset]\nname = "a"\nname = "b"\n', "expected a TOML file", id="a key twice"),
        pytest.param(b"\xff\xfe[dataset]", "expected a TOML file", id="no text"),
        pytest.param(b"", "dataset: required", id="empty"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(file)
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).split("\n"))


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "c.toml"):
        with pytest.raises(ConfigError, match="expected a"):
            load_config(path)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(tomllib.loads(CONTRACT), id="the contract's"),
        pytest.param({"dataset": MANIFEST | {"split": "test"}, "metrics": {"group_by": ["site"]}}, id="manifest"),
        pytest.param({"dataset": MANIFEST | {"classes": ["background", "liver", "tumour"]}}, id="three classes"),
        pytest.param({"dataset": FILES, "cluster": {"kind": "address", "address": "tcp://h:1"}}, id="address"),
        pytest.param({"dataset": FILES, "cluster": {"kind": "slurm", "workers": 2, "prologue": ["a"]}}, id="slurm"),
    ],
)
def test_a_configuration_survives_the_way_to_another_process(document: dict[str, Any]) -> None:
    # A deployment's parameters travel as JSON.
    config = _parse(document)
    assert EvaluationConfig.model_validate(config.model_dump()) == config
    assert EvaluationConfig.model_validate_json(config.model_dump_json()) == config
    assert parse_config(config.model_dump(mode="json"), base=Path("/elsewhere"), source="JSON") == config


def test_a_configuration_is_frozen() -> None:
    config = _parse({"dataset": FILES})
    with pytest.raises(ValidationError, match="frozen"):
        config.metrics.threshold = 0.7
    with pytest.raises(ValidationError, match="frozen"):
        config.store = config.store


@pytest.mark.parametrize(
    ("label_values", "regions", "classes", "reason"),
    [
        ([], {}, (), "none"),
        ([], {"whole": [3, 1, 2], "core": [2, 3]}, ((1, 2, 3), (2, 3)), "without label_values they are indices"),
        ([0, 10, 20, 30], {"core": [30, 20]}, ((2, 3),), "label values of the references"),
        ([], {"one": [2]}, ((2,),), "a single class"),
        ([5, 1, 2, 3], {"two": [1, 2], "one": [5, 1]}, ((1, 2), (0, 1)), "in the order given, the background like any"),
    ],
)
def test_regions_are_unions_of_classes(
    label_values: list[int], regions: dict[str, list[int]], classes: tuple[tuple[int, ...], ...], reason: str
) -> None:
    dataset = FILES | {"classes": ["b", "x", "y", "z"], "label_values": label_values, "regions": regions}
    parsed = _parse({"dataset": dataset, "store": {"path": "work/nuclei"}})
    assert parsed.dataset.region_classes == classes, reason
    assert EvaluationConfig.model_validate_json(parsed.model_dump_json()) == parsed


WHOLE = {
    "dataset": FILES
    | {"classes": ["b", "x", "y"], "label_values": [0, 5, 7], "regions": {"whole": [5, 7], "only": [7]}},
    "store": {"path": "work/nuclei"},
}


@pytest.mark.parametrize(
    ("predictions", "channels"),
    [
        ({}, ()),
        ({"regions": [], "regions_class_order": []}, ()),
        ({"regions": ["whole", "y"], "regions_class_order": [5, 7]}, (((1, 2), 1), ((2,), 2))),
        ({"regions": ["only", "whole"], "regions_class_order": [7, 5]}, (((2,), 2), ((1, 2), 1))),
        ({"regions": ["x"], "regions_class_order": [7], "channels": "regions"}, (((1,), 2),)),
    ],
)
def test_channels_of_regions(predictions: dict[str, Any], channels: tuple[tuple[tuple[int, ...], int], ...]) -> None:
    config = _parse(WHOLE | {"predictions": predictions})
    assert config.region_channels == tuple(RegionChannel(*one) for one in channels)
    assert EvaluationConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("regions", "order", "words", "reason"),
    [
        (["hole"], [5], 'regions: "hole" is neither a region nor a class', "a name of nothing"),
        (["b"], [5], '"b" is neither a region nor a class other than the background', "what no channel says is left"),
        (["whole"], [1], "regions_class_order: 1 is the value of no class; expected some of [0, 5, 7]", "an index"),
        (["whole", "x"], [5], "regions_class_order: expected for each of", "fewer values than channels"),
        (["only", "y"], [7, 7], 'regions: "only" and "y" are of the same classes', "two probabilities of one thing"),
        (["x", "x"], [5, 7], 'regions: "x" and "x" are of the same classes', "one twice"),
    ],
)
def test_channels_that_cannot_be_meant(regions: list[str], order: list[int], words: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _parse(WHOLE | {"predictions": {"regions": regions, "regions_class_order": order}})
    assert words in str(caught.value), reason


@pytest.mark.parametrize("channels", ["argmax", "independent"])
def test_channels_of_classes_are_none_of_regions(channels: str) -> None:
    predictions = {"channels": channels, "regions": ["whole"], "regions_class_order": [5]}
    with pytest.raises(ConfigError, match=f'channels: "{channels}" is of a channel for each class'):
        _parse(WHOLE | {"predictions": predictions})
