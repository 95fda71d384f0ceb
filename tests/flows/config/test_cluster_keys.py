from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from segscale.flows.config.cluster import Cluster
from segscale.flows.config.cluster_keys import KEYS_OF_KIND, unused_key, walltime_seconds

ADDRESS = {"kind": "address", "address": "tls://h:1"}
SLURM = {"kind": "slurm", "workers": 1}
POD = {"kind": "kubernetes", "workers": 1, "image": "i"}


def test_every_key_has_a_kind_and_every_kind_its_keys() -> None:
    assert {"kind", "shard_seconds"}.union(*KEYS_OF_KIND.values()) == set(Cluster.model_fields)
    assert set(KEYS_OF_KIND) == set(Cluster.model_json_schema()["properties"]["kind"]["enum"])


def test_a_key_of_another_kind_is_named_with_the_kinds_that_use_it() -> None:
    assert unused_key("local", ["kind", "workers"]) == ""
    assert unused_key("local", ["kind", "workers", "cores"]) == (
        'cores: is not used with kind = "local", only with "slurm" and "kubernetes"; leave it out'
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90", 5400, id="minutes"),
        pytest.param("2:30", 150, id="minutes and seconds"),
        pytest.param("01:30:15", 5415, id="hours, minutes, seconds"),
        pytest.param("2-12", 216_000, id="days and hours"),
        pytest.param("1-00:30", 88_200, id="days, hours, minutes"),
        pytest.param("1-01:01:01", 90_061, id="all of them"),
    ],
)
def test_walltime_is_read_as_slurm_does(text: str, seconds: int) -> None:
    assert walltime_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1h", "-5", "1:2:3:4", "infinite", "1-", "10 ", "01:30:00\n"])
def test_another_walltime_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="walltime: expected minutes, HH:MM:SS or D-HH:MM:SS, got"):
        walltime_seconds(text)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        pytest.param({"cores": 2}, 'cores: is not used with kind = "local"', id="cores of local workers"),
        pytest.param({**ADDRESS, "queue": "q"}, 'queue: is not used with kind = "address"', id="queue of an address"),
        pytest.param({**SLURM, "image": "i"}, 'image: is not used with kind = "slurm"', id="image of a job"),
        pytest.param({**POD, "walltime": "10"}, 'walltime: is not used with kind = "kubernetes"', id="pod's walltime"),
        pytest.param({**ADDRESS, "tls_ca": "ca.pem"}, "expected all three or none", id="an authority alone"),
        pytest.param(
            {"kind": "address", "address": "tcp://h:1", "tls_ca": "a", "tls_cert": "c", "tls_key": "k"},
            'expected tls://HOST:PORT with tls_ca, got "tcp://h:1"', id="keys that are not used",
        ),
        pytest.param({"kind": "slurm"}, "workers: expected how many at most", id="any number of jobs"),
        pytest.param({**SLURM, "walltime": "1"}, "walltime: expected 120 seconds or more", id="no time to work"),
        pytest.param({**SLURM, "memory": "lots"}, "memory", id="memory without a unit"),
        pytest.param({**SLURM, "directives": ["-p a\n#SBATCH -A b"]}, "directives", id="two directives in one"),
        pytest.param({**SLURM, "wait_seconds": 0}, "wait_seconds", id="no time to come"),
        pytest.param({"kind": "kubernetes", "workers": 1}, "image, spec: expected the image", id="no image"),
        pytest.param({**POD, "spec": "a.yaml"}, "image, spec: expected the image", id="two images"),
        pytest.param(
            {"kind": "kubernetes", "spec": "a.yaml", "cores": 4}, "stand in the file", id="cores of a spec"
        ),
    ],
)  # fmt: skip
def test_keys_that_do_not_hold_together(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Cluster(**keys)


def test_a_spec_says_how_many_pods_there_are() -> None:
    assert Cluster(kind="kubernetes", spec="a.yaml").workers == 0
