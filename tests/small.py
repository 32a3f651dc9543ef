"""A small project: this very code in a git repository of its own, with a toy model and some dozens of real articles.

    root = write(tmp_path)      # committed, with DVC: what `dvc repro` and the DAGs run is what they run here

Everything in it is real but small: a training takes a few steps of a Llama of two layers.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests import toys

ROOT = Path(__file__).resolve().parent.parent
GIT = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")


def params() -> dict[str, Any]:
    """The project's own params.yaml, made small."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    url = {"url": "data/articles.csv", "sha256": "", "licence": None}
    document["fetch"] = {
        "model": {"name": "toy", "revision": None, "sha256": None, "licence": None},
        "sources": {"articles": url}, "benchmarks": {},
    }  # fmt: skip
    rules = [{"rule": "expect_table_row_count_to_be_between", "min_value": 5}]
    source = {"columns": ["document", "summary"], "may_be_empty": [], "rows": None, "rules": rules}
    document["validate"] |= {"bias": {"max_rows": 10, "min_rows": 5, "facets": []}, "sources": {"articles": source}}
    part = {
        "family": "summarise", "source": "articles", "fields": {"document": "document", "summary": "summary"},
        "constants": {}, "max_words": {"input": 150, "target": 40}, "wordings": 1, "weight": None, "replay": False,
        "take": {"train": 16, "dev": 4, "test": 12},
    }  # fmt: skip
    document["expand"] |= {
        "sources": {"articles": {"group": None, "text": "document", "given_split": None}},
        "mixture": [part], "replay_share": 0.0,
    }  # fmt: skip
    document["finetune"] = toys.PARAMS | {"max_prompt_tokens": 800, "max_new_tokens": {"summarise": 160}}
    document["finetune"]["care"] = toys.PARAMS["care"] | {"look_every": 4, "save_every": 1}
    document["predict"] |= {
        "threads": 1, "suites": [], "perturbed": {"kinds": ["typos"], "examples": 2}, "repeated": 2,
    }  # fmt: skip
    document["evaluate"] |= {"resamples": 200, "metrics": {"summarise": ["rouge1", "rougeL", "empty"]}}
    document["promote"] |= {
        "min_examples": 2, "floors": {}, "may_forget": None, "guards": {}, "approval": "none",
    }  # fmt: skip
    return document


def write(root: Path, **changes: Any) -> Path:
    """Write the project into `root`, which is made, and commit it.

    Args:
        root: its folder.
        changes: sections of params.yaml that differ, merged by key.
    """
    for name in _files():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    toys.model("causal").save_pretrained(root / "toy")
    toys.tokenizer("causal").save_pretrained(root / "toy")
    document = params()
    for section, values in changes.items():
        document[section] |= values
    write_table(root, 60, document)
    with (root / ".gitignore").open("a") as file:
        file.write("/toy/\n")
    call(root, "git", "init", "--quiet", "--initial-branch=main")
    commit(root, "a small project")
    return root


def write_table(root: Path, rows: int, document: dict[str, Any] | None = None) -> None:
    """The table of so many articles, pinned in params.yaml if its document is given."""
    import pandas as pd  # noqa: PLC0415

    from tasks.data.files import sha256_of  # noqa: PLC0415

    table = root / "data/articles.csv"
    table.parent.mkdir(exist_ok=True)
    pd.DataFrame(toys.articles()[:rows])[["document", "summary"]].to_csv(table, index=False)
    if document is not None:
        document["fetch"]["sources"]["articles"]["sha256"] = sha256_of(table)
        (root / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _files() -> list[str]:
    """What of this checkout is code and settings, committed or not yet."""
    listed = call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard")
    wanted = ("tasks/", "dags/", "docker/", ".dvc/", "data/accepted.json", "dvc.yaml", "pyproject.toml", ".gitignore", ".dvcignore")
    return [name for name in listed.splitlines() if name.startswith(wanted) and (ROOT / name).is_file()]


def commit(root: Path, message: str) -> None:
    call(root, "git", *GIT, "add", ".")
    call(root, "git", *GIT, "commit", "--quiet", "--allow-empty", "-m", message)


def call(root: Path, *command: str, ok: bool = True, **env: str) -> str:
    """What a command prints; it has to succeed unless said."""
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment() | env
    )
    assert done.returncode == 0 or not ok, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """Of a command in the project: its own code comes first, and nothing of this checkout's settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MLFLOW_TRACKING"))}
    ours.pop("PYTHONPATH", None)
    return ours | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
