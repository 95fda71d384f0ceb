import contextlib
import errno
import os
import pickle
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from segscale.errors import StoreRefusedError
from segscale.storage.objects import Digest, ObjectStore

RACERS_PER_PROCESS = 10
PROCESSES = 4
ROUNDS = 6

RACER = """
import sys, threading
from segscale.storage.objects import ObjectStore
store, process, threads, rounds = ObjectStore(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
barrier, won = threading.Barrier(threads), []
def race(thread):
    barrier.wait()
    for number in range(rounds):
        name = f"{process}-{thread}"
        if store.create_exclusive(f"ledger/{number}", (name + "\\n").encode() * 20_000):
            won.append(f"{number} {name}")
racers = [threading.Thread(target=race, args=(thread,)) for thread in range(threads)]
print("ready", flush=True)
sys.stdin.readline()
for racer in racers:
    racer.start()
for racer in racers:
    racer.join()
print(*won, sep="\\n", flush=True)
"""

KILLED_WRITER = """
import os, sys
from segscale.storage.objects import ObjectStore
os.fsync = lambda descriptor: os._exit(9)
store = ObjectStore(sys.argv[1])
getattr(store, sys.argv[2])("catalog/set", b"new" * 1000)
"""


class UnconditionalFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A store whose writes always overwrite, as many a gateway's do."""

    protocol = "unconditional"

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return super()._strip_protocol(path.removeprefix("unconditional://"))


fsspec.register_implementation("unconditional", UnconditionalFileSystem, clobber=True)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@pytest.fixture(params=["folder", "memory"])
def near_store(request: pytest.FixtureRequest, folder: ObjectStore) -> ObjectStore:
    """Those implementations that answer fast enough for thousands of requests."""
    return folder if request.param == "folder" else ObjectStore(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(
    params=[
        "folder",
        "memory",
        pytest.param("s3", marks=pytest.mark.slow),
        pytest.param("rclone", marks=pytest.mark.slow),
    ]
)
def store(request: pytest.FixtureRequest, folder: ObjectStore) -> ObjectStore:
    """Every implementation of the contract; the tests that take it must not know which one they have."""
    if request.param == "s3":
        return ObjectStore(f"{request.getfixturevalue('s3_bucket')}/a/prefix")
    if request.param == "rclone":
        return ObjectStore(f"{request.getfixturevalue('rclone_bucket')}/a/prefix", single_driver=True)
    return folder if request.param == "folder" else ObjectStore(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(params=["folder", "s3"])
def shared_store(request: pytest.FixtureRequest, folder: ObjectStore) -> ObjectStore:
    """Those implementations that several processes see."""
    return ObjectStore(f"{request.getfixturevalue('s3_bucket')}/work") if request.param == "s3" else folder


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads give way between any two steps, so that a check and its act are seen apart."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("path", ["run.json", "ledger/ingest/abc.json", "a b/ü#%20.bin"])
@pytest.mark.parametrize("data", [b"", b"\0", b"\r\n\xff" * 1000], ids=["empty", "zero byte", "binary"])
def test_an_object_is_read_back_as_it_was_written(store: ObjectStore, path: str, data: bytes) -> None:
    assert store.write(path, data) == Digest.of(data)
    assert store.read(path) == data
    assert store.exists(path)


def test_a_write_replaces_the_whole_object(store: ObjectStore) -> None:
    store.write("catalog", b"a long one")
    store.write("catalog", b"short")
    assert store.read("catalog") == b"short"


def test_an_absent_object_is_not_found(store: ObjectStore) -> None:
    assert not store.exists("ledger/none")
    with pytest.raises(FileNotFoundError):
        store.read("ledger/none")
    with pytest.raises(FileNotFoundError):
        store.read_checked("ledger/none", Digest.of(b""))


def test_digest_by_hand() -> None:
    assert Digest.of(b"abc") == Digest(3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(b"committe", id="torn off"),
        pytest.param(b"committed\0", id="a byte more"),
        pytest.param(b"comnitted", id="a bit flipped, the size is right"),
        pytest.param(b"\0" * 9, id="zeroed by the file system after a crash"),
    ],
)
def test_damage_is_noticed_and_named(store: ObjectStore, damage: bytes) -> None:
    digest = store.write("shards/x", b"committed")
    assert store.read_checked("shards/x", digest) == b"committed"
    store.write("shards/x", damage)
    with pytest.raises(ValueError, match="damaged") as caught:
        store.read_checked("shards/x", digest)
    message = str(caught.value)
    assert f"{store.url}/shards/x" in message
    assert "committed 9 bytes" in message
    assert f"found {len(damage)} bytes" in message
    assert "\n" not in message


def test_names_are_the_objects_of_one_folder_sorted(store: ObjectStore) -> None:
    for path in ["ledger/predict/b.json", "ledger/predict/a.json", "ledger/predict/deeper/c.json", "ledger/other"]:
        store.write(path, b"{}")
    store.create_exclusive("ledger/predict/B.json", b"{}")
    assert store.names("ledger/predict") == ["B.json", "a.json", "b.json"]
    assert store.names("ledger") == ["other"]
    assert store.names("") == []
    assert store.names("ledger/score") == []


def test_a_listing_is_never_stale(store: ObjectStore) -> None:
    other = ObjectStore(store.url)
    assert other.names("ledger") == []
    for number in range(3):
        store.create_exclusive(f"ledger/{number}", b"")
        assert other.names("ledger") == [str(done) for done in range(number + 1)]


def test_a_walk_tells_sizes_and_times_of_all_below(store: ObjectStore) -> None:
    before = datetime.now(UTC)
    for path, size in {"ledger/a": 0, "shards/b/c": 3, "shards/b/.d.partial": 5, "shards2/e": 1}.items():
        store.write(path, b"x" * size)
    assert {(item.path, item.size_bytes) for item in store.listing("shards")} == {
        ("shards/b/c", 3),
        ("shards/b/.d.partial", 5),
    }
    assert {item.path for item in store.listing()} == {"ledger/a", "shards/b/c", "shards/b/.d.partial", "shards2/e"}
    assert list(store.listing("none")) == []
    for item in store.listing():
        # Some stores keep whole seconds.
        assert before - timedelta(seconds=2) <= item.modified <= datetime.now(UTC) + timedelta(seconds=2)


@pytest.mark.parametrize("url", ["unconditional://single", "memory://single"])
def test_a_single_driver_goes_on_knowingly(url: str) -> None:
    store = ObjectStore(f"{url}{uuid.uuid4().hex}", single_driver=True)
    assert store.create_exclusive("ledger/key", b"first")
    assert not store.create_exclusive("ledger/key", b"second")
    assert store.read("ledger/key") == b"first"


def test_the_check_tries_what_it_promises(near_store: ObjectStore) -> None:
    near_store.check_exclusive()
    assert list(near_store.listing()) == []
    with pytest.raises(StoreRefusedError, match="no write that fails"):
        ObjectStore("unconditional://bucket").check_exclusive()


def test_removing_takes_a_folder_whole_and_nothing_beside_it(store: ObjectStore) -> None:
    for path in ["shards/key/attempt/rows", "shards/key/attempt/arrays/c/0", "shards/key/attempt2/rows"]:
        store.write(path, b"x")
    store.remove("shards/key/attempt")
    assert not store.exists("shards/key/attempt/rows")
    assert not store.exists("shards/key/attempt/arrays/c/0")
    assert store.exists("shards/key/attempt2/rows")
    store.remove("shards/key/attempt2/rows")
    store.remove("shards/key/attempt2/rows")
    store.remove("shards/never")
    assert not store.exists("shards/key/attempt2/rows")


def test_the_first_creation_stands(store: ObjectStore) -> None:
    assert store.create_exclusive("ledger/key", b"first")
    assert not store.create_exclusive("ledger/key", b"second")
    assert store.read("ledger/key") == b"first"
    store.write("ledger/written", b"written")
    assert not store.create_exclusive("ledger/written", b"second")
    store.remove("ledger/key")
    assert store.create_exclusive("ledger/key", b"third")


@pytest.mark.usefixtures("eager_switching")
def test_of_forty_racing_threads_exactly_one_wins(near_store: ObjectStore) -> None:
    store = near_store
    rounds, barrier = 40, threading.Barrier(40)
    won: list[list[int]] = [[] for _ in range(rounds)]

    def race(racer: int) -> None:
        for number in range(rounds):
            barrier.wait()
            if store.create_exclusive(f"ledger/{number}", f"{racer} ".encode() * 1000):
                won[number].append(racer)

    _run_together([threading.Thread(target=race, args=(racer,)) for racer in range(40)])
    assert [len(winners) for winners in won] == [1] * rounds
    for number, (winner,) in enumerate(won):
        assert store.read(f"ledger/{number}") == f"{winner} ".encode() * 1000


def test_a_check_and_its_act_are_one_step_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(f"memory://{uuid.uuid4().hex}")
    both, construct = threading.Barrier(2), MemoryFile.__init__

    def wait_for_the_other(self: MemoryFile, *arguments: Any) -> None:
        # Where only one may come so far, it goes on alone.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)
        construct(self, *arguments)

    won: list[bool] = []
    monkeypatch.setattr(MemoryFile, "__init__", wait_for_the_other)
    _run_together(
        [threading.Thread(target=lambda: won.append(store.create_exclusive("ledger/key", b"1"))) for _ in range(2)]
    )
    assert sorted(won) == [False, True]


@pytest.mark.slow
def test_of_forty_racers_in_four_processes_exactly_one_wins(shared_store: ObjectStore) -> None:
    arguments = [shared_store.url, "{}", str(RACERS_PER_PROCESS), str(ROUNDS)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, *(argument.format(number) for argument in arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [_start_and_wait(process) for process in processes]
    won = sorted((int(line.split()[0]), line.split()[1]) for answer in answers for line in answer.splitlines() if line)
    assert [number for number, _ in won] == list(range(ROUNDS))
    for number, winner in won:
        assert shared_store.read(f"ledger/{number}") == f"{winner}\n".encode() * 20_000
    assert {item.path for item in shared_store.listing()} == {f"ledger/{number}" for number in range(ROUNDS)}


def _start_and_wait(process: "subprocess.Popen[str]") -> str:
    # All wait for a line on their input; whoever is started first runs against those that follow at once.
    answer, _ = process.communicate("go\n", timeout=120)
    assert process.returncode == 0
    return answer


@pytest.mark.usefixtures("eager_switching")
def test_a_reader_sees_the_old_bytes_or_the_new_ones(near_store: ObjectStore) -> None:
    store = near_store
    versions = [letter * 300_000 for letter in (b"a", b"b", b"c")]
    store.write("catalog/set", versions[0])
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add(store.read("catalog/set"))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(30):
        store.write("catalog/set", versions[number % 3])
    done.set()
    for reader in readers:
        reader.join()
    assert seen <= set(versions)


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_failed_write_leaves_the_old_bytes_and_no_litter(
    folder: ObjectStore, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    folder.write("catalog/set", b"old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr(os, "fsync", _raising(full))
        else:
            patch.setattr(Path, "replace", _raising(full))
        with pytest.raises(OSError, match="No space left"):
            folder.write("catalog/set", b"new")
    assert folder.read("catalog/set") == b"old"
    assert _files(folder) == {"catalog/set"}


def test_a_failed_creation_leaves_nothing(folder: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _raising(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            folder.create_exclusive("ledger/key", b"torn")
    assert _files(folder) == set()
    assert folder.create_exclusive("ledger/key", b"whole")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["write", "create_exclusive"])
def test_what_a_killed_writer_leaves_is_no_object(folder: ObjectStore, method: str) -> None:
    folder.write("catalog/other", b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, folder.url, method], check=False)
    assert killed.returncode == 9
    assert folder.names("catalog") == ["other"]
    assert not folder.exists("catalog/set")
    folder.create_exclusive("catalog/set", b"next")
    assert folder.read("catalog/set") == b"next"


def test_bytes_are_on_disk_before_the_name_is(folder: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, link, replace = os.fsync, os.link, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def recorded_link(source: Path, target: str) -> None:
        events.append("name")
        link(source, target)

    def recorded_replace(source: Path, target: str) -> Path:
        events.append("name")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    for change in (folder.write, folder.create_exclusive):
        events.clear()
        change(f"ledger/{change.__name__}", b"data")
        assert events.index("sync file") < events.index("name")
        assert "sync folder" in events[events.index("name") :]


def test_new_folders_are_on_disk_too(folder: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder is an entry of its parent; a crash may take it, with all in it, until the parent is synced.
    synced: set[int] = set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    root = Path(folder.url)
    root.mkdir()
    monkeypatch.setattr(os, "fsync", recorded)
    folder.write("shards/ingest/ab/rows", b"data")
    parents = [root, root / "shards", root / "shards/ingest", root / "shards/ingest/ab"]
    assert [str(parent.relative_to(root)) for parent in parents if parent.stat().st_ino not in synced] == []


@pytest.mark.parametrize("url", ["unconditional://bucket/work", "dir::memory://work"])
def test_a_store_without_conditional_writes_is_refused(url: str) -> None:
    store = ObjectStore(url)
    with pytest.raises(StoreRefusedError, match="no write that fails where an object exists") as caught:
        store.create_exclusive("ledger/key", b"")
    assert url in str(caught.value)
    assert "local folder" in str(caught.value)
    assert not store.exists("ledger/key")


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param(OSError(errno.EPERM, "Operation not permitted"), id="exFAT"),
        pytest.param(OSError(errno.ENOTSUP, "Operation not supported"), id="SMB"),
    ],
)
def test_a_folder_without_hard_links_is_refused(
    folder: ObjectStore, monkeypatch: pytest.MonkeyPatch, reason: OSError
) -> None:
    monkeypatch.setattr(os, "link", _raising(reason))
    with pytest.raises(StoreRefusedError, match="link"):
        folder.create_exclusive("ledger/key", b"")
    assert _files(folder) == set()


def test_a_store_travels_as_its_url(store: ObjectStore) -> None:
    store.write("x", b"1")
    packed = pickle.dumps(store)
    assert len(packed) < 300
    assert pickle.loads(packed) == store
    assert pickle.loads(packed).read("x") == b"1"


@pytest.mark.parametrize("spelling", ["{}", "{}/", "file://{}"], ids=["path", "trailing slash", "URL"])
def test_spellings_of_one_folder(folder: ObjectStore, spelling: str) -> None:
    folder.write("a/b", b"1")
    store = ObjectStore(spelling.format(folder.url))
    assert store.read("a/b") == b"1"
    assert not store.create_exclusive("a/b", b"2")


def test_a_relative_folder_starts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ObjectStore("work").create_exclusive("ledger/key", b"1")
    assert (tmp_path / "work/ledger/key").read_bytes() == b"1"


def _files(folder: ObjectStore) -> set[str]:
    root = Path(folder.url)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def _raising(error: OSError) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def _run_together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_listing_tells_path_size_and_time_of_everything(store: ObjectStore) -> None:
    for path, size in (("b/c.bin", 3), ("a", 0), ("b/.hidden", 5), ("b/d/e", 7)):
        store.write(path, bytes(size))
    listed = store.listing()
    assert [(item.path, item.size_bytes) for item in listed] == [
        ("a", 0),
        ("b/.hidden", 5),
        ("b/c.bin", 3),
        ("b/d/e", 7),
    ]
    assert store.listing("b/d") == [item for item in listed if item.path.startswith("b/d/")]
    assert store.listing("nothing") == []
    first = {item.path: item.modified for item in listed}
    store.write("later", b"")
    assert (
        next(item.modified for item in store.listing() if item.path == "later")
        >= max(first.values())
        > datetime(2001, 1, 1, tzinfo=UTC)
    )


def test_a_listing_follows_links_and_knows_those_that_lead_nowhere(folder: ObjectStore, tmp_path: Path) -> None:
    folder.write("whole", bytes(9))
    root = Path(folder.url)
    (root / "link").symlink_to(root / "whole")
    (root / "broken").symlink_to(root / "gone")
    (root / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    listed = {item.path: item.size_bytes for item in folder.listing()}
    assert set(listed) == {"whole", "link", "broken", "elsewhere"}
    assert listed["link"] == listed["whole"] == 9


def test_a_listing_leaves_out_no_folder_that_it_may_not_look_into(
    folder: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("open/a", b"")
    folder.write("closed/b", b"")
    look = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    # The superuser may look into every folder.
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        folder.listing()
