"""What workers load before they begin."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from segscale.flows.worker.warm import warm_up
from segscale.tasks.readers.png_rows import unfilter
from segscale.tasks.readers.png_samples import EFFORT
warm_up()
loaded = "scipy.linalg" in sys.modules
import scipy.linalg.cython_blas
print(loaded, len(unfilter.dispatcher.signatures), EFFORT.spent >= EFFORT.worth_loading)
"""


def test_what_decodes_is_ready_and_linear_algebra_comes_when_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1", "True"]
