"""The first bytes of source files, of which a header is all that is asked."""

from __future__ import annotations

from segscale.storage.locations import located, os_errors


def read_head(url: str, size: int) -> bytes:
    """Up to `size` bytes from the beginning of a file. Raises OSError."""
    filesystem, path = located(url)
    with os_errors(url):
        return bytes(filesystem.cat_file(path, start=0, end=size))
