from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("training_on_jax.py")


@pytest.mark.nightly(part="models")
def test_training_works_under_jax() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    wanted = [
        line.split()[1].split("(")[0] for line in PROGRAM.read_text().splitlines() if line.startswith("def check_")
    ]
    assert ended.stdout.split() == wanted
