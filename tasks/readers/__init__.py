"""Readers of image and label files, one small protocol with a well-kept library behind each."""

from segscale.tasks.readers.formats import read_header, read_picture, reader_for
from segscale.tasks.readers.labels import are_whole, read_label_map
from segscale.tasks.readers.picture import Header, Picture, Reader
from segscale.tasks.readers.probabilities import Probabilities, checked, read_probabilities, stores_floats

__all__ = [
    "Header",
    "Picture",
    "Probabilities",
    "Reader",
    "are_whole",
    "checked",
    "read_header",
    "read_label_map",
    "read_picture",
    "read_probabilities",
    "reader_for",
    "stores_floats",
]
