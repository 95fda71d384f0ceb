"""What draws a report is loaded beside other work, and by nobody who draws none."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from segscale.flows import page
if {loads}:
    page.warm_up({n_images})
    for thread in threading.enumerate()[1:]:
        thread.join()
print(*(name in sys.modules for name in ("matplotlib", "numba")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loads", "n_images", "found"),
    [
        (False, 0, "False False"),
        (True, 500, "True False"),
        (True, 100_000, "True True"),
    ],
    ids=["nothing is asked", "a report of few images needs no compiler", "one of many does"],
)
def test_what_a_driver_loads(loads: bool, n_images: int, found: str) -> None:
    program = PROGRAM.format(loads=loads, n_images=n_images)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == found
