"""OME-TIFF: small files whose description claims more than they hold, and for which no memory is taken."""

import io

import numpy as np
import pytest
import tifffile

from segscale.errors import UnreadableImage
from segscale.tasks.readers.tiff import TiffReader

PLANES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
SPLIT = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="modulo"><Value><Modulo>'
    '<ModuloAlongZ Type="angle" Start="0" End="{end}" Step="{step}"/>'
    "</Modulo></Value></XMLAnnotation></StructuredAnnotations>"
)


def described() -> str:
    file = io.BytesIO()
    tifffile.imwrite(file, PLANES, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    return str(tifffile.TiffFile(io.BytesIO(file.getvalue())).ome_metadata)


def tiff(description: str) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PLANES, photometric="minisblack", metadata=None, description=description)
    return file.getvalue()


@pytest.mark.parametrize(
    ("said", "claimed"),
    [
        pytest.param({'PlaneCount="3"': 'PlaneCount="2000000000"'}, "2000000000", id="planes of one block"),
        pytest.param({'PlaneCount="3"': 'NumPlanes="2000000000"'}, "2000000000", id="the same, as it was called"),
        pytest.param({'SizeZ="3"': 'SizeZ="2000000000"'}, "2000000000", id="depth"),
        pytest.param({'SizeZ="3"': 'SizeZ="40000"', 'SizeT="1"': 'SizeT="40000"'}, "1600000000", id="depth by time"),
        pytest.param({'SizeX="5"': 'SizeX="5000000000"'}, "3000000000", id="width, of which planes are made"),
        pytest.param({'IFD="0"': 'IFD="0" FirstZ="2000000000"'}, "2000000000", id="a first plane far behind"),
        pytest.param({"<Image": SPLIT.format(end=2e9, step=1) + "<Image"}, "2000000000", id="an axis that is split"),
        pytest.param({"<Image": SPLIT.format(end=2, step=1e-9) + "<Image"}, "2000000000", id="in tiny steps"),
        pytest.param({"<Image": SPLIT.format(end="nan", step=1) + "<Image"}, "nan", id="by no number"),
    ],
)
def test_planes_without_number(said: dict[str, str], claimed: str) -> None:
    text = described()
    for old, new in said.items():
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(UnreadableImage, match=f"its ome description claims {claimed} planes; expected at most 1048576"):
        TiffReader().header(tiff(text), "a.tif")


def test_a_description_that_fits_is_followed() -> None:
    np.testing.assert_array_equal(TiffReader().read(tiff(described()), "a.tif").pixels[..., 0], PLANES)


def test_what_is_no_xml_is_refused_as_before() -> None:
    with pytest.raises(UnreadableImage, match="its ome description of the axes does not fit"):
        TiffReader().read(tiff(described().replace("<Pixels", "<Pix<els")), "a.tif")
