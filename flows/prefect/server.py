"""Whether a Prefect server is configured, found out without importing Prefect, which takes two seconds."""

from __future__ import annotations

import os
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segscale.errors import ConfigError
from segscale.storage.locations import redacted

SETTING = "PREFECT_API_URL"
NO_SERVER = "ephemeral"
"""The profile that Prefect has without any file."""
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

    Raises ConfigError for a file of profiles that is none, and for a profile that is in none.
    """
    if SETTING in os.environ:
        url = os.environ[SETTING]
        return Server(url, f"{SETTING} is set") if url else None
    # Left as it is where a user has no home: there is no such folder then.
    home = os.path.expanduser(os.environ.get("PREFECT_HOME") or "~/.prefect")  # noqa: PTH111  # pathlib raises without a home
    path = Path(os.path.expanduser(os.environ.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml"))  # noqa: PTH111  # pathlib raises without a home
    document = _profiles_in(path)
    profiles, asked = document.get("profiles", {}), os.environ.get("PREFECT_PROFILE")
    if asked and asked not in {*profiles, NO_SERVER}:
        # Prefect takes its default in silence, and the run would go past the server that is meant.
        raise ConfigError(
            f"PREFECT_PROFILE: expected one of the profiles {', '.join(sorted(profiles))} of {path}, got {asked!r}"
        )
    name = asked or document.get("active")
    profile = profiles.get(name) if isinstance(name, str) else None
    named = profile.get(SETTING) if isinstance(profile, dict) else None
    return Server(str(named), f"{SETTING} of the profile {name!r} in {path}") if named else None


def expected_server(command: str) -> Server:
    """The same. Raises ConfigError, in the words of a command that needs one, where there is none."""
    server = configured_server()
    if server is None:
        raise ConfigError(
            f"{command}: expected a Prefect server, {SETTING} is not set; start one with `prefect server start` and "
            "set it to http://127.0.0.1:4200/api"
        )
    return server


def _profiles_in(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: expected Prefect's profiles as TOML: {' '.join(str(error).split())}") from None
    if not isinstance(document.get("profiles", {}), dict):
        raise ConfigError(f"{path}: expected Prefect's profiles, got {document['profiles']!r}")
    return document


def check_answers(server: Server) -> None:
    """Raise ConfigError where nothing answers at the address of a server, or something that is no Prefect server.

    A refusal, and a certificate that is not accepted here, are answers: Prefect has settings of its own for these.
    """
    # Prefect's own client; it takes a proxy where the environment names one.
    import httpx

    try:
        answer = httpx.get(f"{server.url.rstrip('/')}/health", timeout=ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if _is_about_tls(error):
            return
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{SETTING}: expected a Prefect server at {server}, got: {reason}; start it, or leave it out with an empty "
            f"{SETTING}="
        ) from None
    if answer.status_code == 404 or (answer.status_code == 200 and answer.text.strip() != "true"):
        raise ConfigError(
            f"{SETTING}: expected a Prefect server at {server}, got an answer ({answer.status_code}) that is not "
            "Prefect's; the address of its API ends in /api"
        )


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
