"""tasks/promote, approval and rollback: what the decision and a person's word do to a real registry."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import approval, package, promote, register, rollback
from tasks.data.files import read_json, write_json
from tasks.data.sealed import seal
from tasks.data.shipped import SHIPPED
from tasks.errors import SealError, TrackingError
from tasks.tracking import champion, registry, server
from tasks.tracking.models import logged_folder, model_folder
from tests.trained import PROMOTE, write_project, write_scores

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose tuned model is registered; nobody has to approve it."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "LUTHIER_SIGNING_KEY", "LUTHIER_TRUSTED_KEYS"):
        monkeypatch.delenv(name, raising=False)
    write_project(tmp_path)
    register.main()
    return tmp_path


def _other_model(project: Path, tuned: float) -> None:
    """Another adapter, with this share of the target's words, as the challenger."""
    card = project / "models/tuned/README.md"
    card.write_text(f"trained again, {tuned}")  # another digest of the folder
    write_scores(project, 0.3, tuned)
    register.main()


def _version(number: int) -> registry.Version:
    found = registry.get_version("luthier", str(number))
    assert found is not None
    return found


def _champion() -> int | None:
    found = registry.get_version("luthier", "champion")
    return found.number if found else None


def _outcome() -> dict[str, Any]:
    found: dict[str, Any] = read_json(promote.OUTCOME)
    return found


def _ask_for_approval(project: Path) -> None:
    params = read_json(project / "params.yaml")
    params["promote"] = PROMOTE | {"approval": "airflow", "approvers": ["ann", "bob"]}
    (project / "params.yaml").write_text(json.dumps(params))


def _looked(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `--look` hands to Airflow."""
    capsys.readouterr()
    promote.main(look=True)
    shown: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return shown


def _answer(packet: str, decision: str, by: str) -> None:
    approval.main(version=1, packet=packet, decision=decision, by=by)


def test_promotion_and_rollback_leave_their_trace(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote.main()
    assert (_outcome()["version"], _outcome()["alias"], _outcome()["verdict"]) == (1, "champion", "promote")
    promote.main()
    assert _outcome()["verdict"] == "already champion"

    _other_model(project, 0.4)  # worse than the champion's 0.6
    promote.main()
    assert (_outcome()["verdict"], _champion()) == ("reject", 1)

    _other_model(project, 0.9)
    promote.main()
    assert _champion() == 3
    tags = _version(3).tags
    assert tags["luthier.previous_champion"] == "1"
    assert "Champion (version 1) has summarise.rouge1" in tags["luthier.reason"]
    assert tags["luthier.promoted_at"].endswith("+00:00")
    assert "promote.approval: none" in tags["luthier.promoted_by"]
    assert len(tags["luthier.promoted_on"]) == 64

    rollback.main("it answers in capitals")
    assert _champion() == 1
    assert "as when it was evaluated" in capsys.readouterr().out
    taken = _version(3).tags
    assert taken["luthier.rolled_back"] == "it answers in capitals"
    promote.main()
    assert "rolled back once: it answers in capitals" in _outcome()["reason"]
    assert _champion() == 1
    with pytest.raises(TrackingError, match="none to go back to"):
        rollback.main("again")


def test_going_back_passes_over_what_was_taken_back_and_to_a_named_champion_only(project: Path) -> None:
    promote.main()
    for tuned in (0.75, 0.9):
        _other_model(project, tuned)
        promote.main()
    assert _champion() == 3
    _other_model(project, 0.4)  # version 4, never champion
    with pytest.raises(
        TrackingError, match="version 4 never was champion, so no gate has seen it; those that were: 1, 2, 3"
    ):
        rollback.main("why not", to=4)
    with pytest.raises(TrackingError, match="is the champion of 'luthier' already"):
        rollback.main("why not", to=3)
    rollback.main("slow", to=2)
    rollback.main("slow too")
    assert _champion() == 1
    with pytest.raises(TrackingError, match="none to go back to"):
        rollback.main("and this")


def test_a_version_whose_shipped_code_is_changed_is_neither_promoted_nor_gone_back_to(project: Path) -> None:
    promote.main()
    _other_model(project, 0.9)
    (code,) = logged_folder(model_folder(_version(2), project)).glob("code/tasks/model/answer.py")
    text = code.read_text()
    code.write_text(text + "\n")
    with pytest.raises(SealError, match=r"models:/luthier/2 is not what was signed: code/tasks/model/answer\.py has other"):
        promote.main()
    assert _champion() == 1
    code.write_text(text)
    promote.main()
    (code,) = logged_folder(model_folder(_version(1), project)).glob("code/tasks/serve.py")
    code.unlink()
    with pytest.raises(SealError, match=r"models:/luthier/1 is not what was signed: code/tasks/serve\.py is missing"):
        rollback.main("it swears")
    assert _champion() == 2


def test_a_version_of_older_code_is_not_promoted_until_it_is_registered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_project(tmp_path)
    with monkeypatch.context() as before:
        before.setattr(register, "FORMAT", {})
        before.setattr(
            package, "seal", lambda folder, about: seal(folder, {key: about[key] for key in about if key != SHIPPED})
        )
        register.main()
    promote.main()
    assert _champion() is None
    assert "registered before its code was signed: register the model again" in _outcome()["reason"]
    register.main()
    promote.main()
    assert _champion() == 2


def test_a_version_whose_weights_are_damaged_is_not_gone_back_to(project: Path) -> None:
    promote.main()
    _other_model(project, 0.9)
    promote.main()
    (weights,) = model_folder(_version(1), project).glob("tuned/adapter_model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    with pytest.raises(SealError, match=r"tuned/adapter_model\.safetensors has other bytes"):
        rollback.main("it swears")
    assert _champion() == 2


def test_a_yes_of_the_gate_waits_for_a_person(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ask_for_approval(project)
    promote.main()
    assert (_outcome()["verdict"], _champion()) == ("waits for approval", None)
    assert "nobody has approved it. Trigger promote_model in Airflow" in _outcome()["reason"]

    shown = _looked(capsys)
    assert (shown["version"], shown["approval"]) == (1, "airflow")
    assert "may version 1 of 'luthier' become champion" in shown["subject"].lower()
    assert "summarise" in shown["body"]
    _answer(shown["packet"], "approve", "ann")
    promote.main(packet=shown["packet"])
    tags = registry.get_version("luthier", "champion").tags  # type: ignore[union-attr]
    assert (_champion(), tags["luthier.promoted_by"]) == (1, "ann")
    assert tags["luthier.packet"] == shown["packet"]
    assert json.loads(tags[approval.TAG])["packet_sha256"] == shown["packet"]


@pytest.mark.parametrize(
    ("decision", "by", "told"),
    [("reject", "ann", "ann rejected it"), ("approve", "eve", "'eve' is none of promote.approvers (ann, bob)")],
)
def test_a_no_and_a_stranger_s_yes_move_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], decision: str, by: str, told: str
) -> None:
    _ask_for_approval(project)
    _answer(_looked(capsys)["packet"], decision, by)
    promote.main()
    assert _champion() is None
    assert told in _outcome()["reason"]


def test_an_approval_of_other_evidence_counts_for_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ask_for_approval(project)
    _answer("0" * 64, "approve", "ann")
    promote.main()
    assert _champion() is None
    assert "answered to other evidence" in _outcome()["reason"]
    with pytest.raises(TrackingError, match=r"what was approved .* is not what there is now"):
        promote.main(packet="0" * 64)
    assert _champion() is None


def test_an_approval_that_was_forged_or_changed_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ask_for_approval(project)
    packet = _looked(capsys)["packet"]
    _answer(packet, "reject", "ann")
    changed = json.loads(_version(1).tags[approval.TAG]) | {"decision": "approve"}
    registry.add_tags(_version(1), {approval.TAG: json.dumps(changed)})
    with pytest.raises(SealError, match="not what was signed"):
        promote.main()
    registry.add_tags(_version(1), {approval.TAG: json.dumps({"decision": "approve", "by": "ann"})})
    with pytest.raises(SealError, match="no signature"):
        promote.main()
    assert _champion() is None


def test_two_champions_are_compared_by_answers_made_alike(project: Path) -> None:
    """The champion was scored in other batches: it is asked again, under the challenger's card, and that is kept."""
    promote.main()
    params = read_json(project / "params.yaml")
    params["predict"] = {
        "seed": 17, "threads": 1, "batch_size": 4, "tokens_at_once": 256, "suites": [], "repeated": 0,
        "perturbed": {"kinds": [], "examples": 0},
    }  # fmt: skip
    (project / "params.yaml").write_text(json.dumps(params))
    card = project / "models/tuned/README.md"
    card.write_text("trained again")
    write_scores(project, 0.3, 0.9, batch_size=4)
    register.main()
    promote.main()
    assert _champion() == 2
    assert "Champion (version 1) has summarise.rouge1" in _outcome()["reason"]
    kept = server.client().list_artifacts(_version(1).run_id, "rescored")
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("cards.json", lambda file: file.write_text(json.dumps({"intervals": {}})), "cards.json has other bytes"),
        ("cards.json", Path.unlink, "cards.json is missing"),
        (
            "metrics.json",
            lambda file: file.write_text(file.read_text().replace("better", "bettEr")),
            "metrics.json has",
        ),
        ("manifest.json", Path.unlink, "has no manifest"),
    ],
)
def test_evidence_that_was_changed_or_lost_stops_the_promotion(
    project: Path, name: str, damage: Callable[[Path], object], told: str
) -> None:
    (file,) = project.glob(f"mlruns/*/artifacts/evidence/*/{name}") or project.glob(f"mlruns/**/evidence/*/{name}")
    file.chmod(0o644)
    content = file.read_bytes()
    file.unlink()  # what may be linked elsewhere keeps its bytes
    file.write_bytes(content)
    damage(file)
    with pytest.raises(SealError, match=told):
        promote.main()
    assert _champion() is None


def test_what_runs_beside_a_promotion_is_told_who_was_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = promote.carry_out

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(promote, "carry_out", real)
        _other_model(project, 0.9)
        promote.main()
        return real(*arguments)

    monkeypatch.setattr(promote, "carry_out", late)
    with pytest.raises(champion.MovedError, match="made version 2 champion first"):
        promote.main()
    assert _champion() == 2


def test_no_challenger_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_json(tmp_path / "params.yaml", {"register": {"model": "luthier"}, "promote": PROMOTE})
    with pytest.raises(TrackingError, match=r"has no challenger: run 'python -m tasks\.register' first"):
        promote.main()
    with pytest.raises(TrackingError, match="nothing to go back from"):
        rollback.main("why not")
    with pytest.raises(TrackingError, match="--reason is empty"):
        rollback.main("  ")


@pytest.mark.long
def test_killed_after_any_write_to_mlflow_register_and_promote_end_where_undisturbed_ones_do(tmp_path: Path) -> None:
    # Of its own: what forks must not have used torch. Every third write; without the 3, all 30 of them, in 100 s.
    subprocess.run([sys.executable, "-m", "tests.killed_steps", "steps", tmp_path, "3"], check=True, cwd=ROOT)
