"""benchmarks/evaluate_suites: on a toy model, both sides are asked the same and say the same."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import evaluate_sides, evaluate_suites
from benchmarks.evaluate_sides import Job, Side
from tasks.data.suites.questions import Question
from tests import toys

TEXTS = ["water", "a fire in the night", "the police said so", "sand"]


def jobs() -> list[Job]:
    """Six questions of two subjects of MMLU, and six of the others."""

    def of(number: int, subject: str, count: int) -> Question:
        options = tuple(f"{text} {number}" for text in TEXTS[:count])
        return Question(f"{subject}:{number}", f"What did they say on day {number}?", options, number % count, subject)

    mmlu = [of(number, subject, 4) for subject in ("anatomy", "management") for number in range(3)]
    solved = [of(number, subject, 4) for subject in ("anatomy", "management") for number in range(10, 15)]
    return [
        Job("MMLU, 5 shots", "mmlu", "letter", 5, mmlu, solved),
        Job("MMLU, 0 shots", "mmlu", "letter", 0, mmlu, solved),
        Job("PIQA", "piqa", "text", 0, [of(number, "", 2) for number in range(6)]),
        Job("OpenBookQA", "openbookqa", "text", 0, [of(number, "", 4) for number in range(6)]),
    ]


@pytest.mark.long
@pytest.mark.slow
def test_both_sides_say_the_same_of_a_toy_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_suites, "in_own_process", lambda work, *arguments: work(*arguments))
    base = toys.write_base(tmp_path / "base", "causal")
    console = Console(record=True, width=200)
    results = evaluate_suites.measured(console, jobs(), base, 1, 256, (2,))
    for found in results.values():
        assert (found["same"], found["different"], found["questions"]) == (1.0, [], 6)
        assert found["accuracy"]["ours"] == pytest.approx(found["accuracy"]["theirs"])
        assert found["farthest"] < 1e-3
        assert found["ratio"]["lm-eval"]["whole"] > 0
    evaluate_suites.show(console, results)
    assert "MMLU, 5 shots" in console.export_text()


def test_another_prompt_another_answer_and_a_missed_target_are_told() -> None:
    job = Job("MMLU, 0 shots", "mmlu", "letter", 0, [Question("1", "?", ("a", "b"), 0)])
    ours = Side(1.0, 1.0, 1.0, {"1": [("?", " A"), ("?", " B")]}, {"1": [-1.0, -1.00001]})
    theirs = Side(1.0, 1.0, 0.0, {"1": [("?", " A"), ("?", " B")]}, {"1": [-1.00001, -1.0]})
    found = evaluate_suites.compare(job, ours, theirs)
    (different,) = found["different"]
    assert different["why"].startswith("a near tie")
    found |= evaluate_suites.rates(job, [{"Luthier": ours, "lm-eval": theirs}])
    assert [said.split(": ")[1].split(",")[0] for said in evaluate_suites.verdict(job.name, found)] == [
        "0.0% of the same answers", "accuracies differ by 100.0 points", "1.00 times as fast",
    ]  # fmt: skip
    theirs.scores["1"] = [-3.0, -1.0]
    assert evaluate_suites.compare(job, ours, theirs)["different"][0]["why"].startswith("no near tie")
    theirs.prompts["1"] = [("? ", "A"), ("? ", "B")]
    with pytest.raises(SystemExit, match="prompts of question 1 differ"):
        evaluate_suites.compare(job, ours, theirs)


def test_the_fastest_batch_size_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {1: 3.0, 4: 1.0, 8: 2.0}
    monkeypatch.setattr(evaluate_sides, "_loaded", lambda base: None)
    monkeypatch.setattr(evaluate_sides, "_evaluated", lambda lm, job, size: Side(scoring=took[size]))
    assert set(evaluate_sides.best_batch(jobs(), Path("base"), list(took)).values()) == {4}
