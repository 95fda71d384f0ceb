"""The Keras engine under its other backend: the same tests, in a process that has JAX."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("test_keras.py")
OF_TENSORFLOW_ALONE = 3
"""Tests that ask TensorFlow for its traces and its GPUs."""


@pytest.mark.nightly(part="models")
def test_the_engine_works_under_jax() -> None:
    # One device: those of the machine's GPU are measured by benchmarks/inference.py --device.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(TESTS)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stdout
    counted = re.search(r"(\d+) passed, (\d+) skipped", ended.stdout)
    assert counted, ended.stdout
    assert int(counted[1]) > 10 * int(counted[2])
    assert int(counted[2]) == OF_TENSORFLOW_ALONE
