"""Locations: the file system that a URL leads to, with the patience a network needs and without secrets in the URL."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from segscale.errors import SecretInUrlError, SegscaleError, UrlError
from segscale.storage.http_client import HTTP_PROTOCOLS, stay_client
from segscale.storage.local_files import is_local

S3_PROTOCOLS = ("s3://", "s3a://")
# How long one request may take to be accepted, and to be answered once it was sent.
CONNECT_SECONDS = 10
READ_SECONDS = 30
# botocore's own attempts at a request (5xx, throttling, no connection, no answer), 7 s of pauses on the average. s3fs
# begins all of these up to four times again where connections are lost, answers torn off, or the server asks for less.
ATTEMPTS = 5
# AWS's secret keys may hold slashes, so a password ends with the @ only; a number behind the colon is a port.
_USER = re.compile(r"://(?:[^/]*|[^/@:]+:(?!\d+(?:/|$))[^@]*)@")
_QUERY = re.compile(r"[?&][^=/?&*\[\]]+=")
_NETWORK_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp"})


def refuse_secrets(url: str) -> str:
    """The URL itself; raises SecretInUrlError, which shows it without them, where it may hold secrets."""
    if "://" in url and (_USER.search(url) or _QUERY.search(url)):
        raise SecretInUrlError(
            f"{redacted(url)}: expected a URL without user, password or query, for URLs are logged and kept; "
            "credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from AWS_PROFILE"
        )
    return url


def redacted(url: str) -> str:
    """The URL with ``***`` for what may be secret in it; one without such parts, and a path, stay as they are."""
    if "://" not in url:
        return url
    shown = _USER.sub("://***@", url)
    query = _QUERY.search(shown)
    return shown if query is None else f"{shown[: query.end()]}***"


def located(url: str) -> tuple[Any, str]:
    """The file system of a URL or path and the place in it. Raises UrlError, for secrets SecretInUrlError.

    Credentials, region and endpoint of ``s3://`` are found as AWS's own tools find them: in the environment, or in the
    profile that it names. Listings are never cached: another driver may be committing beside this one. ``http://`` is
    read from the server that the URL names, and from no other. Of a local file every letter is part of its name,
    ``::`` and ``?`` as well.
    """
    if is_local(url):
        filesystem = LocalFileSystem()
        return filesystem, str(filesystem._strip_protocol(url))
    refuse_secrets(url)
    if not url.startswith(S3_PROTOCOLS):
        client = {"get_client": stay_client} if url.startswith(HTTP_PROTOCOLS) else {}
        with os_errors(url):
            filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **client)
        return filesystem, path
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if _USER.search(os.environ.get(name, "")):
            raise SecretInUrlError(f"{name}: expected an address without user and password, for errors name it")
    with os_errors(url):
        _be_patient()
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, config_kwargs=_client_settings())
    return filesystem, path


@cache
def _be_patient() -> None:
    """Have s3fs wait and try again after "too many requests", which it and botocore know by other codes only."""
    try:
        from s3fs.core import set_custom_error_handler
    except ImportError as error:
        raise ImportError("s3:// needs s3fs: install the extra s3 (docs/object-stores.md)") from error
    set_custom_error_handler(lambda error: (answer_of(error) or (0, ""))[0] == 429)


def read_whole(filesystem: Any, path: str) -> bytes:
    """The bytes of a file, of one version of it.

    s3fs reads large objects in several ranges, which may be of an old and a new one, and which it does not ask for
    again where one is torn off. One request is of one version, and is tried again.
    """
    is_s3 = "s3" in filesystem.protocol
    return bytes(filesystem.cat_file(path, **({"max_concurrency": 1} if is_s3 else {})))


def _client_settings() -> dict[str, Any]:
    settings: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    # Whoever sets these for all of AWS's tools means this one too.
    if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
        settings["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    return settings


@contextmanager
def os_errors(url: str) -> Iterator[None]:
    """What the libraries of an object store raise, as an OSError that names the URL and what was answered.

    FileNotFoundError and PermissionError stay what they are; no credentials are a PermissionError, and no answer,
    after all attempts, is a ConnectionError. A ValueError of theirs is about the URL or the address of the server, and
    becomes a UrlError. Everything else passes.
    """
    try:
        yield
    except SegscaleError:
        raise
    except Exception as error:
        answer = answer_of(error)
        if answer is None and type(error).__module__.split(".")[0] not in _NETWORK_LIBRARIES:
            if isinstance(error, ValueError):
                raise UrlError(str(error)) from error
            raise
        raise _named(url, error, answer) from error


def answer_of(error: BaseException) -> tuple[int, str] | None:
    """The HTTP status and the code (``NoSuchKey``) of the answer an error was made of, or None where there was none."""
    for source in (error, error.__cause__):
        response = getattr(source, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status), str(response.get("Error", {}).get("Code", ""))
    return None


def _named(url: str, error: Exception, answer: tuple[int, str] | None) -> OSError:
    said = (str(error).splitlines() or [""])[0]
    if answer is None:
        name = type(error).__name__
        if "Credential" in name or "Token" in name or "Profile" in name:
            return PermissionError(
                errno.EACCES, f"{url}: {said} (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
            )
        return ConnectionError(errno.EIO, f"{url}: no answer ({name}: {said})")
    status, code = answer
    kind = type(error) if isinstance(error, FileNotFoundError | PermissionError) else OSError
    number = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}.get(kind, errno.EIO)
    return kind(number, f"{url}: answered {status} {code if code != str(status) else ''}".rstrip() + f": {said}")
