"""Stores in a bucket: what goes wrong between here and there, and whose commit stands in the end."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from segscale.errors import StoreRefusedError
from segscale.storage.ledger import Entry, Ledger, fresh_attempt
from segscale.storage.objects import ObjectStore
from tests.storage.s3_server import SECRET, TOKEN, Fault, FaultProxy, Request, S3Server, running_proxy

pytestmark = pytest.mark.slow

KEY = "ab" * 32
WRITE_ONE = "import sys; from segscale.storage.objects import ObjectStore; ObjectStore(sys.argv[1]).write('x', b'1')"


@pytest.fixture(scope="module")
def module_proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    with running_proxy(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(module_proxy: FaultProxy, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What lies between this process and the server."""
    module_proxy.forget()
    with s3_server.reachable(monkeypatch, module_proxy.port):
        yield module_proxy


@pytest.fixture
def store(proxy: FaultProxy, s3_server: S3Server) -> ObjectStore:
    assert proxy.seen == []
    return ObjectStore(f"{s3_server.new_bucket()}/work")


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_get(request: Request) -> bool:
    return request.method == "GET"


def is_any(_request: Request) -> bool:
    return True


def is_creation(request: Request) -> bool:
    return request.headers.get("if-none-match") == "*"


def written(store: ObjectStore) -> Entry:
    path = fresh_attempt("ingest", KEY)
    return Entry("ingest", KEY, path, {"rows": store.write(f"{path}/rows", b"rows")}, {})


LOST = {
    "answer lost once": [Fault(lose_answer=True)],
    "answer lost twice": [Fault(lose_answer=True)] * 2,
    "carried out, and answered with an error by a gateway": [
        Fault(lose_answer=True),
        Fault(answer=(502, "BadGateway")),
    ],
}


@pytest.mark.parametrize("fault", LOST)
def test_the_winner_whose_answer_was_lost_knows_that_it_won(store: ObjectStore, proxy: FaultProxy, fault: str) -> None:
    proxy.inject(is_creation, iter(LOST[fault]))
    assert store.create_exclusive("ledger/key", b"mine")
    assert len(proxy.done) == len(LOST[fault])
    assert sum(line.startswith("PUT") for line in proxy.seen) > len(LOST[fault])
    assert not store.create_exclusive("ledger/key", b"mine"), "the same bytes by another writer are no win"
    assert store.read("ledger/key") == b"mine"


def test_a_lost_answer_does_not_cost_a_commit_its_objects(store: ObjectStore, proxy: FaultProxy) -> None:
    entry = written(store)
    proxy.inject(is_creation, iter([Fault(lose_answer=True)]))
    assert Ledger(store).commit(entry) == entry
    assert store.read_checked(f"{entry.path}/rows", entry.objects["rows"]) == b"rows"


def test_whoever_was_overtaken_while_its_request_was_lost_has_lost(store: ObjectStore, proxy: FaultProxy) -> None:
    first, second = written(store), written(store)

    def overtake() -> None:
        # On a thread of its own: the proxy's must go on serving.
        thread = threading.Thread(target=Ledger(store).commit, args=(second,))
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    # Never carried out, never answered; the other driver's creation is served before the second attempt at this one.
    committed = threading.Event()
    proxy.inject(lambda request: is_creation(request) and first.path in request.body.decode(), iter([
        Fault(answer=(500, "InternalError"), after=overtake), Fault(release=committed)]))  # fmt: skip
    proxy.inject(lambda request: is_creation(request) and second.path in request.body.decode(), iter([
        Fault(after=committed.set)]))  # fmt: skip
    assert Ledger(store).commit(first) == second
    threads[0].join()
    assert not store.exists(first.path)
    assert store.exists(f"{second.path}/rows")


@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "not carried out"])
def test_where_no_attempt_is_answered_the_object_says_what_happened(
    store: ObjectStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, carried_out: bool
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    S3FileSystem.clear_instance_cache()
    fault = Fault(lose_answer=True) if carried_out else Fault(answer=(500, "InternalError"))
    proxy.inject(is_put, repeat(fault))
    if carried_out:
        assert store.create_exclusive("ledger/key", b"mine")
    else:
        with pytest.raises(OSError, match="500 InternalError") as caught:
            store.create_exclusive("ledger/key", b"mine")
        assert f"{store.url}/ledger/key" in str(caught.value)
        assert not store.exists("ledger/key")


PASSING = {
    "internal error": Fault(answer=(500, "InternalError")),
    "slow down": Fault(answer=(503, "SlowDown")),
    "too many requests": Fault(answer=(429, "TooManyRequests")),
    "unavailable": Fault(answer=(503, "ServiceUnavailable")),
    "no answer": Fault(lose_answer=True),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for(store: ObjectStore, proxy: FaultProxy, name: str) -> None:
    proxy.inject(is_any, iter([PASSING[name], None, PASSING[name], None, PASSING[name], None] * 2))
    store.write("shards/x", b"data")
    assert store.read("shards/x") == b"data"
    assert store.names("shards") == ["x"]
    store.remove("shards")
    assert len(proxy.done) >= 4
    assert not store.exists("shards")


def test_a_change_of_the_same_key_meanwhile_is_tried_again(store: ObjectStore, proxy: FaultProxy) -> None:
    proxy.inject(is_creation, iter([Fault(answer=(409, "ConditionalRequestConflict"))] * 2))
    assert store.create_exclusive("ledger/key", b"1")


@pytest.mark.parametrize("size", [0, 100, 3_000_000], ids=["before the body", "early", "late"])
def test_an_upload_cut_off_leaves_no_object(
    store: ObjectStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    proxy.inject(is_put, repeat(Fault(cut_upload=size)))
    with pytest.raises(ConnectionError, match="no answer"):
        store.write("shards/x", b"d" * 4_000_000)
    assert not store.exists("shards/x")
    assert list(store.listing()) == []
    proxy.forget()
    store.write("shards/x", b"d" * 4_000_000)
    assert [item.size_bytes for item in store.listing()] == [4_000_000]


def test_large_objects_are_one_request_each_way(store: ObjectStore, proxy: FaultProxy) -> None:
    # In parts, an upload could be left half done, and a download could be of two versions.
    data = bytes(120 * 2**20)
    store.write("shards/large", data)
    assert store.read("shards/large") == data
    assert len(proxy.seen) == 2


def test_a_torn_answer_is_asked_for_again(store: ObjectStore, proxy: FaultProxy) -> None:
    store.write("shards/x", b"d" * 1_000_000)
    proxy.inject(is_get, iter([Fault(torn_answer=0), Fault(torn_answer=400_000)]))
    assert store.read("shards/x") == b"d" * 1_000_000
    assert len(proxy.done) == 2


def test_a_server_that_ignores_the_condition_is_found_out(store: ObjectStore, proxy: FaultProxy) -> None:
    proxy.inject(is_put, repeat(Fault(without=("if-none-match",))))
    with pytest.raises(StoreRefusedError, match=r"ignores If-None-Match.*single_driver"):
        store.check_exclusive()
    assert list(store.listing()) == []
    single = ObjectStore(store.url, single_driver=True)
    assert single.create_exclusive("ledger/key", b"first")
    assert not single.create_exclusive("ledger/key", b"second")
    assert single.read("ledger/key") == b"first"


def test_rclone_ignores_the_condition_and_is_found_out(rclone_bucket: str) -> None:
    store = ObjectStore(rclone_bucket)
    with pytest.raises(StoreRefusedError, match=r"ignores If-None-Match.*single_driver"):
        store.check_exclusive()
    assert store.listing() == []


def test_a_server_that_says_so_is_refused(store: ObjectStore, proxy: FaultProxy) -> None:
    proxy.inject(is_creation, repeat(Fault(answer=(501, "NotImplemented"))))
    with pytest.raises(StoreRefusedError, match="knows no If-None-Match"):
        store.check_exclusive()
    assert ObjectStore(store.url, single_driver=True).create_exclusive("ledger/key", b"1")


def test_an_honest_server_passes_the_check_on_a_bad_day(store: ObjectStore, proxy: FaultProxy) -> None:
    proxy.inject(is_creation, iter([Fault(lose_answer=True), None, Fault(lose_answer=True)]))
    store.check_exclusive()
    assert list(store.listing()) == []


@pytest.mark.parametrize("bucket", ["s3_bucket", "rclone_bucket"])
def test_more_objects_than_a_page_holds_are_all_listed(request: pytest.FixtureRequest, bucket: str) -> None:
    store = ObjectStore(f"{request.getfixturevalue(bucket)}/work")
    for number in range(5):
        store.write(f"ledger/ingest/{number}", b"")
    kind = store._kind()
    pages = list(kind._pages("work/", "", MaxKeys=2))  # type: ignore[attr-defined]
    assert [len(page["Contents"]) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        pytest.param(Fault(answer=(403, "AccessDenied")), PermissionError, "403 AccessDenied", id="not allowed"),
        pytest.param(Fault(answer=(404, "NoSuchBucket")), FileNotFoundError, "NoSuchBucket", id="no bucket"),
        pytest.param(Fault(answer=(400, "InvalidBucketName")), OSError, "InvalidBucketName", id="a wrong request"),
    ],
)
def test_a_refusal_is_named_at_once(
    store: ObjectStore, proxy: FaultProxy, fault: Fault, kind: type[Exception], said: str
) -> None:
    proxy.inject(is_any, repeat(fault))
    for act in (lambda: store.write("x", b""), lambda: store.create_exclusive("x", b""), lambda: store.read("x")):
        with pytest.raises(kind, match=said) as caught:
            act()
        assert store.url in str(caught.value)
    assert len(proxy.seen) == 3


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("AWS_SECRET_ACCESS_KEY", "plantedWrongSecret", "403 SignatureDoesNotMatch", id="wrong secret"),
        pytest.param("AWS_ACCESS_KEY_ID", "AKIAOTHER", "403 InvalidAccessKeyId", id="unknown key"),
    ],
)
def test_wrong_credentials_are_refused_and_not_repeated(
    rclone_bucket: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    store = ObjectStore(rclone_bucket)
    for act in (lambda: store.write("x", b""), lambda: store.create_exclusive("x", b""), lambda: store.read("x")):
        with pytest.raises(PermissionError, match=said) as caught:
            act()
        assert f"{store.url}/x" in str(caught.value)
        assert [secret for secret in (value, SECRET, TOKEN) if secret in str(caught.value)] == []


def _keys(**environment: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**clean, "AWS_EC2_METADATA_DISABLED": "true", **environment}


@pytest.fixture
def home(tmp_path: Path, s3_server: S3Server) -> Path:
    """Configuration files of AWS's tools with a profile of its own."""
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = eu-central-1\nendpoint_url = http://127.0.0.1:{s3_server.port}\n"
    )
    return tmp_path


FOUND: dict[str, Callable[[S3Server, Path], dict[str, str]]] = {
    "in the environment": lambda server, _: server.environment(),
    "in a profile": lambda _, home: {
        "AWS_PROFILE": "lab",
        "AWS_SHARED_CREDENTIALS_FILE": f"{home}/credentials",
        "AWS_CONFIG_FILE": f"{home}/config",
    },
}


@pytest.mark.parametrize("where", FOUND)
def test_credentials_and_endpoint_are_found(s3_server: S3Server, home: Path, where: str) -> None:
    environment = _keys(**FOUND[where](s3_server, home))
    command = [sys.executable, "-c", WRITE_ONE, s3_server.new_bucket()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_credentials_the_error_says_where_they_belong(s3_server: S3Server, tmp_path: Path) -> None:
    environment = _keys(AWS_ENDPOINT_URL=f"http://127.0.0.1:{s3_server.port}", HOME=str(tmp_path))
    command = [sys.executable, "-c", WRITE_ONE, "s3://bucket/work"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("PermissionError")
    assert "s3://bucket/work" in last
    assert "AWS_PROFILE" in last
