import pytest

from segscale.errors import SecretInUrlError
from segscale.storage.locations import located, redacted, refuse_secrets

SECRET = "plantedSecret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param(f"s3://key:{SECRET}@bucket/a", "s3://***@bucket/a", id="user and password"),
        pytest.param(f"s3://key:a/b+{SECRET}/c@bucket/a", "s3://***@bucket/a", id="slashes in the password"),
        pytest.param(f"s3://{SECRET}@bucket", "s3://***@bucket", id="user alone"),
        pytest.param(f"https://host/a.png?token={SECRET}", "https://host/a.png?token=***", id="token"),
        pytest.param(f"https://host/a?x=1&sig={SECRET}", "https://host/a?x=***", id="signature behind another"),
        pytest.param(f"s3://bucket/img_?.png&sig={SECRET}", "s3://bucket/img_?.png&sig=***", id="behind a pattern"),
        pytest.param(f"simplecache::https://a:{SECRET}@host/x", "simplecache::https://***@host/x", id="chained"),
    ],
)
def test_what_may_be_secret_is_refused_and_not_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
    # Whoever redacts first must still be refused: no URL is changed silently.
    for given in (url, shown):
        for refuse in (refuse_secrets, located):
            with pytest.raises(SecretInUrlError) as caught:
                refuse(given)
            assert SECRET not in str(caught.value)
            assert str(caught.value).startswith(shown)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("s3://bucket/images/img_?.png", id="a pattern for one letter"),
        pytest.param("s3://bucket/images/*@2x.png", id="an @ behind the host"),
        pytest.param("http://host:8080/a@b.png", id="an @ behind a port"),
        pytest.param("/data/a@b/x?y=1.png", id="a path is no URL"),
        pytest.param("work", id="relative"),
        pytest.param("memory://a/b=c", id="an equals sign"),
    ],
)
def test_what_is_no_secret_passes(url: str) -> None:
    assert refuse_secrets(url) == url == redacted(url)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_with_a_password_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"http://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(SecretInUrlError, match=name) as caught:
        located("s3://bucket/a")
    assert SECRET not in str(caught.value)
