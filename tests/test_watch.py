"""tasks/watch.py: new bytes are told once, and nothing else is."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
import yaml
from moto.server import ThreadedMotoServer

from tasks import watch
from tasks.errors import SourceError, SourceOutageError
from tasks.fetch import Source
from tasks.step import EX_TEMPFAIL, exit_status

OLD, NEW = b"a\n1\n", b"a\n2\n"  # of one length


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(url: str, pinned: bytes = OLD) -> Source:
    return Source(url=url, sha256=sha256(pinned), licence=None)


class Watcher:
    """What is known from look to look, as the file keeps it."""

    def __init__(self, *urls: str) -> None:
        self.sources = {f"s{number}": source(url) for number, url in enumerate(urls)}
        self.seen: dict[str, Any] = {}

    def look(self, run: str) -> dict[str, str]:
        new, known = watch.look(self.sources, self.seen, run)
        self.seen = json.loads(json.dumps(known))
        return new


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "table.csv"
    file.write_bytes(OLD)
    return file


def put(file: Path, content: bytes) -> None:
    """Write at a later time than before, however fast the test is."""
    later = file.stat().st_mtime_ns + 1_000_000_000
    file.write_bytes(content)
    os.utime(file, ns=(later, later))


def test_bytes_are_new_where_they_differ_from_the_pin_or_from_those_seen_last_and_only_once(table: Path) -> None:
    watcher = Watcher(str(table))
    assert watcher.look("1") == {}
    put(table, OLD)
    assert watcher.look("2") == {}  # written again
    put(table, NEW)
    assert watcher.look("3") == {"s0": sha256(NEW)}
    assert watcher.look("4") == {}
    put(table, NEW)
    assert watcher.look("5") == {}
    put(table, OLD)
    assert watcher.look("6") == {"s0": sha256(OLD)}  # back again is new, too
    assert watcher.look("7") == {}


def test_bytes_that_were_never_pinned_are_new_at_the_first_look(table: Path) -> None:
    table.write_bytes(NEW)
    assert Watcher(str(table)).look("1") == {"s0": sha256(NEW)}


def test_a_run_that_is_tried_again_tells_the_same_again_and_no_other_does(table: Path) -> None:
    watcher = Watcher(str(table))
    put(table, NEW)
    told = {"s0": sha256(NEW)}
    assert watcher.look("1") == told
    assert watcher.look("1") == told  # killed before the scheduler knew
    assert watcher.look("2") == {}
    put(table, OLD)
    assert watcher.look("3") == {"s0": sha256(OLD)}
    put(table, b"a\n3\n")
    assert watcher.look("3") == {"s0": sha256(b"a\n3\n")}  # changed again before the second attempt
    assert watcher.look("4") == {}


def test_by_hand_there_is_no_run_to_try_again(table: Path) -> None:
    watcher = Watcher(str(table))
    put(table, NEW)
    assert watcher.look("") == {"s0": sha256(NEW)}
    assert watcher.look("") == {}


def test_a_file_whose_size_and_time_are_as_before_is_not_read(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(str(table))
    read: list[str] = []
    monkeypatch.setattr(watch, "digest_at", lambda url: read.append(url) or sha256(Path(url).read_bytes()))
    watcher.look("1")
    assert read == [str(table)]
    watcher.look("2")
    assert read == [str(table)]
    put(table, OLD)
    watcher.look("3")
    assert len(read) == 2


def test_what_cannot_have_changed_is_never_looked_at() -> None:
    hub = "hf://datasets/owner/name@" + "0" * 40 + "/train.jsonl"
    watcher = Watcher("wheel:no-such-thing==1.0!/file.csv", hub)  # neither is there: a look would fail
    assert watcher.look("1") == {}
    assert watcher.seen == {}


def test_a_source_that_is_gone_is_one_sentence_and_what_was_known_stays(table: Path) -> None:
    watcher = Watcher(str(table))
    watcher.look("1")
    before = watcher.seen
    table.unlink()
    with pytest.raises(SourceError, match="is not there"):
        watcher.look("2")
    assert watcher.seen == before


@pytest.fixture
def here(table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that is watched; where it is."""
    monkeypatch.chdir(table.parent)
    monkeypatch.delenv("AIRFLOW_CTX_DAG_RUN_ID", raising=False)
    model = {"name": "none", "revision": None, "sha256": None, "licence": None}
    fetch = {"model": model, "sources": {"mine": source("table.csv").model_dump()}, "benchmarks": {}}
    Path("params.yaml").write_text(yaml.safe_dump({"fetch": fetch}))
    return table.parent


def test_the_command_prints_the_event_last_and_exits_with_99_where_nothing_is_new(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(watch.main, "watch") == 99
    assert "nothing new in 1 sources that may change (0 cannot)" in capsys.readouterr().out
    put(here / "table.csv", NEW)
    assert exit_status(watch.main, "watch") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"mine (table.csv) has new bytes: sha256 {sha256(NEW)}"
    assert json.loads(said[-1]) == {"sources": {"mine": sha256(NEW)}}
    assert exit_status(watch.main, "watch") == 99


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 server in this process, with one object; a client of it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="watched")
    client.put_object(Bucket="watched", Key="table.csv", Body=OLD)
    fsspec.filesystem("s3").clear_instance_cache()  # one that remembers another server
    client.server = server
    yield client
    server.stop()


def test_an_object_of_a_store_is_looked_at_by_its_etag(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "s3://watched/table.csv"
    watcher = Watcher(url)
    assert watcher.look("1") == {}
    mark = watcher.seen[url]["mark"]
    assert re.fullmatch(r"\S{8,}", mark)
    read: list[str] = []
    whole = watch.digest_at
    monkeypatch.setattr(watch, "digest_at", lambda url: read.append(url) or whole(url))
    assert watcher.look("2") == {}
    assert read == []
    time.sleep(1)
    bucket.put_object(Bucket="watched", Key="table.csv", Body=NEW)  # of the same size
    assert watcher.look("3") == {"s0": sha256(NEW)}
    assert watcher.seen[url]["mark"] != mark
    bucket.put_object(Bucket="watched", Key="table.csv", Body=NEW)
    assert watcher.look("4") == {}


def test_a_store_that_does_not_answer_is_worth_another_attempt(bucket: Any, here: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("table.csv", "s3://watched/table.csv"))
    assert exit_status(watch.main, "watch") == 99
    bucket.server.stop()
    fsspec.filesystem("s3").clear_instance_cache()
    assert exit_status(watch.main, "watch") == EX_TEMPFAIL
    with pytest.raises(SourceOutageError, match="cannot be read"):
        watch.main()
