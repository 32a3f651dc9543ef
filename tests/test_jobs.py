"""A stage that a job does: one job, whatever happens to who sends it, on a cluster and in an account alike."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.jobs.declared import Launch
from tasks.jobs.elsewhere import LAUNCHERS
from tasks.jobs.follow import begun, submitted
from tasks.jobs.hold import Hold
from tasks.jobs.send import patience_of
from tests.job_sender import grandchild, order
from tests.launches import FORKS, Site, launch, site, until

NAME = "a-run-0a1b2c-finetune-bbbbbbbbbb-1"
SECOND = NAME[:-1] + "2"
pytestmark = pytest.mark.service


@pytest.fixture(params=["kubernetes", "sagemaker"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with site(request.param, tmp_path) as made:
        yield made


def test_a_job_is_submitted_followed_and_its_log_is_ours_line_by_line(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = there.attempt(f"echo 'step 1 of 2'; until [ -e {go} ]; do sleep 0.1; done; echo 'step 2 of 2'")
    said = attempt.said("step 1 of 2\n")
    assert f"luthier: submitted job {NAME}.\n" in said and "step 2 of 2" not in said
    go.touch()
    said = attempt.ended()
    assert said.count("step 1 of 2\n") == said.count("step 2 of 2\n") == 1
    assert there.submitted == 1


@pytest.mark.long
@pytest.mark.parametrize(("code", "status"), [(0, 0), (99, 99), (75, 75), (74, 74), (1, 1), (3, 1), (137, 75)])
def test_the_stage_s_own_exit_code_is_what_counts(there: Site, code: int, status: int) -> None:
    assert "a last word" in there.sent(f"echo a last word; exit {code}", status)


def test_killed_before_the_answer_to_its_submission_another_attempt_finds_the_job(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    there.lose_answer(100)  # it never learns that it submitted
    first = there.attempt(f"echo begun; until [ -e {go} ]; do sleep 0.1; done; echo done")
    until(lambda: there.submitted)
    first.kill()
    there.api.faults.clear()
    second = there.attempt("echo another; exit 1")
    second.said("goes on with job")
    go.touch()
    said = second.ended()
    assert "begun\ndone\n" in said and "another" not in said
    assert there.submitted == 1


def test_killed_while_it_follows_another_attempt_goes_on_with_the_same_job(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = there.attempt(f"seq 150; until [ -e {go} ]; do sleep 0.1; done; echo done")
    first.said("\n150\n")
    first.kill()
    second = there.attempt("exit 1")
    said = second.said("\n150\n")
    assert "\n51\n" in said and "\n50\n" not in said  # the last lines: the rest is in the first one's log
    go.touch()
    assert second.ended().count("150\ndone\n") == 1
    assert there.submitted == 1


@pytest.mark.long
def test_a_job_that_ended_while_nobody_looked_is_taken(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = there.attempt(f"until [ -e {go} ]; do sleep 0.1; done; echo made")
    first.said("submitted")
    first.kill()
    go.touch()
    time.sleep(1)
    assert "made" in there.sent("echo another; exit 1")
    assert there.submitted == 1


@pytest.mark.long
def test_a_failure_is_reported_once_and_the_next_attempt_is_another_job(there: Site) -> None:
    there.sent("exit 75", 75)
    said = there.sent("echo better")
    assert f"submitted job {SECOND}." in said and "better" in said
    assert there.submitted == 2


def test_a_lost_answer_to_a_submission_is_looked_up_and_no_second_job_made(there: Site) -> None:
    there.lose_answer()
    assert "hello" in there.sent("echo hello")
    assert there.submitted == 1


@pytest.mark.long
def test_two_that_submit_at_once_follow_one_job(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempts = [there.attempt(f"echo begun; until [ -e {go} ]; do sleep 0.1; done; echo both") for _ in range(2)]
    for attempt in attempts:
        attempt.said("begun\n")
    go.touch()
    assert all("both" in attempt.ended() for attempt in attempts)
    assert there.submitted == 1


def test_a_job_that_another_attempt_submits_after_we_saw_none_is_ours_too(there: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in there.env.items():
        monkeypatch.setenv(name, value)
    asked = Launch.model_validate(launch(there.kind))
    ours, theirs = (LAUNCHERS[there.kind](asked) for _ in range(2))
    told = order({"SCRIPT": "true"}), patience_of(asked), Hold()
    assert begun(ours, *told) is None
    first = submitted(theirs, *told)
    second = submitted(ours, *told)
    assert (first.order.name, first.adopted) == (NAME, False)
    assert (second.order.name, second.adopted) == (NAME, True)
    assert there.submitted == 1


def stopped(there: Site, script: str) -> str:
    attempt = there.attempt(script)
    attempt.said("running")
    before = time.monotonic()
    attempt.terminate()
    said = attempt.ended(75)
    assert time.monotonic() - before < 4  # Airflow kills 5 s after it asked
    return said


@pytest.mark.long
def test_a_stopped_attempt_cancels_its_job_which_ends_as_any_stage_does(there: Site, tmp_path: Path) -> None:
    mark = tmp_path / "asked"
    script = f"trap 'sleep 2; touch {mark}; exit 75' TERM; echo running; while :; do sleep 0.1; done"
    assert f"luthier: cancelled job {NAME}." in stopped(there, script)
    assert "another" in there.sent(f"test -e {mark} && echo another")  # once the first has ended
    assert there.submitted == 2


@pytest.mark.long
def test_a_job_that_a_person_ends_is_not_done_again_by_itself(there: Site) -> None:
    attempt = there.attempt("echo running; sleep 60")
    attempt.said("running")
    if there.kind == "kubernetes":
        there.api.delete(NAME)
    else:
        import boto3  # noqa: PLC0415

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        boto3.client("sagemaker", endpoint_url=there.api.url, region_name="eu-west-1", **keys).stop_training_job(TrainingJobName=NAME)
    assert "where that was no wish" in attempt.ended(1)


@pytest.mark.long
def test_a_worker_that_is_killed_leaves_the_job_and_the_next_attempt_goes_on(there: Site, tmp_path: Path) -> None:
    go, log, pid = tmp_path / "go", tmp_path / "log", tmp_path / "pid"
    told = (there.kind, launch(there.kind), {"SCRIPT": f"echo running; until [ -e {go} ]; do sleep 0.1; done"}, {**there.env, "WITH_STARTER": "1"}, str(log))
    worker = FORKS.Process(target=grandchild, args=(pid, *told))
    worker.start()
    until(lambda: log.exists() and "running" in log.read_text())
    worker.kill()
    worker.join()
    until(lambda: "is gone" in log.read_text())
    assert "goes on" in log.read_text() and "cancelled" not in log.read_text()
    until(lambda: not Path(f"/proc/{pid.read_text()}").exists() or os.waitpid(-1, os.WNOHANG))
    go.touch()
    there.sent("exit 1")
    assert there.submitted == 1


@pytest.mark.long
def test_an_outage_is_waited_out_and_one_that_lasts_ends_the_attempt_and_not_the_job(there: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    attempt = there.attempt(f"echo running; until [ -e {go} ]; do sleep 0.1; done; echo done")
    attempt.said("running")
    action = ("GET", ".") if there.kind == "kubernetes" else ("describe_training_job",)
    there.api.fail(*action, "503" if there.kind == "kubernetes" else "refused", 4)
    attempt.said("It is asked again.")
    until(lambda: not there.api.faults[-1].times)
    there.api.fail(*action, "503" if there.kind == "kubernetes" else "refused", 10000)
    other = there.attempt("exit 1", outage_s=0.6)
    assert "a job goes on" in other.ended(75)
    there.api.faults.clear()
    go.touch()
    assert "done" in attempt.ended()
    assert there.submitted == 1
