"""The champion, asked again as the challenger was: numbers that were not made alike are not compared.

A champion was evaluated when it was registered: on that day's test split, by that day's limits, in that day's batches.
Where any of it differs from the challenger's, its delivered model answers the challenger's examples under the
challenger's card, each model by its own prompt contract. What it answered is sealed and kept with its MLflow run, so
the same pair is not asked twice.
"""

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from tasks.candidate import Candidate
from tasks.chain.cache import cache_of, object_of, way_back
from tasks.chain.record import key_of
from tasks.data.files import Row, link_or_copy, read_json, read_rows, sha256_of, write_rows
from tasks.data.sealed import require_sealed, seal
from tasks.data.signing import known_keys
from tasks.errors import TrackingError
from tasks.lineage import RECORD
from tasks.metrics.cards import LIKE
from tasks.metrics.challenge import unlike
from tasks.metrics.evidence import Gate
from tasks.params import load
from tasks.progress import Progress
from tasks.tracking.evidence import add_files, fetch_files
from tasks.wiring import outputs

FILES = ("generations", "choices")


def alike(champion: Candidate, challenger: Candidate, gate: Gate) -> Candidate:
    """The champion with answers that may be compared with the challenger's: its own, kept ones, or made now.

    Raises:
        TrackingError: they have to be made, and the challenger's test split is not here.
    """
    if champion.evidence.weights == challenger.evidence.weights or not unlike(challenger.evidence, champion.evidence):
        return champion
    choices = gate.primary.endswith(".accuracy")
    key = _digest([champion.evidence.weights, challenger.evidence.card[LIKE], challenger.evidence.test, choices])
    with tempfile.TemporaryDirectory(prefix="luthier-rescore-") as folder:
        place = f"rescored/{key[:12]}"
        try:
            found = fetch_files(champion.version.run_id, place, Path(folder) / "found")
        except TrackingError:  # never asked
            found = Path(folder) / key[:12]
            answers = _answers(champion, challenger, choices, Path(folder) / "inputs")
            for name in FILES:
                write_rows(found / f"{name}.jsonl", answers[name])
            seal(found, {"key": key})
            add_files(champion.version.run_id, {found: "rescored"})
        require_sealed(found, f"what {champion.version.uri} answered anew", known_keys())
        generations, made = (read_rows(found / f"{name}.jsonl") for name in FILES)
    card = {**challenger.evidence.card, "weights_sha256": champion.evidence.card["weights_sha256"]}
    test = challenger.evidence.test
    scored = replace(champion.evidence, generations=generations, choices=made, card=card, test=test)
    return replace(champion, evidence=scored)


def _answers(champion: Candidate, challenger: Candidate, choices: bool, into: Path) -> dict[str, list[Row]]:
    # Seconds to import, for a case that is seldom.
    from tasks import predict, serve  # noqa: PLC0415
    from tasks.data.suites.questions import read_benchmarks  # noqa: PLC0415
    from tasks.model.turn import turn  # noqa: PLC0415

    params = load("predict", predict.Predict, challenger.folder / "params.yaml")
    test = _made(challenger, "expand/examples", into) / "test.jsonl"
    served = serve.load(champion.model)
    limits = challenger.evidence.card["decoding"]["max_new_tokens"]
    contract = served.contract.model_copy(update={"max_new_tokens": served.contract.max_new_tokens | limits})
    examples = read_rows(test)
    asked = params.model_copy(update={"suites": params.suites if choices else [], "repeated": 0})
    known = read_benchmarks(_made(challenger, "fetch/benchmarks", into)) if choices else {}
    questions = predict.task_of([], known, asked).questions
    progress = Progress("rescore", len(examples) + sum(len(one) for *_, one in questions), "answers")
    task = predict.Task(examples, [], [], questions)
    with turn():
        return predict.answered(task, asked, served.model, served.tokenizer, contract, progress)


def _made(challenger: Candidate, key: str, into: Path) -> Path:
    """What a stage of the challenger's run made: the checkout's own where it is the same, else out of DVC's cache.

    Raises:
        TrackingError: it is in neither.
    """
    here = outputs()[key]
    links = read_json(challenger.folder / RECORD)["links"]
    link = next(link for link in links if key_of(link) == key)
    if here.exists() and sha256_of(here) == link["sha256"]:
        return here
    cache, made = cache_of(Path.cwd()), into / key
    for name, row in link["files"].items():
        source, target = object_of(cache, row["md5"]), made / name
        if not source.is_file() or sha256_of(source) != row["sha256"]:
            how = way_back(link["path"], challenger.version.tags.get("luthier.run", "none"))
            raise TrackingError(
                f"the champion has to be scored anew on the challenger's test split, and {link['path']} of "
                f"{challenger.version.uri} is neither here nor whole in DVC's cache: '{how}' brings it, then this "
                "again."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, target)
    return made


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
