"""tasks/workspace.py: a run has a branch and a worktree of its own, is found again, and leaves the checkout alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tasks.errors import ParamsError
from tasks.runs import branch as branches
from tasks.runs.asked import Asked, from_environment, slug_of
from tasks.runs.changed import changed
from tasks.workspace import close, folder_of, open_workspace
from tests import killed_place
from tests.workspaces import NEW, OLD, PARAMS, call, commit, ended, sha256, shown, started, state, step, write

ODD = [
    "finetune_pipeline/manual__2026-11-26T18:00:00.123456+00:00",
    "finetune_pipeline/manual__2026-11-26T18:00:00.123457+00:00",
    "finetune_pipeline/scheduled__2026-11-26T18:00:00+00:00",
    "finetune_pipeline/asset_triggered__2026-11-26T18:00:00+00:00",
    "study_grid/manual__2026-11-26T18:00:00+00:00/seed 1, rate 0.001",
    "study_grid/manual__2026-11-26T18:00:00+00:00/seed 1, rate 0.01",
    "study_examples/x/15 records, 1 wording", "study_examples/x/15 records 1 wording",
    "a/b", "a/B", "a_b", "A/b", "b", "...", "-", "@{", "a.lock", "ä/ö", "名前", "a" * 400, "a" * 401, "a/../../etc", "~^:?*[\\",
]  # fmt: skip


def test_a_slug_can_be_read_is_a_legal_branch_and_belongs_to_one_run() -> None:
    slugs = [slug_of(run) for run in ODD]
    assert len({slug.lower() for slug in slugs}) == len(ODD)
    for slug in slugs:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{6}", slug) and len(slug) <= 70
        subprocess.run(["git", "check-ref-format", f"refs/heads/runs/{slug}"], check=True)
    assert slugs == [slug_of(run) for run in ODD]
    assert slug_of(ODD[0]).startswith("manual-2026-11-26")
    assert slug_of(ODD[2]).startswith("scheduled-2026-11-26")
    assert "seed-1-rate-0-001" in slug_of(ODD[4])
    with pytest.raises(ParamsError, match="LUTHIER_RUN is empty"):
        slug_of(" ")


TEXT = PARAMS % ("0" * 64)


def test_an_override_changes_its_value_and_no_comment() -> None:
    there = changed(TEXT, {"finetune.seed": 3, "validate.rules.1.at_least": 5, "finetune.optimizer.learning_rate": 1e-5})
    before, after = yaml.safe_load(TEXT), yaml.safe_load(there)
    assert after["finetune"] == {"seed": 3, "optimizer": {"epochs": 1, "learning_rate": 1e-5}}
    assert after["validate"] == {"rules": [{"at_least": 1}, {"at_least": 5}]}
    assert after["fetch"] == before["fetch"]
    for comment in ("# what the toy does", "# no model", "# pinned", "# of the toy"):
        assert comment in there
    assert changed(TEXT, {}) == TEXT


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("finetune.sede", r"no 'finetune.sede': 'sede' is not there. Did you mean 'seed'\? Known there: seed, optimizer."),
        ("finetun.seed", r"'finetun' is not there. Did you mean 'finetune'\? Known there: fetch, validate, finetune."),
        ("finetune.optimizer.epoch", r"Did you mean 'epochs'\?"),
        ("validate.rules.2.at_least", r"Known there: 0 to 1."),
        ("finetune.seed.deeper", r"Known there: none: it is a value."),
    ],
)  # fmt: skip
def test_an_override_of_no_key_names_the_neighbours(key: str, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        changed(TEXT, {key: 1})


def asked(monkeypatch: pytest.MonkeyPatch, **told: str) -> Asked:
    for name in ("LUTHIER_SET", "LUTHIER_REVISION", "LUTHIER_DATA_OF", "LUTHIER_EVENTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"LUTHIER_RUN": "d/r", **told}.items():
        monkeypatch.setenv(name, value)
    return from_environment()


def test_what_the_environment_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"finetune.seed": None, "finetune.method": "", "revision": None, "data_of": None, "more": {}}
    for empty in (nothing, {"more": None}, {}):
        assert asked(monkeypatch, LUTHIER_SET=json.dumps(empty)) == Asked("d/r")
    given: dict[str, Any] = {"finetune.seed": 0, "more": {"finetune.seed": 9, "predict.batch_size": 4}, "revision": "v1"}
    run = asked(monkeypatch, LUTHIER_SET=json.dumps(given), LUTHIER_DATA_OF="2026-11-01", LUTHIER_REVISION="other")
    assert run == Asked("d/r", {"finetune.seed": 0, "predict.batch_size": 4}, "v1", "2026-11-01")
    run = asked(monkeypatch, LUTHIER_EVENTS='[{"sources": {"a": "1"}}, null, {"sources": {"a": "2", "b": "3"}}]')
    assert (run.pins, run.event) == ({"a": "2", "b": "3"}, True)
    assert asked(monkeypatch, LUTHIER_EVENTS="[{}]").event
    assert not asked(monkeypatch, LUTHIER_EVENTS="[]").event


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("LUTHIER_SET", "{", "LUTHIER_SET is no JSON"),
        ("LUTHIER_SET", "[]", "has to be a JSON object"),
        ("LUTHIER_EVENTS", "{}", "has to be a JSON list"),
        ("LUTHIER_SET", '{"more": 3}', "'more' of LUTHIER_SET has to be a JSON object"),
        ("LUTHIER_SET", '{"sed": 3}', "'sed'"),
        ("LUTHIER_EVENTS", '[{"sources": ["a"]}]', "sources"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    with pytest.raises(ParamsError, match=said):
        asked(monkeypatch, **{name: text})


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project, as nobody has used it yet."""
    return write(tmp_path_factory.mktemp("toy") / "here")


@pytest.fixture
def root(toy: Path, tmp_path: Path) -> Path:
    """The toy project."""
    return Path(shutil.copytree(toy, tmp_path / "here", symlinks=True))


def project(root: Path, run: str = "d/r") -> Path:
    return folder_of(root, slug_of(run))


def result(root: Path, run: str = "d/r") -> Any:
    return json.loads((project(root, run) / "models/tuned.json").read_text())


needs_dvc = pytest.mark.service


@needs_dvc
def test_a_run_keeps_to_what_the_checkout_was_when_its_first_task_began(root: Path) -> None:
    (root / "toy.py").write_text((root / "toy.py").read_text().replace("'one'", "'not committed'"))
    (root / "new.txt").write_text("nobody added this")
    (root / "staged.txt").write_text("added")
    call(root, "git", "add", "staged.txt")
    before = state(root)
    step(root, "fetch")
    assert state(root) == before  # branch, index and files
    call(root, "git", "stash", "--include-untracked", "--quiet")  # a person goes on to other work
    (root / "params.yaml").write_text("changed: meanwhile\n")
    (root / "toy.py").write_text("raise SystemExit('changed meanwhile')")
    (root / "given/table.csv").write_text(NEW)
    before = state(root)
    for name in ("validate", "finetune"):
        step(root, name)
    assert state(root) == before
    assert result(root) == {
        "code": "not committed", "finetune": {"seed": 17, "optimizer": {"epochs": 1, "learning_rate": 1e-3}}, "rows": OLD.upper(),
    }  # fmt: skip
    name = f"runs/{slug_of('d/r')}"
    assert shown(root, name, "new.txt") == "nobody added this"
    assert set(yaml.safe_load(shown(root, name, "dvc.lock"))["stages"]) == {"fetch", "validate", "finetune"}
    told = call(root, "git", "log", "--format=%s", name).splitlines()
    assert told[:4] == ["finetune is done", "validate is done", "fetch is done", "d/r begins"]


@needs_dvc
def test_runs_side_by_side_and_a_person_s_own_repro_do_not_mix(root: Path) -> None:
    own = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    )  # fmt: skip
    seeds = {f"d/r{seed}": seed for seed in (1, 2)}
    tasks = [started(root, "finetune --all", run, {"finetune.seed": seed}) for run, seed in seeds.items()]
    said = [ended(task) for task in tasks]
    assert own.wait() == 0
    assert not any("ERROR" in text or "luthier:" in text for text in said), said
    for run, seed in seeds.items():
        assert result(root, run)["finetune"]["seed"] == seed
        assert yaml.safe_load(shown(root, f"runs/{slug_of(run)}", "params.yaml"))["finetune"]["seed"] == seed
    assert json.loads((root / "models/tuned.json").read_text())["finetune"]["seed"] == 17
    assert call(root, "git", "status", "--porcelain") == "?? dvc.lock\n"
    said3 = step(root, "finetune --all", "d/r3", {"finetune.seed": 2})
    assert "Running stage" not in said3  # what r2 made is there


@needs_dvc
def test_a_worktree_that_somebody_removed_is_there_again_with_what_was_done(root: Path) -> None:
    step(root, "fetch", sets={"finetune.seed": 5})
    step(root, "validate")
    shutil.rmtree(project(root))
    said = step(root, "finetune", sets={"finetune.seed": 6})  # asked once, when the run began
    assert "Running stage 'finetune'" in said
    assert result(root)["finetune"]["seed"] == 5
    shutil.rmtree(project(root))
    step(root, "finetune", status=99)
    assert result(root)["rows"] == OLD.upper()


@needs_dvc
@pytest.mark.long
@pytest.mark.parametrize("found", [False, True], ids=["begins", "is found again"])
def test_killed_after_any_call_while_it_is_made_the_next_makes_it_whole(root: Path, found: bool, tmp_path: Path) -> None:
    if found:
        killed_place.begun(root)
    assert len(list(killed_place.killed(root, tmp_path, 2, 5))) > 1  # all of them: python -m tests.killed_place


@needs_dvc
def test_killed_while_git_makes_the_worktree_the_next_task_makes_it_whole(root: Path) -> None:
    there = open_workspace(root, Asked("d/r"))
    shutil.rmtree(there.project)
    admin = root / ".git/worktrees" / there.slug
    (admin / "locked").write_text("initializing")  # what git leaves when it is killed there
    (admin / "index.lock").write_text("")
    there.project.mkdir()
    (there.project / ".git").write_text(f"gitdir: {admin}\n")
    assert "Running stage 'fetch'" in step(root, "fetch")


@needs_dvc
def test_killed_while_git_commits_a_stage_the_next_attempt_commits_it(root: Path) -> None:
    step(root, "fetch")
    name = f"runs/{slug_of('d/r')}"
    call(root, "git", "update-ref", f"refs/heads/{name}", f"{name}~1")  # fetch is done, and not yet committed
    git = root / ".git"
    for lock in (git / f"worktrees/{slug_of('d/r')}/index.lock", git / f"worktrees/{slug_of('d/r')}/HEAD.lock", git / f"refs/heads/{name}.lock"):
        lock.write_text("")
    step(root, "fetch", status=99)
    assert "fetch" in yaml.safe_load(shown(root, name, "dvc.lock"))["stages"]


@needs_dvc
def test_a_killed_task_is_gone_on_with_and_what_it_left_is_ended(root: Path) -> None:
    slow = (root / "toy.py").read_text() + "\nimport os, time\nif step == 'validate' and not P('../slow').exists():\n    P('../slow').touch(); print('slow', os.getpid(), flush=True); time.sleep(600)\n"
    (root / "toy.py").write_text(slow)
    step(root, "fetch")
    task = started(root, "validate")
    assert task.stdout is not None
    line = next(line for line in task.stdout if line.startswith("slow "))
    task.kill()
    task.wait()
    assert "Running stage 'validate'" in step(root, "validate")
    with suppress(psutil.NoSuchProcess):  # ended; whoever adopted it may not have looked after it yet
        assert psutil.Process(int(line.split()[1])).status() == psutil.STATUS_ZOMBIE


@needs_dvc
def test_raw_data_of_an_earlier_run_come_with_their_pins(root: Path) -> None:
    step(root, "validate --all", "d/first")
    (root / "given/table.csv").write_text(NEW)
    (root / "params.yaml").write_text(PARAMS % sha256(NEW))
    commit(root, "new data")
    step(root, "validate --all", "d/second")
    said = step(root, "fetch", "d/third", {"data_of": slug_of("d/first")}, status=99)
    assert "Stage 'fetch' didn't change, skipping" in said
    step(root, "validate", "d/third", status=99)  # out of DVC's cache of earlier runs
    step(root, "finetune", "d/third")
    assert result(root, "d/third")["rows"] == OLD.upper()
    name = f"runs/{slug_of('d/third')}"
    assert yaml.safe_load(shown(root, name, "params.yaml"))["fetch"]["sources"]["table"]["sha256"] == sha256(OLD)
    assert result_of_second(root) == NEW.upper()


def result_of_second(root: Path) -> str:
    return (project(root, "d/second") / "data/valid.csv").read_text()


@needs_dvc
@pytest.mark.long
def test_raw_data_of_a_moment_are_those_that_were_newest_then(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step(root, "fetch", "d/first")
    time.sleep(1.1)  # git's clock has seconds
    between = call(root, "date", "-u", "+%Y-%m-%dT%H:%M:%S+00:00").strip()
    time.sleep(1.1)
    (root / "given/table.csv").write_text(NEW)
    (root / "params.yaml").write_text(PARAMS % sha256(NEW))
    step(root, "fetch", "d/second")  # of a checkout whose new pins nobody committed
    step(root, "fetch", "d/again", status=99)
    now = "2099-01-01"
    step(root, "fetch", "d/then", LUTHIER_DATA_OF=between, status=99)
    assert (project(root, "d/then") / "data/raw/table.csv").read_text() == OLD
    step(root, "fetch", "d/now", LUTHIER_DATA_OF=now, status=99)  # not those of d/then, which are older
    assert (project(root, "d/now") / "data/raw/table.csv").read_text() == NEW
    said = step(root, "fetch", "d/never", LUTHIER_DATA_OF="2001-02-03T00:00:00+00:00", status=1)
    assert "no run and no commit of dvc.lock is as old as 2001-02-03T00:00:00+00:00" in said


@needs_dvc
@pytest.mark.long
def test_raw_data_that_are_not_there_any_more_are_said_to_be_missing(root: Path) -> None:
    step(root, "fetch", "d/first")
    begun = slug_of("d/first")
    said = step(root, "fetch", "d/bare", {"data_of": "main"}, status=1)
    assert "luthier: workspace:" in said and "main has no raw data" in said
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(project(root, "d/first"))
    said = step(root, "fetch", "d/third", {"data_of": begun}, status=1)
    assert f"the raw data of {begun} are not in DVC's cache any more" in said


@needs_dvc
def test_a_run_that_new_data_started_is_pinned_to_the_bytes_that_were_seen(root: Path) -> None:
    (root / "given/table.csv").write_text(NEW)
    seen = json.dumps([{"sources": {"table": sha256(NEW)}}])
    step(root, "validate --all", "d/told", LUTHIER_EVENTS=seen)
    assert (project(root, "d/told") / "data/valid.csv").read_text() == NEW.upper()
    step(root, "fetch", "d/untold", LUTHIER_EVENTS="[{}]", status=99)  # from outside, without a digest: as they are
    assert (project(root, "d/untold") / "data/raw/table.csv").read_text() == NEW
    (root / "given/table.csv").write_text(NEW + "5,6\n")
    said = step(root, "fetch", "d/wrong", LUTHIER_EVENTS='[{"sources": {"tabel": "1"}}]', status=1)
    assert "the event is of a source 'tabel'. Did you mean 'table'? params.yaml has: table." in said
    assert (root / "params.yaml").read_text() == PARAMS % sha256(OLD)


@needs_dvc
def test_bytes_that_changed_again_since_they_were_seen_stop_the_run(root: Path) -> None:
    (root / "given/table.csv").write_text(NEW + "5,6\n")
    said = step(root, "fetch", LUTHIER_EVENTS=json.dumps([{"sources": {"table": sha256(NEW)}}]), status=1)
    assert "other bytes than pinned" in said


@needs_dvc
@pytest.mark.long
def test_a_table_under_dvc_comes_as_the_run_pins_it(root: Path) -> None:
    (root / "tables").mkdir()
    (root / "tables/mine.csv").write_text(OLD)
    call(root, sys.executable, "-m", "dvc", "add", "--quiet", "tables/mine.csv")
    (root / "params.yaml").write_text((PARAMS % sha256(OLD)).replace("given/table.csv", "tables/mine.csv"))
    commit(root, "luthier use")
    open_workspace(root, Asked("d/r"))
    (root / "tables/mine.csv").unlink()  # DVC may have linked it to its cache
    (root / "tables/mine.csv").write_text(NEW)
    step(root, "fetch")
    assert (project(root) / "data/raw/table.csv").read_text() == OLD
    step(root, "fetch", "d/new", LUTHIER_EVENTS=json.dumps([{"sources": {"table": sha256(NEW)}}]))
    assert (project(root, "d/new") / "data/raw/table.csv").read_text() == NEW


@needs_dvc
@pytest.mark.long
def test_a_checkout_below_the_top_of_its_repository(tmp_path: Path) -> None:
    top = tmp_path / "mono"
    (top / "other").mkdir(parents=True)
    (top / "other/file.txt").write_text("not ours")
    root = write(top / "models/mine", top)
    step(root, "finetune --all", sets={"finetune.seed": 2})
    there = open_workspace(root, Asked("d/r"))
    assert there.project == root / ".luthier/runs" / there.slug / "models/mine"
    assert json.loads((there.project / "models/tuned.json").read_text())["finetune"]["seed"] == 2
    assert yaml.safe_load(shown(root, there.branch, "params.yaml"))["finetune"]["seed"] == 2
    close(there)
    assert not there.project.exists()
    step(root, "finetune", status=99)


@needs_dvc
def test_without_a_git_repository_a_run_says_so_in_a_sentence(tmp_path: Path) -> None:
    root = write(tmp_path / "here")
    shutil.rmtree(root / ".git")
    call(root, sys.executable, "-m", "dvc", "config", "core.no_scm", "true")
    said = step(root, "fetch", status=1)
    assert [line for line in said.splitlines() if "luthier" in line] == [
        f"luthier: workspace: {root} is not in a git repository, and a run is pinned to a commit: git init, then commit."
    ]


@needs_dvc
@pytest.mark.long
def test_a_revision_by_tag_by_branch_or_by_run_is_what_runs(root: Path) -> None:
    call(root, "git", "tag", "v1")
    (root / "toy.py").write_text((root / "toy.py").read_text().replace("'one'", "'two'"))
    commit(root, "two")
    step(root, "finetune --all", "d/old", {"revision": "v1", "finetune.seed": 3})
    assert (result(root, "d/old")["code"], result(root, "d/old")["finetune"]["seed"]) == ("one", 3)
    step(root, "finetune --all", "d/new", LUTHIER_REVISION="main")
    assert result(root, "d/new")["code"] == "two"
    said = step(root, "finetune --all", "d/same", {"revision": slug_of("d/old")})
    assert said.count("didn't change, skipping") == 3
    assert result(root, "d/same") == result(root, "d/old")
    said = step(root, "fetch", "d/none", {"revision": "v2"}, status=1)
    assert "'v2' is no git revision, run or date here; the newest are:" in said and "main" in said
    assert "Known there" in step(root, "fetch", "d/key", {"finetune.sed": 1}, status=1)
    for run in ("d/none", "d/key"):  # nothing is left of a run that could not begin
        assert not branches.tip(root, f"runs/{slug_of(run)}")
        assert not project(root, run).exists()
    step(root, "fetch", "d/key", {"finetune.seed": 1}, status=99)


@needs_dvc
def test_a_closed_workspace_opens_again_with_every_output_and_a_failed_one_stays(root: Path) -> None:
    step(root, "finetune --all")
    there = open_workspace(root, Asked("d/r"))
    close(there)
    assert not there.project.exists()
    assert there.branch not in call(root, "git", "worktree", "list")
    again = open_workspace(root, Asked("d/r"))
    assert again == there
    assert result(root)["rows"] == OLD.upper()
    step(root, "fetch", "d/bad", {"fetch.sources.table.sha256": "0" * 64}, status=1)
    assert (project(root, "d/bad") / "params.yaml").exists()


@needs_dvc
def test_two_who_open_a_run_at_once_find_one_branch(root: Path) -> None:
    code = "from pathlib import Path; from tasks.runs.asked import Asked; from tasks.workspace import open_workspace; open_workspace(Path.cwd(), Asked('d/r'))"
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for one in both:
        _, said = one.communicate()
        assert one.returncode == 0, said
    assert call(root, "git", "rev-list", "--count", f"main..runs/{slug_of('d/r')}").strip() == "1"
