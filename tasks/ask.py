"""What any model answers to a suite: `luthier evaluate MODEL_DIR --suite NAME [--data DIR] [--shots N] [--limit N]`.

    luthier evaluate models/tuned --base models/base --suite mmlu --data my/mmlu --shots 5 --out tuned.json
    luthier evaluate other/model --suite mmlu --data my/mmlu --shots 5 --against tuned.json

MODEL_DIR is a folder in Hugging Face's layout, or an adapter with its --base. The questions stand in --data: the test
split as test/*, test.jsonl, *_test.csv or validation.*, solved ones as dev/*, *_dev.csv, validation.* or train.*; in a
checkout they may be a benchmark that fetch brought. With --against an earlier result, both are compared question by
question, and only if everything but the model is alike. --out holds every question's scores.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tasks.data.files import Row, read_json, sha256_of, write_json
from tasks.data.sources import digest
from tasks.data.suites.asked import Asked, put
from tasks.data.suites.declared import By, Suite, load_suite, way_of
from tasks.data.suites.questions import Benchmark, Question, read_benchmark, split_files
from tasks.errors import DataError, LuthierError
from tasks.metrics.cards import LIKE, require_alike
from tasks.metrics.choices import by_subject, counted, sections_of
from tasks.metrics.compare import DECIMALS, Measured, Resampling, resample, row_of
from tasks.metrics.identity import card, intervals_card
from tasks.metrics.match import chance
from tasks.metrics.together import Judging, judge_all
from tasks.model.answer import answer, name_of
from tasks.model.load import Model, device, load_base, load_tokenizer, load_tuned, require_finite, use_threads
from tasks.model.turn import turn
from tasks.progress import Progress
from tasks.report.asked import show

BENCHMARKS = Path("data/benchmarks")  # of a checkout, where no --data is named
TESTED, SOLVED = ("test", "validation", "val"), ("dev", "validation", "val", "train")
HOW = Resampling(seed=17, resamples=10_000, confidence=0.95)


@dataclass(frozen=True)
class Asking:
    """What is asked, of which model."""

    model: Path
    base: Path | None
    suite: str
    data: Path | None
    by: By | None
    shots: int
    limit: int | None
    """Questions of each subject at most; of all, where there are no subjects."""
    threads: int
    tokens_at_once: int


def questions_in(asking: Asking, suite: Suite) -> tuple[Benchmark, list[Question], list[Path]]:
    """The questions, the solved ones, and the files that both are from.

    Raises:
        LuthierError: there is no folder, no file of a split, or fewer shots than asked for.
    """
    folder = asking.data or BENCHMARKS / suite.suite
    if not folder.is_dir():
        raise LuthierError(
            f"{folder} is no folder: name the one with {suite.title}'s questions by --data ({suite.origin})."
            if asking.data else f"there are no questions of {suite.title} in {folder}: name their folder by --data."
        )  # fmt: skip
    tested = split_files(folder, TESTED)
    if not tested:
        raise DataError(
            f"{folder} holds no test split: test/*, test.jsonl, *_test.csv, validation.parquet or the like."
        )
    solved = [path for path in split_files(folder, SOLVED) if path not in tested] if asking.shots else []
    if asking.shots and not solved:
        solved = sorted(BENCHMARKS.glob(f"{suite.suite}_dev/*")) if asking.data is None else []
    if asking.shots and not solved:
        raise DataError(f"{folder} holds no solved questions for {asking.shots} shots: dev/*, *_dev.csv, train.jsonl.")
    return read_benchmark(tested), read_benchmark(solved).questions if solved else [], [*tested, *solved]


def limited(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """The first questions of each subject."""
    kept: dict[str, int] = {}
    taken = []
    for question in questions:
        kept[question.subject] = kept.get(question.subject, 0) + 1
        if limit is None or kept[question.subject] <= limit:
            taken.append(question)
    return taken


def model_in(asking: Asking) -> Model:
    """The model, on its device."""
    is_adapter = (asking.model / "adapter_config.json").is_file()
    if is_adapter and asking.base is None:
        raise LuthierError(f"{asking.model} is an adapter: name the model that it belongs to by --base.")
    model = load_tuned(asking.base, asking.model) if is_adapter and asking.base else load_base(asking.model)
    require_finite(model, str(asking.model))
    return model.to(device())


def scores_of(rows: Sequence[Row], how: Resampling) -> Row:
    """By metric {score, low, high, n, groups}, one model alone."""
    counts = counted(rows)
    measured = {key: Measured(count, count, scoring) for key, (count, scoring) in counts.items()}
    drawn = resample(measured, [row["group"] for row in rows], how)
    found = {}
    for key, draws in drawn.items():
        row = row_of(draws, counts[key][1], how)
        found[key] = {"score": row["tuned"], "low": row["tuned_low"], "high": row["tuned_high"], "n": row["n"]}
        found[key] |= {"groups": row["groups"], **card(key)}
    return found


def answers_of(asking: Asking, suite: Suite, by: By, asked: list[Asked]) -> list[Row]:
    """Load the model and let it answer."""
    use_threads(asking.threads)
    model, has_own = model_in(asking), (asking.model / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(asking.model if has_own or asking.base is None else asking.base)
    progress = Progress("evaluate", len(asked), "questions", aside=True)

    def advance(done: float) -> None:
        progress.advance(done, suite.title)

    return answer(model, tokenizer, suite, by, asking.shots, asked, asking.tokens_at_once, advance)


def ask(asking: Asking) -> Row:
    """Let a model answer a suite.

    Returns:
        suite, scores, disciplines, subjects, card (what the numbers were made with), and items: a row a question.
    """
    suite = load_suite(asking.suite)
    by = way_of(suite, asking.by)
    if asking.shots > suite.most_shots:
        raise LuthierError(f"{suite.title} is asked with at most {suite.most_shots} shots, not {asking.shots}.")
    found, solved, files = questions_in(asking, suite)
    questions = limited(found.questions, asking.limit)
    asked = put(suite, by, questions, solved, asking.shots, HOW.seed)
    with turn():
        rows = answers_of(asking, suite, by, asked)
    alike = {
        **suite.model_dump(exclude={"disciplines", "title"}), "by": by, "shots": asking.shots, "asked": len(asked),
        "available": len(found.questions), "left_out": found.left_out, "data_sha256": digest(files),
        "chat_template": "none", "dtype": "float32", "tokens_at_once": asking.tokens_at_once, "seed": HOW.seed,
    }  # fmt: skip
    about = {"model": str(asking.model), "weights_sha256": sha256_of(asking.model), "device": device().type}
    return {
        "suite": name_of(suite, by), "title": suite.title, "shots": asking.shots,
        "chance": round(chance(list(rows)), DECIMALS),
        "scores": scores_of(rows, HOW), "disciplines": by_subject(rows, "discipline"), "subjects": by_subject(rows),
        "intervals": intervals_card(HOW), "card": {**about, LIKE: alike},
        "cut": sum(row["cut"] for row in rows), "items": rows,
    }  # fmt: skip


def against(found: Row, path: Path) -> Row:
    """This model against an earlier one's result, question by question: rows of `judge_all`.

    Raises:
        DataError: the file is no result, or was not made alike.
    """
    try:
        earlier = read_json(path)
        require_alike(found["card"], earlier["card"], str(path))
        (section,) = sections_of(earlier["items"], found["items"]).items()
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no result of luthier evaluate ({type(error).__name__}: {error}).") from None
    judging = Judging(HOW, ("", ""), 0.0, {})
    return judge_all(dict([section]), judging)[section[0]]


def main(asking: Asking, earlier: Path | None, as_json: bool, out: Path | None) -> None:
    """Ask, print, and keep every question's scores in `out`."""
    found = ask(asking)
    if earlier is not None:
        found["against"] = {"file": str(earlier), "sha256": sha256_of(earlier), "metrics": against(found, earlier)}
    if out is not None:
        write_json(out, found)
    if as_json:
        print(json.dumps({key: value for key, value in found.items() if key != "items"}, indent=2, ensure_ascii=False))
    else:
        show(found, out, Console(highlight=False))
