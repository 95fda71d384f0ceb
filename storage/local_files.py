"""Files on local disks: where they are, and by what one is known again. With the standard library alone."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

LOCAL_SCHEMES = ("file://", "local://")


def is_local(url: str) -> bool:
    """Whether a URL or path is on a local disk, where every letter of a name stands for itself."""
    return "://" not in url or url.startswith(LOCAL_SCHEMES)


def local_version(path: str) -> str:
    """What changes with a file, as text; "" where no file is, nor a link to one.

    Size, time of change of the content and of the entry (both in ns), and inode: archives, `cp -p` and `rsync -t` give
    a new file the size and the time of the old one, but nobody can set the second time.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - of a million files a Path for each would take seconds
    except (OSError, ValueError):
        # A name too long, or one with a null byte, is no file either.
        return ""
    if not stat.S_ISREG(found.st_mode):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def without_file(path: str) -> str:
    """What a name is that has no regular file behind it; "" where there is nothing of the name.

    >>> without_file("/")
    'a folder'
    """
    try:
        link = stat.S_ISLNK(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return ""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return "a link that leads nowhere" if link else "no regular file"
    return "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"


def not_utf8(path: str) -> str:
    """What to do about a path that is no UTF-8, and about which part of it; "" for one that is.

    Such bytes of a name come as lone surrogates, which no table and no log can hold.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        pass
    else:
        return ""
    part = next(part for part in path.split("/") if _holds_bytes(part))
    try:
        name = os.fsencode(part).decode()
    except UnicodeError:
        return f"expected names of files and folders in UTF-8, got {part!a}; rename it"
    return (
        f"the name {name!a} is UTF-8, but this session reads names as {sys.getfilesystemencoding()}; set PYTHONUTF8=1, "
        "or a locale of UTF-8 (LC_ALL=C.UTF-8)"
    )


def _holds_bytes(name: str) -> bool:
    """Whether a name holds bytes that were not read as letters."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)


def is_same_file(path: str, other: str) -> bool:
    """Whether two names lead to one file: links followed, hard links as well."""
    if os.path.realpath(path) == os.path.realpath(other):
        return True
    try:
        first, second = Path(path).stat(), Path(other).stat()
    except OSError:
        return False
    # Some network file systems give every file the same inode; then there is no second name either.
    return os.path.samestat(first, second) and first.st_nlink > 1
