"""Two folders as people have them: drawn references, and predictions of them that something else might have made.

python examples/two_folders/draw.py work/two_folders
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

N_IMAGES, SIDE = 40, 96
generator = np.random.default_rng(1)
rows, columns = np.mgrid[:SIDE, :SIDE]
for folder in ("masks", "out"):
    Path(sys.argv[1], folder).mkdir(parents=True, exist_ok=True)
for number in range(N_IMAGES):
    radius = 2 + 20 * generator.random() ** 3
    row, column = generator.uniform(radius, SIDE - radius, 2)
    lesion = np.hypot(rows - row, columns - column) < radius
    Image.fromarray(lesion.astype(np.uint8) * 255).save(Path(sys.argv[1], "masks", f"case{number:02d}_mask.png"))
    # Found a little beside: of a small lesion that is much.
    found = np.hypot(rows - row - 1, columns - column - 1) < radius
    Image.fromarray(found.astype(np.uint8) * 255).save(Path(sys.argv[1], "out", f"case{number:02d}_pred.png"))
