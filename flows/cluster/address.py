"""A scheduler that was started elsewhere, with workers of its own: found by its address, with TLS where it has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.config.cluster import Cluster

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

CONNECT_SECONDS = 30


def check_address(config: Cluster) -> None:
    """Raise ConfigError for keys of a TLS connection that are missing or are none."""
    for key in ("tls_ca", "tls_cert", "tls_key"):
        path = getattr(config, key)
        if path and not Path(path).is_file():
            raise ConfigError(f"cluster.{key}: expected a PEM file, found none at {path}")
    if not config.address.startswith(("tls://", "wss://")):
        return
    security = security_of(config)
    if security.tls_ca_file is None:
        raise ConfigError(
            f"cluster.tls_ca: {config.address} needs tls_ca, tls_cert and tls_key, or distributed.comm.tls in Dask's "
            "own configuration"
        )
    try:
        security.get_connection_args("client")
    except OSError as error:
        raise ConfigError(f"cluster.tls_ca, tls_cert, tls_key: expected a certificate and its key: {error}") from None


def security_of(config: Cluster) -> Security:
    """What a client shows and accepts: the keys of the configuration, or what Dask's own configuration says."""
    from distributed.security import Security

    if not config.tls_ca:
        return Security()
    return Security(
        tls_ca_file=config.tls_ca,
        tls_client_cert=config.tls_cert,
        tls_client_key=config.tls_key,
        require_encryption=True,
    )


def open_client(config: Cluster) -> Client:
    """A client of the scheduler at `config.address`. Raises ClusterLostError where none answers."""
    from distributed import Client

    try:
        return Client(config.address, timeout=min(CONNECT_SECONDS, config.wait_seconds), security=security_of(config))
    except (OSError, TimeoutError) as error:
        reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        raise ClusterLostError(
            f"cluster.address: expected a Dask scheduler at {config.address}, got: {reason}"
        ) from error
