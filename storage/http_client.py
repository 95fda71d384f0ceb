"""The HTTP client of file systems: one that no server sends on to another."""

from __future__ import annotations

import errno
from typing import Any

HTTP_PROTOCOLS = ("http://", "https://")


async def stay_client(**settings: Any) -> Any:
    """A session of aiohttp, as fsspec asks for one, that raises PermissionError where it is sent to another server.

    Who writes a manifest may own its server, or know one that forwards: followed, a redirect would reach whatever the
    machine of the run reaches, and no check of the URL would have seen it.
    """
    import aiohttp

    watch = aiohttp.TraceConfig()
    watch.on_request_redirect.append(_refuse_other_servers)
    return aiohttp.ClientSession(trace_configs=[watch], **settings)


async def _refuse_other_servers(_session: Any, _context: Any, sent: Any) -> None:
    target = sent.url.join(type(sent.url)(sent.response.headers.get("Location", "")))
    # The same server may ask for TLS.
    if target.host == sent.url.host and (
        target.port == sent.url.port or (target.scheme, target.port) == ("https", 443)
    ):
        return
    raise PermissionError(
        errno.EACCES,
        # Of the target the server alone: what follows may be a signature that gives access.
        f"{sent.url}: expected the file, was sent on to another server, {target.host}; name the file's URL there",
    )
