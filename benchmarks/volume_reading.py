"""What reading a volume costs: python benchmarks/volume_reading.py [--short] [--repeats 5]

A made-up CT of 80x512x512 int16 with noise (42 MB) as .nii.gz, in memory and in a temporary folder. Measured, in
milliseconds (median, lowest, highest): our reader of its header alone and of its voxels, and nibabel and SimpleITK,
where these are installed, of the same file. They read from the folder, as SimpleITK cannot do otherwise; the file is in
the cache of the system by then. All of them must find the same numbers.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.tasks.readers.nifti import NiftiReader

SIDES, SHORT_SIDES = (80, 512, 512), (4, 64, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a small volume, twice: shows that it runs")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    voxels = made_ct(SHORT_SIDES if options.short else SIDES)
    data = gzip.compress(nifti(voxels), 1)
    print(
        f"{voxels.nbytes / 1e6:.1f} MB of int16, {len(data) / 1e6:.1f} MB as .nii.gz{'':<9}ms: median   lowest  highest"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii.gz"
        path.write_bytes(data)
        for name, read in readers(path, data).items():
            show(name, read, voxels, 2 if options.short else options.repeats)


def made_ct(sides: tuple[int, int, int]) -> npt.NDArray[np.int16]:
    """Soft tissue with the noise of a thin slice, and air around it."""
    rng = np.random.default_rng(0)
    _, height, width = sides
    y, x = np.ogrid[:height, :width]
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) < 0.16
    noise = rng.normal(0, 20, sides)
    return np.where(inside, 40 + noise, -1000 + noise / 4).astype(np.int16)


def nifti(voxels: npt.NDArray[np.int16]) -> bytes:
    """The bytes of a .nii file, written by hand, so that no library is measured with its own."""
    header = bytearray(352)
    depth, height, width = voxels.shape
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 0.8, 0.8, 2.5, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[123] = 2
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, 0.8, 0, 0, 0, 0, 0.8, 0, 0, 0, 0, 2.5, 0)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.tobytes()


def readers(path: Path, data: bytes) -> dict[str, Callable[[], Any]]:
    """Ways to read the file, by what they are called."""
    ours = NiftiReader()
    found: dict[str, Callable[[], Any]] = {
        "segscale, header alone": lambda: ours.header(data, path.name).shape[:3],
        "segscale, from memory": lambda: ours.stored_values(data, path.name)[..., 0],
        "segscale, from the folder": lambda: ours.stored_values(path.read_bytes(), path.name)[..., 0],
    }
    if importlib.util.find_spec("nibabel"):
        import nibabel

        found["nibabel"] = lambda: np.asanyarray(nibabel.load(path).dataobj).T
    if importlib.util.find_spec("SimpleITK"):
        import SimpleITK

        found["SimpleITK"] = lambda: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    return found


def show(name: str, read: Callable[[], Any], voxels: npt.NDArray[np.int16], repeats: int) -> None:
    found = read()  # warm: what is imported, and the cache of the system
    same = found == voxels.shape if isinstance(found, tuple) else np.array_equal(found, voxels)
    assert same, f"{name} found other numbers"
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        read()
        times.append(1000 * (time.perf_counter() - start))
    print(f"{name:<45}{statistics.median(times):>12.2f} {min(times):>8.2f} {max(times):>8.2f}")


if __name__ == "__main__":
    main()
