"""Write the manifest of the MS lesion slices: python make_manifest.py FOLDER MANIFEST.csv

FOLDER holds images/NAME.png, masks/NAME.png and manifest.csv with the columns file and patient (axial FLAIR slices of
Open MS Data, CC BY, https://github.com/muschellij2/open_ms_data).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path


def main(folder: Path, manifest: Path) -> None:
    """Write image_id, image, reference, patient_id for every slice."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open(newline="") as source, manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "image", "reference", "patient_id"])
        for row in csv.DictReader(source):
            image, mask = ((folder / kind / row["file"]).resolve() for kind in ("images", "masks"))
            writer.writerow([image.stem, image, mask, row["patient"]])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
