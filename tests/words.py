"""A tokenizer whose tokens are words, and projects of one source in the working directory, for tests of validate."""

from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from tasks import validate
from tasks.data.files import Row, read_json, write_json
from tasks.data.sources import digest

INPUTS = ("data/raw", "models/base/tokenizer.json", "data/accepted.json")
OUTPUTS = ("data/valid", "data/quarantine", "reports/validation.json", "reports/bias.json", "reports/data.html")


def write_tokenizer(path: Path) -> Path:
    """A tokenizer.json that counts words and knows one special token."""
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106
    words.pre_tokenizer = WhitespaceSplit()
    words.add_special_tokens(["<|mark|>"])
    path.parent.mkdir(parents=True, exist_ok=True)
    words.save(str(path))
    return path


def write_source(name: str = "mine", **files: bytes) -> None:
    """A fetched source: its files (the name's last `_` is a dot), and the manifest; other sources stay as they are."""
    folder, manifest = Path("data/raw") / name, Path("data/raw/manifest.json")
    folder.mkdir(parents=True, exist_ok=True)
    names = [".".join(file.rsplit("_", 1)) for file in files]
    for file, content in zip(names, files.values(), strict=True):
        (folder / file).write_bytes(content)
    sources = read_json(manifest)["sources"] if manifest.exists() else {}
    sources[name] = {"files": names, "sha256": digest(folder / file for file in names)}
    write_json(manifest, {"sources": sources})
    write_tokenizer(Path(INPUTS[1]))


def table(columns: list[str], *rules: Row, **others: Any) -> Row:
    """Section validate.sources.<name>."""
    return {"columns": columns, "may_be_empty": [], "rows": None, "rules": list(rules), **others}


def run(sources: dict[str, Row], **others: Any) -> Row:
    """Run the step as its command does; return reports/validation.json."""
    section = {
        "private": False, "max_quarantined": 0.25, "max_field_bytes": 1000, "samples": 3,
        "bias": {"max_rows": 100, "min_rows": 5, "facets": []}, "sources": sources, **others,
    }  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump({"validate": section}, sort_keys=False))
    validate.main(*map(Path, (*INPUTS, *OUTPUTS)))
    return dict(read_json(Path(OUTPUTS[2])))
