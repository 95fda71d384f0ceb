"""Source files of a data set: read by their URLs, and known again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from segscale.storage.bundles import pack
from segscale.storage.file_names import is_hidden, is_litter
from segscale.storage.local_files import is_local, local_version
from segscale.storage.locations import S3_PROTOCOLS, located, os_errors, read_whole
from segscale.storage.source_names import refuse_taken
from segscale.storage.trees import LocalTree, RemoteTree, folder_version, version_of

MASK = "mask"
"""The role of a file that says which pixels of an image are evaluated; most sets have none."""
ROLES = ("image", "reference", "prediction", MASK)
_LOCAL_PATH = "file:///"
# Files of a manifest that are asked for at once where each question travels.
_QUESTIONS = 16


def file_version(url: str) -> str:
    """What changes with a single file, as text; empty where there is no such file.

    Of local files size, times of change and inode, elsewhere the ETag, or size and time of change; of a folder, whose
    URL ends with a slash, those of the files in it.

    Raises OSError where an object store does not say whether there is one: refused, or no answer.
    """
    filesystem, path = located(url)
    if url.endswith("/"):
        return _folder_version(url)
    if is_local(url):
        return local_version(path)
    try:
        with os_errors(url):
            return version_of(filesystem.info(path))
    except (OSError, ValueError) as error:
        if url.startswith(S3_PROTOCOLS) and not isinstance(error, FileNotFoundError):
            raise
        # A path that cannot be one names no file either.
        return ""


def _folder_version(url: str) -> str:
    filesystem, path = located(url)
    try:
        with os_errors(url):
            tree = LocalTree() if is_local(url) else RemoteTree.below(filesystem, path.rstrip("/"), 1)
            return folder_version(tree, path.rstrip("/"))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def file_versions(urls: Iterable[str]) -> list[str]:
    """`file_version` of each URL; "" for none. Raises ListingError for one that is called as a part of a file is."""
    urls = list(urls)
    refuse_taken(map(file_name, urls))
    if not any(url.startswith(S3_PROTOCOLS) for url in urls):
        return [file_version(url) if url else "" for url in urls]
    with ThreadPoolExecutor(_QUESTIONS) as pool:
        return list(pool.map(lambda url: file_version(url) if url else "", urls))


def read_file(url: str) -> bytes:
    """The bytes of a source file; of a folder, whose URL ends with a slash, those of the files in it as a bundle."""
    if url.endswith("/"):
        return _read_folder(url)
    if url.startswith(_LOCAL_PATH):
        # As listings name local files; of a small one a file system of fsspec would take longer than its bytes.
        with open(url[len(_LOCAL_PATH) - 1 :], "rb") as file:
            return file.read()
    filesystem, path = located(url)
    with os_errors(url):
        return read_whole(filesystem, path)


def file_size(url: str) -> int:
    """Bytes of a source file, which is read only where its server does not say it. Raises OSError for none."""
    filesystem, path = located(url)
    with os_errors(url):
        size = filesystem.info(path)["size"]
    return len(read_file(url)) if size is None else int(size)


def _read_folder(url: str) -> bytes:
    filesystem, path = located(url)
    with os_errors(url):
        places = sorted(entry["name"] for entry in filesystem.ls(path, detail=True) if entry["type"] == "file")
        named = ((place.rpartition("/")[2], place) for place in places)
        return pack(
            {
                name: read_whole(filesystem, place)
                for name, place in named
                if not is_hidden(name) and not is_litter(name)
            }
        )


def read_catalogued(url: str, sha256: str, read: Callable[[str], bytes] = read_file) -> bytes:
    """The bytes of a source file, if they are still those that were catalogued.

    Raises OSError where they are not: it is no fact about the image, and another scan will see the file as it is now.
    """
    data = read(url)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise OSError(f"{url} changed while it was being read: catalogued sha256 {sha256[:12]}, now {found[:12]}")
    return data


def file_name(url: str) -> str:
    """The last part of a URL: what messages call a file, so that they do not change with the folder it lies in.

    >>> file_name("file:///ct/case1.png"), file_name("file:///ct/case1/")
    ('case1.png', 'case1/')
    """
    return url.rsplit("/", 2)[-2] + "/" if url.endswith("/") else url.rsplit("/", 1)[-1]
