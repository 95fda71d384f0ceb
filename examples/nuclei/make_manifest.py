"""Write the manifest of the nuclei set (BBBC038): python make_manifest.py FOLDER MANIFEST.csv

FOLDER holds images/ID.png and masks/ID.png. The split follows from the image id alone, so that adding images moves none
of the others: a quarter of the ids is "test", the rest "train".
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

TEST_PERCENT = 25


def split_of(image_id: str) -> str:
    """The split of an image: "test" for a quarter of all ids."""
    return "test" if int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 100 < TEST_PERCENT else "train"


def main(folder: Path, manifest: Path) -> None:
    """Write image_id, image, reference, split for every image of the folder that has a mask."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "image", "reference", "split"])
        for image in sorted((folder / "images").glob("*.png")):
            mask = (folder / "masks" / image.name).resolve()
            writer.writerow([image.stem, image.resolve(), mask, split_of(image.stem)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
