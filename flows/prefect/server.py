"""Whether a Prefect server is configured, found out without importing Prefect, which takes two seconds."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from segscale.errors import ConfigError
from segscale.storage.locations import redacted

SETTING = "PREFECT_API_URL"
ANSWER_SECONDS = 30.0
"""A server that is starting, or busy, may take a while."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Prefect server that runs are to be shown at."""

    url: str
    said_by: str
    """Where it is configured."""

    def __str__(self) -> str:
        return f"{redacted(self.url)} ({self.said_by})"


def configured_server() -> Server | None:
    """The server that the environment names, or the profile that is active there, as Prefect looks for it.

    Raises ConfigError for a file of profiles that is none.
    """
    if SETTING in os.environ:
        url = os.environ[SETTING]
        return Server(url, f"{SETTING} is set") if url else None
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: expected Prefect's profiles as TOML: {' '.join(str(error).split())}") from None
    name = os.environ.get("PREFECT_PROFILE") or document.get("active")
    profiles = document.get("profiles")
    profile = profiles.get(name) if isinstance(profiles, dict) else None
    named = profile.get(SETTING) if isinstance(profile, dict) else None
    return Server(str(named), f"{SETTING} of the profile {name!r} in {path}") if named else None


def check_answers(server: Server) -> None:
    """Raise ConfigError where nothing answers at the address of a server; whatever answers is left to Prefect."""
    # Prefect's own client; it takes a proxy where the environment names one.
    import httpx

    try:
        httpx.get(f"{server.url.rstrip('/')}/health", timeout=ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{SETTING}: expected a Prefect server at {server}, got: {reason}; start it, or unset {SETTING} to go on "
            "without one"
        ) from None
