"""Parts of a stage: its shards made by several workers, and kept where all of them find them.

    LUTHIER_RUN=my-dag/my-run python -m tasks.workspace predict --part 2/4    # every fourth shard from the second
    LUTHIER_RUN=my-dag/my-run python -m tasks.workspace predict               # the stage finds them all

That place is `.luthier/parts/<slug>` of the checkout and, where a git remote carries runs from machine to machine, also
`parts/<slug>` of DVC's remote, by DVC's own file system: the same address, the same credentials. A part only reads the
run's workspace, so parts share it; it commits nothing. Each shard has its digest within, and is checked on arrival.
"""

from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.files import remove
from tasks.data.shards import SUFFIX, fault_of
from tasks.errors import LuthierError, OutageError, ParamsError
from tasks.locks import waited
from tasks.runs import shared
from tasks.runs.attempt import LOCKS
from tasks.runs.calls import OUTAGE, own

FOLDER = Path(".luthier/parts")
SPLIT = ("predict",)  # stages that work shard by shard, and know --part


@dataclass(frozen=True)
class Store:
    """Where the shards of a run are."""

    project: Path
    """The run's workspace: its DVC knows the remote."""
    folder: Path
    """On this machine."""
    slug: str

    def receive(self) -> None:
        """Bring the shards that others sent; one with other bytes than were written is refused by name.

        Raises:
            OutageError: the remote does not answer.
            LuthierError: it cannot be read.
        """
        with self._remote() as (files, there):
            for path in files.find(there) if files and files.exists(there) else ():
                name = files.parts(path)[-1]
                partial = self.folder / f".{name}.arriving"
                if name.endswith(SUFFIX) and not (self.folder / name).exists():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    files.get_file(path, str(partial))
                    if fault := fault_of(partial, name):
                        print(f"{path} in DVC's remote {fault}: it is not used, and made again", flush=True)
                        files.rm_file(path)
                        remove(partial)
                    else:
                        partial.replace(self.folder / name)

    def send(self) -> None:
        """Give the others what they do not have yet.

        Raises:
            OutageError: the remote does not answer.
            LuthierError: it cannot be written.
        """
        with self._remote() as (files, there):
            if files is None:
                return
            known = {files.parts(path)[-1] for path in (files.find(there) if files.exists(there) else ())}
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):
                if path.name not in known:
                    files.makedirs(there, exist_ok=True)
                    files.put_file(str(path), files.join(there, path.name))

    def clear(self) -> None:
        """Forget the shards: the stage has ended well."""
        remove(self.folder)
        with self._remote() as (files, there):
            for path in files.find(there) if files and files.exists(there) else ():
                files.rm_file(path)

    @contextmanager
    def _remote(self) -> Iterator[tuple[Any, str]]:
        """DVC's remote as a file system, and the run's place there; None where all workers are on this machine."""
        if not shared.remote():
            yield None, ""
            return
        from dvc.repo import Repo  # noqa: PLC0415  # half a second to import

        try:
            with Repo(str(self.project)) as repo:
                remote = repo.cloud.get_remote()
                yield remote.fs, remote.fs.join(remote.path, "parts", self.slug)
        except Exception as error:  # of whichever library speaks to the remote
            kind = OutageError if OUTAGE.search(str(error)) else LuthierError
            raise kind(f"the parts of {self.slug} cannot be shared by DVC's remote: {error}") from error


def command(stages: Mapping[str, Mapping[str, Any]], name: str, part: str) -> list[str]:
    """What makes a part of a stage: the stage's own command of dvc.yaml, told which part.

    Raises:
        ParamsError: the stage has no parts.
    """
    if name not in SPLIT or name not in stages:
        raise ParamsError(f"'{name}' is not made in parts; what is: {', '.join(SPLIT)}.")
    return [*own(stages[name]), "--part", part]


def untouched(root: Path, project: Path, name: str) -> bool:
    """Whether DVC would find nothing to do for a stage: it did not change, or was run like this before.

    One part at a time asks DVC, which lets nobody wait. Not by `dvc repro --dry`, which looks into the cache of runs by
    the digests of the last one.
    """
    from dvc.repo import Repo  # noqa: PLC0415

    with waited(root.resolve() / LOCKS / ".dvc"), chdir(project), Repo() as repo, repo.lock:
        stage = repo.stage.load_one(name=name)
        if not stage.changed():
            return True
        stage.save_deps()
        runs = repo.stage_cache
        cached = runs._load(stage)
        return bool(cached and runs._create_stage(cached, wdir=stage.wdir).outs_cached())
