"""Readers of image and label files, one small protocol with a well-kept library behind each."""

from segscale.tasks.readers.choice import NO_CHOICE, Choice
from segscale.tasks.readers.depth import UNDECIDED
from segscale.tasks.readers.formats import (
    holds_volume,
    read_grid,
    read_header,
    read_orientation,
    read_picture,
    read_stated_maximum,
    reader_for,
    voxel_bytes,
)
from segscale.tasks.readers.labels import LabelMap, are_whole, read_label_map, read_labels
from segscale.tasks.readers.orientation import UPRIGHT
from segscale.tasks.readers.picture import Header, Picture, Reader
from segscale.tasks.readers.probabilities import Probabilities, checked, read_probabilities, stores_floats

__all__ = [
    "NO_CHOICE",
    "UNDECIDED",
    "UPRIGHT",
    "Choice",
    "Header",
    "LabelMap",
    "Picture",
    "Probabilities",
    "Reader",
    "are_whole",
    "checked",
    "holds_volume",
    "read_grid",
    "read_header",
    "read_label_map",
    "read_labels",
    "read_orientation",
    "read_picture",
    "read_probabilities",
    "read_stated_maximum",
    "reader_for",
    "stores_floats",
    "voxel_bytes",
]
