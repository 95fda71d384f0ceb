"""Errors: all that Segscale raises on purpose, in one tree.

SegscaleError
  + DataError (ValueError)             a file, or what it holds, cannot be used; an image it belongs to fails
      - UnreadableImage                the bytes of a file are not the image or the labels that its name promises
      - MissingFile                    a file that belongs to an image is not there
      - ListingError                   a data set does not say which image is which
      - DamagedFileError               a table is no Parquet file, or not the one that was written
      - VersionError                   a table has a version that cannot be read here
      - ReportError                    a folder holds no report, or not the one that was written
  + ArgumentError (ValueError)         a function was called with what it cannot take
  + ConfigError (ValueError)           the configuration or the command is wrong: exit code 2
      - ContradictionError             a file says of the whole set something else than the files looked at before
      - UrlError                       a URL leads to no kind of store or server that is known
          - SecretInUrlError           a URL carries what must not be shown
      - HistoryError                   a file is no training history
      - EngineError                    an engine, a precision or a device cannot be had here
          - UnconvertibleError         a network is sound, but not for OpenVINO
  + StoreError (ValueError)            a store and what was committed to it
      - StoreRefusedError              the store cannot do what is asked of it
      - StoreUnusableError             a worker finds the store, and can do nothing there
      - DamagedStoreError              what was committed is not there as it was
  + ClusterLostError (RuntimeError)    cluster, workers or scheduler are gone: exit code 3, what was committed stays
      - WorkLostError                  no attempt finished some shards
      - PermanentError                 a worker cannot do what the run was planned with, however often it tries
  + StageError (RuntimeError)          a step of the work on some images broke down; its cause says by what
  + FirstImagesError (RuntimeError)    the first images of a run all failed alike: exit code 1, no report

What is not in the tree is a defect of Segscale's, or comes from outside: OSError of disks and networks, ImportError of
what is not installed, MemoryError. A ValueError, KeyError or AssertionError of no class below is never taken for bad
data; it ends the attempt that raised it. Classes are ValueError or RuntimeError too, for notebooks that catch these.
"""

from __future__ import annotations

from typing import ClassVar


class SegscaleError(Exception):
    """The root: whatever Segscale raises on purpose."""


class DataError(SegscaleError, ValueError):
    """A file, or what it holds, cannot be used. Where it belongs to an image, that image fails and the others go on."""

    recorded_as: ClassVar[str] = "ValueError"
    """`error_type` of an image that fails by it. Stores and reports know this word; equal inputs give equal bytes."""


class UnreadableImage(DataError):  # noqa: N818  it names a state of the file, which goes into reports as it stands
    """The bytes of a file do not hold what was asked for. The text depends on the bytes and the given name only."""

    recorded_as = "UnreadableImage"


class MissingFile(DataError):  # noqa: N818  as it goes into reports
    """A file that belongs to an image is not there, or could never be read."""

    recorded_as = "MissingFile"


class ListingError(DataError):
    """The data set cannot be listed as asked: nothing there, or names that do not say which image is which."""


class DamagedFileError(DataError):
    """The bytes are no Parquet file, or not the ones that were written."""


class VersionError(DataError):
    """A table of a version that cannot be read here."""


class ReportError(DataError):
    """What lies there is no report, or not the one that was written."""


class ArgumentError(SegscaleError, ValueError):
    """A function was called with what it cannot take; the message says what was expected."""


class ConfigError(SegscaleError, ValueError):
    """The configuration or the command is wrong, or asks for something that is not there: exit code 2.

    It is made of a text for each thing that is wrong, a line of the message each: which key, what was expected, what
    was given, what to do.

    >>> print(ConfigError("c.toml: dataset: required", "c.toml: stroe: unknown section"))
    c.toml: dataset: required
    c.toml: stroe: unknown section
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class ContradictionError(ConfigError):
    """A file of a data set cannot be read as those looked at before it, so no number of the set is certain."""


class UrlError(ConfigError):
    """A URL leads to no kind of store or server that is known."""


class SecretInUrlError(UrlError):
    """A URL carries a user, a password or a query such as a token; URLs are kept and shown, secrets must not be."""


class HistoryError(ConfigError):
    """What lies there is no training history, or a damaged one."""


class EngineError(ConfigError):
    """An engine, a precision or a device that cannot be had here; trying again changes nothing."""


class UnconvertibleError(EngineError):
    """A network that is sound, but not for OpenVINO: another engine can have it."""


class StoreError(SegscaleError, ValueError):
    """What is wrong with a store as such, and with no image."""


class StoreRefusedError(StoreError):
    """The store cannot do what is asked of it; the message says what to use instead."""


class StoreUnusableError(StoreError):
    """A worker that finds the store, and can do nothing there; the message is the end of a sentence."""


class DamagedStoreError(StoreError):
    """What was committed is not there as it was; the message says what mends it."""


class ClusterLostError(SegscaleError, RuntimeError):
    """The cluster is not there, or went away while work was under way; what was committed stays: exit code 3."""


class WorkLostError(ClusterLostError):
    """Some shards were not finished by any attempt; the others are committed."""


class PermanentError(ClusterLostError):
    """What no further attempt can change."""


class StageError(SegscaleError, RuntimeError):
    """A step of the work broke down: which one, at which images, and why."""


class FirstImagesError(SegscaleError, RuntimeError):
    """The first images of a run all failed with one type of error, so that it ended: exit code 1, no report."""
