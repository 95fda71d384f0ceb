"""docs/volumes.md: what each of its rows says, done to files that the test makes."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from segscale.errors import DataError, UnreadableImage
from segscale.storage import parts, side_parts
from segscale.storage.ledger import Ledger
from segscale.storage.source_names import of_channels, of_segment
from segscale.tasks.alignment import Volumes
from segscale.tasks.geometry import Geometry, ras_affine
from segscale.tasks.labels import LabelRule
from segscale.tasks.metrics.region_channels import RegionChannel
from segscale.tasks.place_columns import place_columns
from segscale.tasks.predict import STAGE, PredictJob, predict_key, predict_shard
from segscale.tasks.prediction_file import Counting, read_prediction
from segscale.tasks.readers import Choice, read_header, read_label_map, read_labels, read_picture
from segscale.tasks.source_files import read_source
from tests.page_rows import PageRows
from tests.tasks.conftest import data_set
from tests.tasks.geometries import TURNS
from tests.tasks.readers.dicom_made import CROOKED, ct_series, multi_frame, segmentation
from tests.tasks.test_predict import PointwiseEngine
from tests.tasks.test_predict import _kept as kept_of
from tests.tasks.test_predict import _prediction as prediction_by
from tests.tasks.volumes import (
    COUNTED,
    GEOMETRY,
    PREDICTION,
    REFERENCE,
    SIZE,
    Scored,
    by_hand,
    labels,
    nifti,
    npy,
    npz,
    turned,
)

PAGE: PageRows[[Path]] = PageRows("volumes.md", "what there is", "what files have", "what a network meets")
row = PAGE.row


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    assert list(PAGE.checks) == PAGE.names


@pytest.mark.parametrize("name", PAGE.names)
def test_row(name: str, tmp_path: Path) -> None:
    PAGE.checks[name](tmp_path)


def written(folder: Path, files: Mapping[str, bytes]) -> str:
    """The URL of the first of some files that lie in a folder."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return f"file://{folder / next(iter(files))}"


def nifti_2(big: bool) -> bytes:
    image = nibabel.Nifti2Image(REFERENCE.T.astype(np.int16), ras_affine(GEOMETRY))
    return bytes(nibabel.Nifti2Image(image.dataobj, None, image.header.as_byteswapped(">" if big else "<")).to_bytes())


@row("`.nii`, `.nii.gz`: NIfTI-1 and NIfTI-2, of either byte order, compressed or not")
def _(_: Path) -> None:
    for data in (nifti(REFERENCE, GEOMETRY), nifti_2(True), nifti_2(False), gzip.compress(nifti_2(True))):
        for name in ("a.nii", "a.nii.gz"):
            assert np.array_equal(read_label_map(data, name), REFERENCE)


@row("`.hdr` with `.img` or `.img.gz` beside it")
def _(folder: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(REFERENCE.T, ras_affine(GEOMETRY)), folder / "a.hdr")
    assert np.array_equal(read_label_map(read_source(f"file://{folder}/a.hdr"), "a.hdr"), REFERENCE)
    (folder / "a.img.gz").write_bytes(gzip.compress((folder / "a.img").read_bytes()))
    (folder / "a.img").unlink()
    assert np.array_equal(read_label_map(read_source(f"file://{folder}/a.hdr"), "a.hdr"), REFERENCE)
    (folder / "a.img.gz").unlink()
    with pytest.raises(UnreadableImage, match=r"expected one \.img or \.img\.gz of the same name beside it"):
        read_label_map(read_source(f"file://{folder}/a.hdr"), "a.hdr")


SIDES = " ".join(map(str, REFERENCE.shape[::-1]))


@row("`.nrrd`, and `.nhdr` with the files that it names beside it")
def _(folder: Path) -> None:
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {SIDES}\nencoding: {{}}\n{{}}\n"
    raw = REFERENCE.tobytes()
    whole = head.format("gzip", "").encode() + gzip.compress(raw)
    assert np.array_equal(read_label_map(whole, "a.nrrd"), REFERENCE)
    url = written(folder, {"a.nhdr": head.format("raw", "data file: v.raw").encode(), "v.raw": raw})
    assert np.array_equal(read_label_map(read_source(url), "a.nhdr"), REFERENCE)


@row("`.mha`, and `.mhd` with the files that it names beside it")
def _(folder: Path) -> None:
    head = f"ObjectType = Image\nNDims = 3\nDimSize = {SIDES}\nElementType = MET_UCHAR\nElementDataFile = "
    raw = REFERENCE.tobytes()
    assert np.array_equal(read_label_map(f"{head}LOCAL\n".encode() + raw, "a.mha"), REFERENCE)
    url = written(folder, {"a.mhd": f"{head}v.raw\n".encode(), "v.raw": raw})
    assert np.array_equal(read_label_map(read_source(url), "a.mhd"), REFERENCE)


SLICES = np.random.default_rng(7).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)


@row("a folder named with a slash at its end: `ct/{id}/`")
def _(folder: Path) -> None:
    for place, data in enumerate(reversed(ct_series(SLICES).values())):
        (folder / f"{place}.dcm").write_bytes(data)
    read = read_picture(read_source(f"file://{folder}/"), "ct/")
    assert np.array_equal(read.pixels[..., 0], SLICES)
    assert read.spacing_mm == (2.5, 0.5, 0.75)


@row("`.dcm` of many frames")
def _(_: Path) -> None:
    read = read_picture(multi_frame(SLICES, [0, 2.5, 5, 7.5]), "a.dcm")
    assert np.array_equal(read.pixels[..., 0], SLICES - 1024)


DRAWN = np.array([[0, 1, 1, 0, 0, 0]] * 5, np.uint8)


@row("DICOM segmentation (SEG)")
def _(folder: Path) -> None:
    data = segmentation([(3, (*CROOKED[:2], 2.5), DRAWN)])
    assert np.array_equal(read_label_map(data, "a.dcm"), 3 * DRAWN[np.newaxis])
    written(folder, ct_series(SLICES))
    image = read_header(read_source(f"file://{folder}/"), "ct/").grid
    whole = read_labels(data, "a.dcm", choice=Choice(drawn_on=image))
    assert np.array_equal(whole.values, np.stack([0 * DRAWN, 3 * DRAWN, 0 * DRAWN, 0 * DRAWN]))


@row("segments that overlap, as label map")
def _(_: Path) -> None:
    data = segmentation([(1, (*CROOKED[:2], 0), DRAWN), (2, (*CROOKED[:2], 0), DRAWN)])
    with pytest.raises(UnreadableImage, match=r"segments overlap.*1 and 2 share 10 voxels.*dataset\.segment = k"):
        read_label_map(data, "a.dcm")
    for number in (1, 2):
        read = read_labels(data, "a.dcm", choice=Choice(segment=number))
        assert np.array_equal(read.values, DRAWN[np.newaxis])
        assert np.array_equal(read_label_map(data, of_segment("a.dcm", number)), DRAWN[np.newaxis])
    with pytest.raises(UnreadableImage, match="no segment 3"):
        read_labels(data, "a.dcm", choice=Choice(segment=3))


def _channels(folder: Path, *files: bytes) -> tuple[bytes, str]:
    """What is read of the files of an image, and how it is called."""
    for number, data in enumerate(files):
        (folder / f"a_{number:04d}.nii.gz").write_bytes(data)
    name = of_channels("a_", [f"{number:04d}" for number in range(len(files))], ".nii.gz")
    return read_source(f"file://{folder}/{name}"), name


@row("files `_0000`, `_0001`, ... of an nnU-Net image")
def _(folder: Path) -> None:
    source = _channels(folder, nifti(REFERENCE, GEOMETRY), nifti(PREDICTION, GEOMETRY))
    assert np.array_equal(read_picture(*source).pixels, np.stack([REFERENCE, PREDICTION], axis=-1))
    assert read_header(*source).geometry == read_header(nifti(REFERENCE, GEOMETRY), "a.nii.gz").geometry


@row("channels in files of other grids, types or numbers of channels")
def _(folder: Path) -> None:
    for other in (nifti(PREDICTION[1:], GEOMETRY), nifti(PREDICTION.astype(np.int16), GEOMETRY)):
        with pytest.raises(UnreadableImage, match=r"^a_0001\.nii\.gz: "):
            read_picture(*_channels(folder, nifti(REFERENCE, GEOMETRY), other))


@row("`.npz` of one array, whatever it is called")
def _(_: Path) -> None:
    assert np.array_equal(read_label_map(npz(REFERENCE), "a.npz"), REFERENCE)


@row("`.npz` of nnU-Net, with a channel for each region")
def _(_: Path) -> None:
    whole, core = REFERENCE > 0, REFERENCE == 2
    counting = Counting(
        0.5,
        LabelRule(3),
        regions=((1, 2),),
        region_channels=(RegionChannel((1, 2), 1), RegionChannel((2,), 2)),
    )
    data = npz(np.stack([0.25 + whole / 2, 0.25 + core / 2]).astype(np.float32))
    counts = read_prediction(REFERENCE, data, "a.npz", counting).count(3, counting.regions)
    assert counts.true_positive.tolist() == [*np.bincount(REFERENCE.ravel()), np.count_nonzero(whole)]


@row("`scl_slope`, `scl_inter`, rescale slope of an image")
def _(_: Path) -> None:
    assert np.array_equal(read_picture(nifti(SLICES, GEOMETRY, slope=0.5), "a.nii").pixels[..., 0], SLICES / 2)


@row("`scl_slope` of a label map")
def _(_: Path) -> None:
    assert np.array_equal(read_label_map(nifti(REFERENCE, GEOMETRY, slope=3), "a.nii"), 3 * REFERENCE)
    with pytest.raises(UnreadableImage, match="become no whole numbers"):
        read_label_map(nifti(REFERENCE, GEOMETRY, slope=0.5), "a.nii")


@row("whole numbers saved as floats, as label map")
def _(_: Path) -> None:
    assert np.array_equal(read_label_map(nifti(REFERENCE.astype(np.float64), GEOMETRY), "a.nii"), REFERENCE)


@row("a fourth axis of length 1")
def _(_: Path) -> None:
    read = read_labels(nifti(REFERENCE[np.newaxis], GEOMETRY), "a.nii")
    assert np.array_equal(read.values, REFERENCE)
    assert any("axes of length 1 behind the third are dropped" in note for note in read.notes)


@row("several volumes in a file")
def _(_: Path) -> None:
    data = nifti(np.stack([REFERENCE, PREDICTION]), GEOMETRY)
    with pytest.raises(UnreadableImage, match=r"2 volumes in one file.*dataset\.volume = k \(from 0 to 1\)"):
        read_label_map(data, "a.nii")
    assert np.array_equal(read_labels(data, "a.nii", choice=Choice(volume=1)).values, PREDICTION)


@row("complex numbers, vectors, colours with alpha")
def _(_: Path) -> None:
    with pytest.raises(UnreadableImage, match="complex"):
        read_picture(nifti(REFERENCE.astype(np.complex64), GEOMETRY), "a.nii")


@row("a header that claims more than the file holds, or more than 2 GB")
def _(_: Path) -> None:
    data = bytearray(gzip.decompress(nifti(REFERENCE, GEOMETRY)))
    for sides, said in (((5, 6, 9), "cut off"), ((9999, 9999, 9999), "decoded bytes")):
        data[42:48] = np.array(sides, "<i2").tobytes()
        with pytest.raises(UnreadableImage, match=said):
            read_label_map(bytes(data), "a.nii")


def pair(folder: Path, other: Geometry, values: Any = PREDICTION, **asked: Any) -> Scored:
    """A prediction on a grid of its own, scored against the reference."""
    scoring = replace(COUNTED, volumes=Volumes(**asked))
    files = {"reference": ("a.nii", nifti(REFERENCE, GEOMETRY)), "prediction": ("a.nii", nifti(values, other))}
    return Scored(folder, scoring, **files)


@row("the same voxel centres, axes in another order or direction")
def _(folder: Path) -> None:
    files = {"reference": ("a.nii", nifti(REFERENCE, GEOMETRY)), "prediction": ("a.nii", turned(TURNS[31], PREDICTION))}
    found = Scored(folder, COUNTED, **files)
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert any("turned by its geometry" in sentence for _, sentence in found.said)


@row("centres up to 0.05 voxel apart, spacing within 0.1 %")
def _(folder: Path) -> None:
    left, back, head = GEOMETRY.origin
    for share, is_same in ((0.04, True), (0.06, False)):
        moved = replace(GEOMETRY, origin=(left + share * GEOMETRY.spacing[2], back, head))
        assert (pair(folder, moved).error == "") is is_same


@row("another grid")
def _(folder: Path) -> None:
    moved = replace(GEOMETRY, origin=(GEOMETRY.origin[0], GEOMETRY.origin[1], GEOMETRY.origin[2] + GEOMETRY.spacing[0]))
    assert "lies on another grid than its reference" in pair(folder, moved).error
    below = np.concatenate([np.zeros_like(PREDICTION[:1]), PREDICTION[:-1]])
    found = pair(folder, moved, resample=True)
    assert found.counts == by_hand(REFERENCE, below)
    assert any("background outside" in sentence for _, sentence in found.said)


@row("no geometry beside a reference with one (`.npz`, `.npy`, a stack of pictures)")
def _(folder: Path) -> None:
    found = Scored(
        folder, COUNTED, reference=("a.nii", nifti(REFERENCE, GEOMETRY)), prediction=("a.npy", npy(PREDICTION))
    )
    assert found.counts == by_hand(REFERENCE, PREDICTION)
    assert any("taken by its shape" in sentence for _, sentence in found.said)


@row("the same sides in another order without a geometry")
def _(folder: Path) -> None:
    other = labels(3, (SIZE[0], SIZE[2], SIZE[1]))
    found = Scored(folder, COUNTED, reference=("a.nii", nifti(REFERENCE, GEOMETRY)), prediction=("a.npy", npy(other)))
    assert "got 4x5x6" in found.error


def two_affines(sform: Geometry, qform: Geometry) -> bytes:
    image = nibabel.Nifti1Image(REFERENCE.T, None)
    image.set_sform(ras_affine(sform), 1)
    image.set_qform(ras_affine(qform), 1)
    return bytes(image.to_bytes())


ELSEWHERE = replace(GEOMETRY, origin=(0.0, 0.0, 0.0))


@row("sform and qform of a NIfTI that disagree")
def _(_: Path) -> None:
    data = two_affines(GEOMETRY, ELSEWHERE)
    with pytest.raises(UnreadableImage, match=r'dataset\.affine = "sform" or "qform"'):
        read_label_map(data, "a.nii")
    read = read_labels(data, "a.nii", choice=Choice(affine="qform")).grid
    assert read is not None
    assert read.geometry is not None
    assert read.geometry.origin == (0.0, 0.0, 0.0)


@row("sform and qform that agree")
def _(_: Path) -> None:
    near = replace(GEOMETRY, origin=(GEOMETRY.origin[0] + 0.001, *GEOMETRY.origin[1:]))
    read = read_header(two_affines(GEOMETRY, near), "a.nii").geometry
    assert read is not None
    assert read.origin == GEOMETRY.origin


@row("neither sform nor qform")
def _(_: Path) -> None:
    header = read_header(nifti(REFERENCE, None), "a.nii")
    assert (header.geometry, header.spacing_mm) == (None, (1.0, 1.0, 1.0))


@row("no spacing at all (PNG, JPEG, TIFF, `.npy`)")
def _(_: Path) -> None:
    for given, found in ((None, (np.nan,) * 3), ((2.0, 1.0, 0.5), (2.0, 1.0, 0.5))):
        columns = place_columns([""], np.ones(1, bool), given, pd.RangeIndex(1))
        assert tuple(float(columns[f"spacing_{axis}_mm"].iloc[0]) for axis in "dhw") == pytest.approx(
            found, nan_ok=True
        )


@row("axes that are sheared, in one plane, NaN, or without length")
def _(_: Path) -> None:
    affine = ras_affine(GEOMETRY)
    for place, number in (((0, 1), 0.3), ((0, 0), np.nan), ((slice(3), 2), 0.0)):
        broken = affine.copy()
        broken[place] = number
        image = nibabel.Nifti1Image(REFERENCE.T, None)
        image.header["sform_code"] = 1
        for name, line in zip(("srow_x", "srow_y", "srow_z"), broken, strict=False):
            image.header[name] = line
        with pytest.raises(DataError):
            read_label_map(image.to_bytes(), "a.nii")


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a network that knows single pixels made of one image."""

    slice_axis: str
    labels: NDArray[Any]
    """(slices, height, width)"""
    rows: pd.DataFrame
    slices: pd.DataFrame
    """Empty where they are not counted by themselves."""


BRIGHT = np.random.default_rng(8).integers(0, 250, SIZE, np.uint8)
FOUND = (REFERENCE > 0).astype(np.uint8)


def predicted(
    folder: Path, image: bytes, reference: bytes, name: str = "a.nii.gz", slices: bool = False, **asked: Any
) -> Predicted:
    data = data_set(folder, {name: image}, {name: reference}, labels_found=(0, 1), **asked)
    data.ingest()
    ((ingested,), row) = data.entries(), data.catalog.iloc[0]
    engine = PointwiseEngine(channels=1)
    prediction = prediction_by(engine)
    job = PredictJob(predict_key(ingested.key, prediction, slices), ingested.key, slices=slices)
    predict_shard(data.store, job, prediction, engine)
    entry = Ledger(data.store).read(STAGE, job.key)
    rows = pd.DataFrame(parts.read_part(data.store, entry).to_pylist())
    assert not rows["error"].any(), rows["error"].tolist()
    of_slices = side_parts.SLICES.read(data.store, entry).to_pandas() if slices else pd.DataFrame()
    return Predicted(row["slice_axis"], kept_of(data, entry, row["image_id"]), rows, of_slices)


def by_slices(pixels: NDArray[Any], axis: int) -> NDArray[Any]:
    return (np.moveaxis(pixels, axis, 0) > 127).astype(np.uint8)


@row("a volume")
def _(folder: Path) -> None:
    found = predicted(folder, nifti(BRIGHT, GEOMETRY), nifti(FOUND, GEOMETRY))
    assert np.array_equal(found.labels, by_slices(BRIGHT, 0))
    hits = np.count_nonzero((BRIGHT > 127) & (FOUND == 1))
    assert found.rows["true_positive"].tolist()[-1] == hits, "of the whole volume"


@row("voxels that are further apart along one axis")
def _(folder: Path) -> None:
    for axis, (name, spacing) in enumerate({"d": (3.0, 0.5, 0.5), "h": (0.5, 3.0, 0.5), "w": (0.5, 0.5, 3.0)}.items()):
        geometry = replace(GEOMETRY, spacing=spacing)
        found = predicted(folder / name, nifti(BRIGHT, geometry), nifti(FOUND, geometry))
        assert found.slice_axis == name
        assert np.array_equal(found.labels, by_slices(BRIGHT, axis))


@row("an axis of one voxel")
def _(folder: Path) -> None:
    found = predicted(folder, nifti(BRIGHT[:, :1], GEOMETRY), nifti(FOUND[:, :1], GEOMETRY))
    assert found.slice_axis == "h"
    assert np.array_equal(found.labels, by_slices(BRIGHT[:, :1], 1))


@row("no spacing")
def _(folder: Path) -> None:
    found = predicted(folder, npy(BRIGHT), npy(FOUND), "a.npy")
    assert found.slice_axis == "d"
    assert np.array_equal(found.labels, by_slices(BRIGHT, 0))


@row('`dataset.slice_axis = "w"`')
def _(folder: Path) -> None:
    found = predicted(folder, nifti(BRIGHT, GEOMETRY), nifti(FOUND, GEOMETRY), slice_axis="w")
    assert found.slice_axis == "w"
    assert np.array_equal(found.labels, by_slices(BRIGHT, 2))


@row("a picture among volumes")
def _(folder: Path) -> None:
    found = predicted(folder, npy(BRIGHT[0]), npy(FOUND[0]), "a.npy", slice_axis="w")
    assert found.slice_axis == ""
    assert np.array_equal(found.labels, by_slices(BRIGHT[:1], 0))


@row("axes in another order than its reference's")
def _(folder: Path) -> None:
    found = predicted(folder, turned(TURNS[31], BRIGHT), turned(TURNS[0], FOUND), "a.nii")
    assert np.array_equal(found.labels, by_slices(BRIGHT, "dhw".index(found.slice_axis)))


@row("`[metrics] slices = true`")
def _(folder: Path) -> None:
    found = predicted(folder, nifti(BRIGHT, GEOMETRY), nifti(FOUND, GEOMETRY), slices=True)
    assert len(found.slices) == len(found.rows) * len(found.labels)
    for name in ("true_positive", "false_positive", "false_negative", "true_negative"):
        sums = found.slices.groupby("class_index")[name].sum()
        assert sums.tolist() == found.rows.sort_values("class_index")[name].tolist()
