"""The description of OME-TIFF, looked at before tifffile makes a list with a place for each plane that it claims.

Schema: OME-XML 2016-06. What is no XML, or describes other pixels than are stored, is refused later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

from segscale.errors import UnreadableImage

_PLANES_LIMIT = 2**20
"""Far more than a volume has that is small enough to be read."""
_SIZES = ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
_PLACES = ("PlaneCount", "NumPlanes", "IFD", "FirstZ", "FirstC", "FirstT")


def check_description(text: str, plane_numbers: int, name: str) -> None:
    """Raise UnreadableImage for a description that claims more than 2**20 planes, each of `plane_numbers` numbers."""
    try:
        claimed = max(_claims(ElementTree.fromstring(text), plane_numbers), default=0.0)
    except ElementTree.ParseError:
        return
    if not claimed <= _PLANES_LIMIT:
        raise UnreadableImage(
            f"{name}: its ome description claims {claimed:.0f} planes; expected at most {_PLANES_LIMIT}: damaged, or "
            "save one volume per file"
        )


def _claims(root: ElementTree.Element, plane_numbers: int) -> Iterator[float]:
    for element in root.iter():
        said = element.attrib
        if element.tag.endswith("Pixels"):
            yield float(math.prod(int(said.get(size, 1)) for size in _SIZES) // max(1, plane_numbers))
        elif element.tag.endswith("TiffData"):
            yield from (float(int(said.get(place, 0))) for place in _PLACES)
        elif element.tag[:-1].endswith("Along") and "Start" in said:  # an axis that is split, by its labels
            yield abs((float(said["End"]) - float(said["Start"])) / float(said.get("Step", 1)))
