"""Where a Prefect server is configured: what Prefect itself would find, without importing it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from segscale.errors import ConfigError
from segscale.flows.prefect.server import Server, check_answers, configured_server
from tests.ports import free_port

PROFILES = """
active = "team"
[profiles.ephemeral]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
[profiles.team]
PREFECT_API_URL = "http://team:4200/api"
[profiles.own]
PREFECT_API_URL = "http://own:4200/api"
"""
CASES = [
    pytest.param({}, "", None, id="no file: nothing is configured"),
    pytest.param({}, PROFILES, "http://team:4200/api", id="the active profile"),
    pytest.param({"PREFECT_PROFILE": "own"}, PROFILES, "http://own:4200/api", id="the environment chooses the profile"),
    pytest.param({"PREFECT_PROFILE": "ephemeral"}, PROFILES, None, id="a profile without a server"),
    pytest.param({"PREFECT_API_URL": "http://here/api"}, PROFILES, "http://here/api", id="the environment comes first"),
    pytest.param({"PREFECT_API_URL": "http://here/api"}, "", "http://here/api", id="the environment alone"),
    pytest.param({"PREFECT_PROFILE": "ephemeral"}, "", None, id="the profile that Prefect has without a file"),
    pytest.param({}, PROFILES.replace('"team"\n', '"ephemeral"\n', 1), None, id="another profile is active"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("environment", "profiles", "expected"), CASES)
def test_the_server_that_is_found(
    environment: dict[str, str], profiles: str, expected: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if profiles:
        (home / "profiles.toml").write_text(profiles)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = configured_server()
    assert (found.url if found else None) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "profiles", "expected"), CASES)
def test_prefect_finds_the_same(environment: dict[str, str], profiles: str, expected: str | None, home: Path) -> None:
    if profiles:
        (home / "profiles.toml").write_text(profiles)
    code = "from prefect.settings import PREFECT_API_URL; print(PREFECT_API_URL.value())"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=home, env={**os.environ, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert answer.stdout.strip() == str(expected)


def test_an_empty_address_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "profiles.toml").write_text(PROFILES)
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert configured_server() is None


@pytest.mark.parametrize("text", ["active = ", "profiles = 3"])
def test_profiles_that_cannot_be_read_are_named(home: Path, text: str) -> None:
    (home / "profiles.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"profiles\.toml: expected Prefect's profiles"):
        configured_server()


def test_a_profile_that_is_none_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "profiles.toml").write_text(PROFILES)
    monkeypatch.setenv("PREFECT_PROFILE", "tema")
    with pytest.raises(ConfigError, match=r"PREFECT_PROFILE: expected one of the profiles .*own, team of .*got 'tema'"):
        configured_server()


def test_an_active_profile_of_another_kind_is_none(home: Path) -> None:
    (home / "profiles.toml").write_text('active = ["team"]')
    assert configured_server() is None


def test_where_it_is_said_and_no_password(home: Path) -> None:
    (home / "profiles.toml").write_text(PROFILES.replace("http://team", "http://me:secret@team"))
    said = str(configured_server())
    assert "secret" not in said
    assert said.endswith(f"(PREFECT_API_URL of the profile 'team' in {home / 'profiles.toml'})")


def test_a_server_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(
        ConfigError, match=r"PREFECT_API_URL: expected a Prefect server at .*start it, or leave it out"
    ) as raised:
        check_answers(Server(f"http://me:secret@127.0.0.1:{free_port()}/api", "PREFECT_API_URL is set"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["no address", "http://", "ftp://x/api"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="PREFECT_API_URL: expected a Prefect server"):
        check_answers(Server(url, "PREFECT_API_URL is set"))


def test_a_certificate_is_left_to_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("certificate verify failed") from ssl.SSLCertVerificationError("self-signed")

    monkeypatch.setattr(httpx, "get", refuse)
    check_answers(Server("https://127.0.0.1/api", "PREFECT_API_URL is set"))


@pytest.mark.parametrize(
    ("code", "text", "sound"),
    [
        pytest.param(200, "true", True, id="a Prefect server"),
        pytest.param(401, "", True, id="one that wants a password, which Prefect has"),
        pytest.param(503, "", True, id="one that is starting"),
        pytest.param(404, "not found", False, id="a server without the API"),
        pytest.param(200, "<html>hello</html>", False, id="a web page"),
    ],
)
def test_an_answer_is_that_of_prefect(code: int, text: str, sound: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpx.get", lambda *_, **__: httpx.Response(code, text=text))
    server = Server("http://127.0.0.1/api", "PREFECT_API_URL is set")
    if sound:
        check_answers(server)
        return
    with pytest.raises(ConfigError, match=rf"PREFECT_API_URL: .*an answer \({code}\) that is not Prefect's"):
        check_answers(server)
