"""SECURITY.md, sentence by sentence: what is never run, never read, never written, and who can reach what."""

from __future__ import annotations

import ast
import csv
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from pydantic import ValidationError
from zarr.storage import MemoryStore

from segscale.errors import ConfigError, UnreadableImage
from segscale.flows.cluster.kubernetes import read_spec
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.evaluation import load_config, parse_config
from segscale.flows.prefect.serve import read_deployments
from segscale.flows.report import recorded
from segscale.storage.ledger import Entry, Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.shards import commit_shard, open_arrays
from segscale.storage.tables import encode_frame
from segscale.tasks.phantom import write_phantoms
from segscale.tasks.readers import read_header, read_label_map, read_picture, read_probabilities
from tests.unsafe_calls import HARMLESS_IN, unsafe

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [path for room in ("flows", "tasks", "storage") for path in (ROOT / room).rglob("*.py")]
    + list((ROOT / "segscale").glob("*.py"))
)
SECRET = "planted-91bd-secret"
TLS = ("tls_ca", "tls_cert", "tls_key")


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_module_unpickles_or_runs_what_a_file_says(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize(
    "source",
    [
        # pickles
        "import pickle", "import pickle as p", "from pickle import loads", "from _pickle import Unpickler",
        "import marshal", "import dill", "import shelve", "import cloudpickle", "import joblib",
        "from joblib import load", "__import__('pickle')", "import sys\nsys.modules['pickle']",
        "import importlib\nimportlib.import_module('pickle')", "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as fetch\nfetch('pickle')", "import pydoc\npydoc.locate('pickle.loads')",
        # arrays
        "import numpy as np\nnp.load('x')", "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=allowed)", "import numpy as np\nnp.load('x', **options)",
        "from numpy import load\nload(x, allow_pickle=True)", "from numpy import load as fetch\nfetch(x)",
        "import numpy\nlist(map(numpy.load, files))", "import numpy as np\ngetattr(np, 'load')(x)",
        "import numpy as np\nfetch = np.load", "from numpy import *",
        "import operator\noperator.attrgetter('a.load')(x)",
        "from numpy.lib.format import read_array\nread_array(x)", "partial(read, allow_pickle=True)",
        # tables
        "from pandas import read_pickle", "import pandas as pd\npd.read_pickle(x)", "frame.eval(x)",
        "import pandas as pd\npd.read_hdf('x')", "from pandas import HDFStore",
        # models
        "import keras\nkeras.models.load_model('x')", "import keras\nkeras.saving.load_model('x')",
        "import keras\nkeras.saving.load_model('x', safe_mode=False)", "from keras.models import load_model",
        "from keras.saving import load_model; load_model(x, safe_mode=False)",
        "import keras\nkeras.config.enable_unsafe_deserialization()", "import torch\ntorch.load(x)",
        "import torch\ntorch.jit.load(x)", "import tensorflow as tf\ntf.saved_model.load(x)",
        # YAML
        "import yaml\nyaml.load(x, Loader=yaml.Loader)", "from yaml import load, Loader",
        "import yaml\nyaml.unsafe_load(x)", "from ruamel.yaml import YAML\nYAML().load('x')",
        "from ruamel.yaml import YAML\nYAML(typ='unsafe').load('x')", "import ruamel.yaml\nruamel.yaml.YAML(typ=kind)",
        # code, shells, archives
        "eval('1')", "exec(x)", "import runpy\nrunpy.run_path(x)", "import ctypes\nctypes.CDLL(x)",
        "import os\nos.system(x)", "from os import popen", "import subprocess\nsubprocess.getoutput(x)",
        "import subprocess\nsubprocess.run('x', shell=True)", "import subprocess\nsubprocess.run('x', shell=1)",
        "archive.extractall()", "archives[0].extractall()", "import shutil\nshutil.unpack_archive(x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert unsafe(source)


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.loads(x)", "from json import loads\nloads(x)", "import json\nlist(map(json.loads, x))",
        "import tomllib\ntomllib.loads(x)", "import numpy as np\nnp.load(x, allow_pickle=False)",
        "from numpy import load\nload(x, allow_pickle=False)", "import yaml\nyaml.safe_load(x)",
        "import numpy as np\nnp.lib.format.read_array(x, allow_pickle=False)", "pd.read_parquet(x)",
        "import keras\nkeras.saving.load_model(x, safe_mode=True)", "network.load_weights(x)", "network.compile(x)",
        "from segscale.tasks.models.model_file import load_model\nload_model(x)",
        "import re\nre.compile(x)", "archive.read(x)",
        "from ruamel.yaml import YAML\nYAML(typ='safe').load(x)",
        "from importlib import import_module\nimport_module('jax')",
        "import subprocess\nsubprocess.run([x])", "getattr(x, 'name')", "'No pickle is read here, nor is one loaded.'",
    ],
)  # fmt: skip
def test_the_search_passes_what_is_harmless(source: str) -> None:
    assert unsafe(source) == []


@pytest.mark.parametrize("allowed", HARMLESS_IN, ids=": ".join)
def test_what_one_module_may_do_it_does_and_no_other_may(
    monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, str]
) -> None:
    source = (ROOT / allowed[0]).read_text(encoding="utf-8")
    assert unsafe(source, "flows/another.py")
    monkeypatch.delitem(HARMLESS_IN, allowed)
    assert set(unsafe(source, allowed[0])) == {f"uses {allowed[1]}"}


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture
def bomb(tmp_path: Path) -> Bomb:
    made = Bomb(tmp_path / "exploded")
    pickle.loads(pickle.dumps(made))
    assert made.mark.exists(), "a bomb that cannot explode proves nothing"
    made.mark.unlink()
    return made


@pytest.mark.parametrize("read", [read_header, read_picture, read_label_map, read_probabilities])
def test_an_array_of_objects_is_a_failed_image(bomb: Bomb, tmp_path: Path, read: Callable[[bytes, str], Any]) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.array([bomb, bomb], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableImage):
        read(path.read_bytes(), "image.npy")
    with pytest.raises(UnreadableImage):
        read(pickle.dumps(bomb), "image.npy")
    assert not bomb.mark.exists()


@pytest.mark.parametrize("dtype", ["string", "time"])
def test_a_shard_of_anything_but_numbers_is_refused(tmp_path: Path, dtype: str) -> None:
    store = ObjectStore(str(tmp_path))
    memory = MemoryStore()
    zarr.create_group(memory, zarr_format=3)
    zarr.create_array(
        memory, name="images", shape=(1,), chunks=(1,), dtype=str if dtype == "string" else "datetime64[s]"
    )
    objects = {f"arrays.zarr/{key}": value.to_bytes() for key, value in memory._store_dict.items()}
    digests = {name: store.write(f"shards/x/{name}", data) for name, data in objects.items()}
    entry = Ledger(store).commit(Entry("ingest", "ab" * 32, "shards/x", digests, {}))
    with pytest.raises(ValueError, match="objects are not decoded"):
        open_arrays(store, entry, "images")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("../outside", "rows.parquet", id="a folder beside the store"),
        pytest.param("shards/../../outside", "rows.parquet", id="in the middle"),
        pytest.param("/etc", "passwd", id="absolute"),
        pytest.param("shards/x", "../../../outside", id="an object"),
    ],
)
def test_a_commit_that_leads_out_of_the_store_is_refused(tmp_path: Path, path: str, name: str) -> None:
    store = ObjectStore(str(tmp_path / "store"))
    entry = commit_shard(store, "score", "ab" * 32, arrays={}, rows=encode_frame(pd.DataFrame({"a": [1]})), facts={})
    record = tmp_path / "store" / "ledger" / "score" / f"{entry.key}.json"
    tampered = json.loads(record.read_text())
    (digest,) = tampered["objects"].values()
    # Whoever tampers with it makes a new checksum too; records from before there was one have none.
    tampered.pop("sha256", None)
    record.write_text(json.dumps({**tampered, "path": path, "objects": {name: digest}}))
    with pytest.raises(ValueError, match="leads out of the store"):
        Ledger(store).read("score", entry.key)


@pytest.mark.slow
def test_a_model_file_with_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    code = """
import sys, pathlib, keras
keras.config.enable_unsafe_deserialization()
mark = sys.argv[2]
def explode(tensor):
    import pathlib
    pathlib.Path(MARK).touch()
    return tensor
explode.__globals__["MARK"] = mark
image = keras.Input((None, None, 1))
keras.Model(image, keras.layers.Lambda(explode, output_shape=(None, None, 1))(image)).save(sys.argv[1])
pathlib.Path(mark).unlink(missing_ok=True)
keras.config.disable_unsafe_deserialization() if hasattr(keras.config, "disable_unsafe_deserialization") else None
from segscale.tasks.models.model_file import load_model
try:
    load_model(sys.argv[1])
except ValueError as error:
    print("refused:", error)
"""
    mark = tmp_path / "exploded"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "m.keras", mark], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert "Lambda" in done.stdout
    assert not mark.exists()


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("dataset", "images"), ("dataset", "references"), ("predictions", "path"), ("model", "path"),
        ("store", "path"), ("report", "path"), ("train", "initial_weights"),
    ],
)  # fmt: skip
def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path, section: str, key: str) -> None:
    tables = {"dataset": {"name": "x", "images": "a/*.png", "references": "b"}}
    tables.setdefault(section, {})[key] = f"ftp://reader:{SECRET}@host/x.keras"
    text = "\n".join(
        f"[{name}]\n" + "\n".join(f'{k} = "{v}"' for k, v in keys.items()) for name, keys in tables.items()
    )
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"{section}\.{key}: .*expected a URL without user") as caught:
        load_config(tmp_path / "c.toml")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"kind": "address", "address": f"tls://user:{SECRET}@h:1"}, id="user and password"),
        pytest.param({"kind": "address", "address": f"tls://{SECRET}@h:1"}, id="a user alone"),
        pytest.param({"kind": "address", "address": f"tls://user:a/{SECRET}@h:1"}, id="a slash in the password"),
        pytest.param({"kind": "address", "address": f"user:{SECRET}@h:1"}, id="no scheme"),
        pytest.param({"kind": "address", "address": f"tcp://h?token={SECRET}:1"}, id="a token"),
        pytest.param({"kind": "slurm", "workers": 1, "directives": [f"export=ALL,TOKEN={SECRET}"]}, id="no directive"),
        pytest.param({"kind": "slurm", "workers": 1, "directives": [f"-a\n{SECRET}"]}, id="two directives in one"),
        pytest.param({"kind": "slurm", "workers": 1, "prologue": f"export TOKEN={SECRET}"}, id="no list"),
        pytest.param({"kind": "slurm", "workers": 1, "prologue": [[f"export TOKEN={SECRET}"]]}, id="lists in one"),
    ],
)
def test_secrets_of_a_cluster_are_not_repeated_by_who_refuses_them(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Cluster(**keys)
    document = {"dataset": {"name": "x", "images": "a", "references": "b"}, "cluster": keys}
    with pytest.raises(ConfigError, match=r"cluster\.(address|directives|prologue).*: .*(expected|should)") as caught:
        parse_config(document, base=Path("/"), source="c.toml")
    assert SECRET not in f"{refused.value}{caught.value}"


@pytest.mark.parametrize("read", [read_spec, lambda path: read_deployments(Path(path))], ids=["spec", "deployments"])
@pytest.mark.parametrize(
    "text", [f"a: '{SECRET}", f"a: [{SECRET}\nb: 1", f"a:\n  b: {SECRET}\n c: 1", f"\tb: {SECRET}"]
)
def test_a_damaged_yaml_file_is_not_quoted(tmp_path: Path, read: Callable[[str], Any], text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml.* line \d") as caught:
        read(str(tmp_path / "c.yaml"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "slurm", "workers": 2, "prologue": [f"export A={SECRET}"], "directives": [f"--export=ALL,A={SECRET}"]},
        {"kind": "kubernetes", "workers": 2, "spec": f"/{SECRET}.yaml"},
        {"kind": "address", "workers": 2, "address": "tls://h:1", **dict.fromkeys(TLS, f"/{SECRET}")},
    ],
    ids=["slurm", "kubernetes", "address"],
)  # fmt: skip
def test_of_a_cluster_its_kind_and_its_workers_are_recorded(keys: dict[str, Any]) -> None:
    document = {"dataset": {"name": "x", "images": "a", "references": "b"}, "cluster": keys}
    config = parse_config(document, base=Path("/"), source="c.toml")
    assert recorded(config)["cluster"] == {"kind": keys["kind"], "workers": 2}
    assert set(recorded(config)) == set(config.model_dump()), "the other sections stay"


def test_no_environment_is_recorded() -> None:
    """Reports and commits take from the environment what is named here, and nothing else."""
    named = set()
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"environ(?:\.get\(|\.setdefault\(|\[)\"(\w+)\"", source))
    assert not [name for name in named if re.search(r"KEY|SECRET|TOKEN|PASSWORD|AUTH|CREDENTIAL", name)]
    assert "KERAS_BACKEND" in named


@pytest.mark.slow
def test_a_planted_secret_is_in_no_log_and_no_file_of_a_run(segscale: Any, phantoms: Path, tmp_path: Path) -> None:
    planted = {
        "AWS_ACCESS_KEY_ID": f"{SECRET}-id", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": f"{SECRET}-token",
        "GOOGLE_APPLICATION_CREDENTIALS": f"/{SECRET}", "SEGSCALE_TRACEBACK": "1",
    }  # fmt: skip
    config = tmp_path / "c.toml"
    config.write_text(
        f"""
        [dataset]
        name = "planted"
        images = "{phantoms}/images/*.png"
        references = "{phantoms}/masks"
        label_values = [0, 255]
        [predictions]
        path = "{phantoms}/predictions/*.png"
        [metrics]
        bootstrap = 0
        """
    )
    outcome = type(segscale)({**segscale.environment, **planted})("run", config)
    assert outcome.code == 0, outcome.err
    config.write_text(config.read_text().replace("images/*.png", "nowhere/*.png"))
    failed = type(segscale)({**segscale.environment, **planted})("run", config)
    assert failed.code == 2
    config.write_text(
        f"""{config.read_text().replace("nowhere", "images")}
        [report]
        run_id = "jobs"
        [cluster]
        kind = "slurm"
        workers = 1
        prologue = ["export AWS_SECRET_ACCESS_KEY={SECRET}"]
        directives = ["--export=ALL,TOKEN={SECRET}"]
        """
    )
    jobs = segscale("report", config)
    assert jobs.code == 0, jobs.err
    refused = segscale("report", config, "--scheduler", f"tls://user:{SECRET}@127.0.0.1:1")
    assert refused.code == 2
    first, second = sorted(tmp_path.glob("reports/planted/*/run.json"))
    contents = [json.loads(path.read_text())["content_sha256"] for path in (first, second)]
    assert contents[0] == contents[1], "workers affect no number"
    config.unlink()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        assert SECRET.encode() not in path.read_bytes(), path
    for said in (outcome, failed, jobs, refused):
        assert SECRET not in said.out + said.err


def test_a_dicom_file_is_no_image_and_its_patient_is_not_named() -> None:
    name = b"DOE^JANE^PLANTED"
    element = b"\x10\x00\x10\x00PN" + len(name).to_bytes(2, "little") + name
    data = b"\0" * 128 + b"DICM" + element
    for file_name in ("scan.dcm", "scan.png", "scan.tif", "scan.npy"):
        with pytest.raises(UnreadableImage) as caught:
            read_picture(data, file_name)
        assert "DOE" not in str(caught.value)
        assert "PLANTED" not in repr(caught.value)


def test_what_is_written_as_csv_cannot_be_a_formula(tmp_path: Path) -> None:
    """Tables are Parquet. The one CSV that Segscale writes is the manifest of drawn images, with names of its own."""
    writers = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for name, _ in calls(ast.parse(path.read_text(encoding="utf-8")))
        if name in {"csv.writer", "csv.DictWriter"} or name.endswith(".to_csv")
    }
    assert writers == {"tasks/phantom.py"}
    write_phantoms(tmp_path, 8, seed=1)
    with (tmp_path / "manifest.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert len(cells) > 8
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_names_of_files_are_text_in_the_page_of_a_report() -> None:
    page = (ROOT / "tasks" / "report_html" / "page.py").read_text()
    assert "autoescape=True" in page
    assert "|safe" not in (ROOT / "tasks" / "report_html" / "page.html.jinja").read_text().replace(" ", "")


def test_security_md_names_what_these_tests_hold() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for word in ("pickle", "data roots", "safe mode", "CSV", "DICOM", "TLS", "remote code", "4200", "8786", "8787"):
        assert word in text, word
    for name in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / name).is_file(), name
