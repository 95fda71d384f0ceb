"""What ends a run from outside the data."""

from __future__ import annotations


class ClusterLostError(RuntimeError):
    """The cluster is not there, or went away while work was under way; what was committed stays: exit code 3."""
