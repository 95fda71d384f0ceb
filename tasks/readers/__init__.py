"""Readers of image and label files, one small protocol with a well-kept library behind each."""

from segscale.tasks.readers.formats import read_header, read_picture, reader_for
from segscale.tasks.readers.labels import read_label_map
from segscale.tasks.readers.picture import Header, Picture, Reader
from segscale.tasks.readers.probabilities import holds_probabilities, read_probabilities

__all__ = [
    "Header",
    "Picture",
    "Reader",
    "holds_probabilities",
    "read_header",
    "read_label_map",
    "read_picture",
    "read_probabilities",
    "reader_for",
]
