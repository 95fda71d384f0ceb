"""Seeds of volumes: NIfTI, NRRD and MetaImage, in one file and in several, compressed and not."""

from __future__ import annotations

import bz2
from importlib.util import find_spec
from typing import Any

import numpy as np

from segscale.storage.bundles import pack
from segscale.tasks.readers.metaimage import MetaImageReader, metaimage_data_files
from segscale.tasks.readers.nifti import NiftiReader
from segscale.tasks.readers.nrrd import NrrdReader, nrrd_data_files
from tests.tasks.readers.fuzz import plays, structures
from tests.tasks.readers.fuzz.seeds import Seed, gzipped

VOXELS = np.arange(60, dtype="<i2").reshape(3, 4, 5)
_TEXT = " ".join(map(str, VOXELS.ravel())).encode()


def made() -> list[Seed]:
    return [*(_nifti() if find_spec("nibabel") else []), *_nrrd(), *_metaimage()]


def _nifti() -> list[Seed]:
    from tests.tasks.readers.nifti_made import changed, nifti

    read = plays.volume(NiftiReader())
    labels = VOXELS.astype(np.uint8)
    one, two = nifti(labels), nifti(VOXELS, version=2)
    scaled = changed(nifti(VOXELS), scl_slope=0.5, scl_inter=-3.0)
    four = nifti(np.stack([labels, labels]))
    seeds = [
        Seed("nifti/1/a.nii", {"a.nii": one}, read, structures.of_nifti),
        Seed("nifti/2/a.nii", {"a.nii": two}, read, structures.of_nifti),
        Seed("nifti/floats/a.nii", {"a.nii": nifti(VOXELS / np.float32(60))}, read, structures.of_nifti),
        Seed("nifti/scaled/a.nii", {"a.nii": scaled}, read, structures.of_nifti),
        Seed("nifti/4-D/a.nii", {"a.nii": four}, plays.volume(NiftiReader(number=1)), structures.of_nifti),
        Seed("nifti/inside gzip/a.nii.gz", {"a.nii.gz": one}, read, structures.of_nifti, wrap=gzipped),
        Seed("nifti/2 inside gzip/a.nii.gz", {"a.nii.gz": two}, read, structures.of_nifti, wrap=gzipped),
        Seed("nifti.gz/gzip/a.nii.gz", {"a.nii.gz": gzipped(one)}, read, structures.of_gzip),
        Seed("nifti.gz/two streams/a.nii.gz", {"a.nii.gz": gzipped(one[:400]) + gzipped(one[400:])}, read),
    ]
    for choice in ("sform", "qform"):
        play = plays.volume(NiftiReader(affine=choice))
        seeds.append(Seed(f"nifti/by {choice}/a.nii", {"a.nii": one}, play, structures.of_nifti))
    head = changed(one, magic=b"ni1", vox_offset=0.0)[:348]
    pair = {"a.hdr": head, "a.img": labels.tobytes()}
    packed = {"a.hdr": gzipped(head), "a.img.gz": gzipped(labels.tobytes())}
    return [
        *seeds,
        Seed("nifti/pair/a.hdr", pair, read, structures.of_nifti, ("a.hdr",)),
        Seed("voxels/nifti pair/a.hdr", pair, read, damaged=("a.img",)),
        Seed("voxels/nifti pair, compressed/a.hdr", packed, read, structures.of_gzip),
        _as_bundle("nifti", "a.hdr", pair, plays.bundle(NiftiReader())),
    ]


def _as_bundle(kind: str, name: str, files: dict[str, bytes], read: Any) -> Seed:
    """The bytes of a bundle, damaged as a whole."""
    return Seed(f"bundle/{kind}/{name}", {name: pack(files)}, lambda damaged: read(damaged[name], name))


def nrrd_header(encoding: str, **fields: str) -> bytes:
    lines = {
        "type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "5 4 3",
        "space directions": "(0.8,0,0) (0,0.5,0) (0,0,2.5)", "kinds": "domain domain domain", "endian": "little",
        "encoding": encoding, "space origin": "(1,2,3)", **fields,
    }  # fmt: skip
    return "\n".join(["NRRD0005", *(f"{key}: {value}" for key, value in lines.items()), "", ""]).encode()


def _nrrd() -> list[Seed]:
    read = plays.volume(NrrdReader(), nrrd_data_files)
    raw = VOXELS.tobytes()
    alone = {
        "raw": nrrd_header("raw") + raw,
        "gzip": nrrd_header("gzip") + gzipped(raw),
        "bzip2": nrrd_header("bzip2") + bz2.compress(raw),
        "text": nrrd_header("ascii") + _TEXT,
        "hex": nrrd_header("hex") + raw.hex(" ").encode(),
        "skips": nrrd_header("raw", **{"line skip": "1", "byte skip": "2"}) + b"\n12" + raw,
        "colours": nrrd_header(
            "raw", dimension="4", sizes="3 5 4 1", kinds="RGB-color domain domain domain",
            **{"space directions": "none (1,0,0) (0,1,0) (0,0,1)"},
        ) + raw,
        "spacings": nrrd_header("raw").replace(b"space directions: (0.8,0,0) (0,0.5,0) (0,0,2.5)", b"spacings: 1 2 3"),
    }  # fmt: skip
    seeds = [Seed(f"nrrd/{way}/a.nrrd", {"a.nrrd": data}, read, structures.of_lines) for way, data in alone.items()]
    detached = {"a.nhdr": nrrd_header("raw", **{"data file": "a.raw"}), "a.raw": raw}
    counted = {
        "a.nhdr": nrrd_header("gzip", **{"data file": "%d.gz 1 3 1"}),
        **{f"{k + 1}.gz": gzipped(VOXELS[k].tobytes()) for k in range(3)},
    }
    listed = {
        "a.nhdr": nrrd_header("raw", **{"data file": "LIST"}).rstrip(b"\n") + b"\n1\n2\n3\n",
        **{f"{k + 1}": VOXELS[k].tobytes() for k in range(3)},
    }
    for way, files in {"detached": detached, "counted": counted, "listed": listed}.items():
        seeds.append(Seed(f"nrrd/{way}/a.nhdr", files, read, structures.of_lines, ("a.nhdr",)))
    seeds.append(Seed("voxels/nrrd, raw/a.nhdr", detached, read, damaged=("a.raw",)))
    seeds.append(Seed("voxels/nrrd, gzip/a.nhdr", counted, read, structures.of_gzip, ("1.gz", "2.gz", "3.gz")))
    return [*seeds, _as_bundle("nrrd", "a.nhdr", counted, plays.bundle(NrrdReader()))]


def metaimage_header(data_file: str = "LOCAL", **fields: str) -> bytes:
    lines = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3",
        "CenterOfRotation": "0 0 0", "ElementSpacing": "0.8 0.5 2.5", "DimSize": "5 4 3",
        "ElementNumberOfChannels": "1", "ElementType": "MET_SHORT", **fields, "ElementDataFile": data_file,
    }  # fmt: skip
    return "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()


def _metaimage() -> list[Seed]:
    read = plays.volume(MetaImageReader(), metaimage_data_files)
    raw, zlib = VOXELS.tobytes(), gzipped(VOXELS.tobytes())
    alone = {
        "raw": metaimage_header() + raw,
        "compressed": metaimage_header(CompressedData="True", CompressedDataSize=str(len(zlib))) + zlib,
        "text": metaimage_header(BinaryData="False") + _TEXT,
        "doubles": metaimage_header(ElementType="MET_DOUBLE", DistanceUnits="cm") + VOXELS.astype("<f8").tobytes(),
    }
    seeds = [Seed(f"metaimage/{way}/a.mha", {"a.mha": data}, read, structures.of_lines) for way, data in alone.items()]
    detached = {"a.mhd": metaimage_header("a.raw", HeaderSize="-1"), "a.raw": b"head" + raw}
    counted = {"a.mhd": metaimage_header("%d.raw 1 3 1"), **{f"{k + 1}.raw": VOXELS[k].tobytes() for k in range(3)}}
    for way, files in {"detached": detached, "counted": counted}.items():
        seeds.append(Seed(f"metaimage/{way}/a.mhd", files, read, structures.of_lines, ("a.mhd",)))
    seeds.append(Seed("voxels/metaimage/a.mhd", detached, read, damaged=("a.raw",)))
    return [*seeds, _as_bundle("metaimage", "a.mhd", detached, plays.bundle(MetaImageReader()))]
