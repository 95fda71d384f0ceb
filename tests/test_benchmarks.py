"""The benchmarks: all of them can be started, and in the short form of each every figure is there and positive."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COUNTING, TRAINING = BENCHMARKS / "counting.py", BENCHMARKS / "training.py"
READING, LARGE_IMAGES = BENCHMARKS / "reading.py", BENCHMARKS / "large_images.py"
NUMBER = r" +(\d+\.\d+)"
LINE = re.compile(
    r"(?P<name>.{39}) *(?P<median>[\d.]+) +(?P<low>[\d.]+) +(?P<high>[\d.]+) +(?P<images>\d+)"
    r" +(?P<uint8>[\d.]+)x +(?P<float32>[\d.]+)x.*"
)
ALWAYS = {
    *(
        f"segscale {kind}, {threads}"
        for kind in ("uint8", "float32", "float16")
        for threads in ("1 thread", "2 threads")
    ),
    "numpy, threshold and count",
    "MedPy's formula, from masks",
    "nnU-Net's formula, from masks",
}
OTHERS = {
    "SimpleITK LabelOverlapMeasures",
    *(
        f"{one}, {threads}"
        for one in ("MONAI DiceMetric", "TorchMetrics Dice, indices", "TorchMetrics Dice, one-hot")
        for threads in ("1 thread", "2 threads")
    ),
}


PROGRAMS = sorted(path for path in BENCHMARKS.glob("*.py") if "argparse" in path.read_text())
# One process for all of them: what most of them import takes seconds.
SAY_WHAT_THEY_TAKE = """
import contextlib, io, json, runpy, sys
helps = {}
for path in sys.argv[1:]:
    said, sys.argv[:] = io.StringIO(), [path, "--help"]
    sys.path.insert(0, path.rpartition("/")[0])
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        helps[path] = "" if end.code else said.getvalue()
print(json.dumps(helps))
"""


@pytest.mark.slow
def test_every_program_can_be_imported_and_says_what_it_takes() -> None:
    command = [sys.executable, "-c", SAY_WHAT_THEY_TAKE, *map(str, PROGRAMS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    helps = json.loads(answer.stdout)
    assert len(PROGRAMS) >= 14
    assert [path.name for path in PROGRAMS if "--help" not in helps.get(str(path), "")] == []


@pytest.mark.nightly(part="benchmarks")
def test_every_figure_of_the_short_form_is_there_and_positive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(COUNTING.parent))
    runpy.run_path(str(COUNTING))["main"](["--short"])
    _, *sections = capsys.readouterr().out.split("\n\n")
    titles = [section.splitlines()[0] for section in sections[:-1]]
    assert [title.split(";")[0] for title in titles] == [
        "4 images of 512x512", "256 images of 64x64", "1 volume of 4x512x512",
    ]  # fmt: skip
    for section in sections[:-1]:
        title, _, *lines = section.splitlines()
        bandwidth = re.search(r"read ([\d.]+) GB/s", title)
        assert bandwidth is not None
        assert float(bandwidth.group(1)) > 0
        found = {match["name"].strip(): match for match in map(LINE.fullmatch, lines) if match}
        missing = {line.removesuffix("not installed").strip() for line in lines if line.endswith("not installed")}
        assert found.keys() >= ALWAYS
        assert found.keys() | missing == ALWAYS | OTHERS
        for match in found.values():
            assert 0 < float(match["low"]) <= float(match["median"]) <= float(match["high"])
            assert int(match["images"]) > 0


@pytest.mark.nightly(part="benchmarks")
def test_a_training_is_measured_beside_plain_keras(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(TRAINING))["main"](["--short"])
    _, *lines, load = capsys.readouterr().out.splitlines()
    figures = {line[:37].strip(): [float(value) for value in line[37:].split()] for line in lines}
    assert list(figures) == [
        "segscale, images/s", "plain Keras, images/s", "ratio (goal: 0.9)", "share of our time waiting for input",
    ]  # fmt: skip
    for median, lowest, highest in figures.values():
        assert 0 <= lowest <= median <= highest
    ours, theirs, ratio, waiting = (values[0] for values in figures.values())
    # The short form counts a single epoch, so the medians are one measurement.
    assert ratio == pytest.approx(ours / theirs, rel=1e-2)
    assert waiting < 1
    assert load.startswith("load ")


@pytest.mark.nightly(part="benchmarks")
def test_what_a_shard_costs_beside_inference_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(READING))["main"](["--short"])
    _, *lines, load = capsys.readouterr().out.splitlines()
    figures = {line[:41].strip(): [float(value) for value in line[41:].split()] for line in lines}
    ours = [
        "fetch and check", "decode image by image", "decode 8 images at a time", "decode all at once",
        "decode by zstd alone, one thread", "predict_shard beside inference", "predict_shard, nothing kept",
        "read, decode and pad", "count", "labels", "encode and commit",
    ]  # fmt: skip
    assert list(figures)[: len(ours)] == ours
    assert all(name.startswith("zarrs") for name in list(figures)[len(ours) :])
    for median, lowest, highest in figures.values():
        assert 0 < lowest <= median <= highest
    assert load.startswith("load ")


@pytest.mark.nightly(part="benchmarks")
def test_large_images_are_ingested_and_predicted_in_processes_of_their_own() -> None:
    command = [sys.executable, str(LARGE_IMAGES), "--short"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS.parent)
    _, *lines, load = answer.stdout.splitlines()
    figures = {line[:36].strip(): [float(value) for value in line[36:].split()] for line in lines}
    assert list(figures) == [
        "300x420, ingest", "300x420, predict, phantom", "1300x420, ingest", "1300x420, predict, mean",
    ]  # fmt: skip
    for seconds, megapixels_per_second, peak_megabytes in figures.values():
        assert min(seconds, megapixels_per_second, peak_megabytes) >= 0
        assert seconds + megapixels_per_second > 0
    assert load.startswith("load ")


def short_form(name: str, *arguments: str) -> str:
    """What a benchmark prints. In a process of its own: threads are settled before TensorFlow's first operation."""
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stdout


def rates(printed: str, name: str) -> list[float]:
    """Median, lowest and highest of the first line that begins so."""
    match = re.search(rf"^{re.escape(name)}{NUMBER}{NUMBER}{NUMBER}", printed, re.MULTILINE)
    assert match is not None, f"no line of {name!r} in:\n{printed}"
    return [float(value) for value in match.groups()]


@pytest.mark.nightly(part="benchmarks")
def test_every_engine_is_measured_beside_others_that_compute_the_same() -> None:
    printed = short_form("inference.py", "--short")
    engines = ["segscale keras, float32", "segscale keras, bfloat16", "segscale openvino, float32"]
    workers = ["1 process of 2 threads, images/s", "2 processes of 1 thread, images/s", "ratio (goal: 0.95)"]
    for name in ("Keras model.predict, float32", "tf.function, float32", "tf.function, bfloat16", *engines, *workers):
        median, lowest, highest = rates(printed, name)
        assert 0 < lowest <= median <= highest
    others = [
        "PyTorch, float32",
        "PyTorch, autocast, bfloat16",
        "PyTorch, weights too, bfloat16",
        "ONNX Runtime, float32",
    ]
    for name in others:
        assert re.search(rf"^{name} +(not installed|\d)", printed, re.MULTILINE), printed
    for precision in ("float32", "bfloat16"):
        assert re.search(rf"^product, Keras on tensorflow, {precision} ", printed, re.MULTILINE)
    assert re.search(r"^\d+ threads read +[\d.]+ GB/s$", printed, re.MULTILINE)
    assert "(goal 5.5)" in printed


@pytest.mark.nightly(part="benchmarks")
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_keras_engine_is_measured_on_a_device(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    printed = short_form("inference.py", "--device", "cpu:0", "--short")
    for precision in ("float32", "bfloat16"):
        line = next(line for line in printed.splitlines() if line.startswith(f"segscale keras, {precision}"))
        assert rates(printed, f"segscale keras, {precision}")[0] > 0
        share_of_product, waiting = (float(value) for value in re.findall(r"([\d.]+)%", line))
        assert share_of_product >= 0
        assert 0 <= waiting < 100


@pytest.mark.nightly(part="benchmarks")
def test_a_whole_job_is_measured_beside_its_engine() -> None:
    printed = short_form("whole_job.py", "--short", "--engine", "keras", "--precision", "float32")
    steady = re.search(
        r"^steady state: ([\d.]+) images/s over (\d+) images, bare engine ([\d.]+)$", printed, re.MULTILINE
    )
    assert steady is not None, printed
    # Of 24 images, those of the first shard of each of 2 workers came before.
    assert 0 < int(steady[2]) < 24
    share = re.search(r"^share of the bare engine: ([\d.]+)%", printed, re.MULTILINE)
    assert share is not None
    # A tiny network is so fast alone that the last printed digit weighs.
    assert float(share[1]) == pytest.approx(100 * float(steady[1]) / float(steady[3]), rel=0.05, abs=0.06)
    parts = [float(value) for value in re.findall(r"^[a-z].* +(\d+\.\d)$", printed, re.MULTILINE)]
    *stretches, whole = parts
    assert sum(stretches) == pytest.approx(whole, abs=0.3)


@pytest.mark.nightly(part="benchmarks")
def test_the_memory_of_an_engine_is_watched() -> None:
    printed = short_form("memory_growth.py", "--engine", "keras", "--batches", "20", "--shapes", "2", "--stay", "5")
    assert [float(value) > 0 for value in re.findall(r"^after +\d+% +([\d.]+) MB", printed, re.MULTILINE)] == [True] * 3


@pytest.mark.nightly(part="benchmarks")
def test_what_a_run_costs_beside_its_images_is_measured() -> None:
    printed = short_form("scheduling.py", "--short")
    assert re.search(r"^3000 images in \d+ shards$", printed, re.MULTILINE)
    assert re.search(r"^10 simulated workers, there after \d+ s$", printed, re.MULTILINE)
    names = [
        "objects/s, disk, by two processes",
        "shards/s, no work by two workers",
        "shards/s, work alone by two processes",
        "shards/s, all",
        "shards/s, tenth by tenth",
        "resume: read the planned catalog, s",
        "resume: all steps, s",
        "shards/s, 100 of them, by tenths",
    ]
    for name in names:
        median, lowest, highest = rates(printed, name)
        assert 0 < lowest <= median <= highest
    assert len(re.findall(r"^driver, MB at a tenth; peak after +\d+ +\d+$", printed, re.MULTILINE)) == 2


@pytest.mark.nightly(part="benchmarks")
def test_folders_are_scored_beside_the_formula() -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "scoring.py"),
        "--only",
        "small",
        "stages",
        "stacks",
        "--rounds",
        "1",
        "--share",
        "0.002",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"^(now|now, unchanged|label maps, .*|codes, .*?)  +([\d.]+)", answer.stdout, re.MULTILINE)
    assert len(rows) == 6
    assert all(float(median) > 0 for _, median in rows)
    stages = re.findall(
        r"^(driver: .*?|workers, .*?|files read.*?|decoded.*?|of that.*?|a shard.*?)  +([\d.]+)", answer.stdout, re.M
    )
    # Of real pairs and of drawn ones.
    assert len(stages) == 2 * 10
    least = [float(seconds) for seconds in re.findall(r"^at least (\d+\.\d) s ", answer.stdout, re.MULTILINE)]
    assert len(least) == 2 * 3
    assert least[:3] == sorted(least[:3])
    assert least[3:] == sorted(least[3:])


@pytest.mark.nightly(part="benchmarks")
def test_volumes_are_scored_in_every_type() -> None:
    cases = ("organs", "int16", "float64", "noisy", "probabilities", "long", "small")
    printed = short_form("volumes.py", "--short", "--rounds", "1", "--share", "0.02")
    for case in cases:
        table = re.search(rf"^{case}: .*\n.*\n(now .*)$", printed, re.MULTILINE)
        assert table is not None, printed
        figures = [float(figure) for figure in table[1].removeprefix("now").split()]
        assert len(figures) == 10
        assert min(figures) > 0
    assert re.search(r"^images/s of the first thousand \d+, the second \d+, the last \d+$", printed, re.MULTILINE)


@pytest.mark.nightly(part="benchmarks")
def test_lesions_are_measured_from_bits_and_from_masks() -> None:
    printed = short_form("lesions.py", "--short")
    for case in ("lesions", "components", "image"):
        table = re.search(rf"^{case}: .*\n.*\n((?:segscale, .*\n){{4}})", printed, re.MULTILINE)
        assert table is not None, printed
        for line in table[1].splitlines():
            median, lowest, highest, processor, times = (float(one) for one in line[26:].rstrip("x").split())
            assert 0 < lowest <= median <= highest
            assert min(processor, times) >= 0
