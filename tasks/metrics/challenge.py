"""Is a challenger better than the champion? Pair by pair, and only where both were scored alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.metrics.cards import LIKE, differences
from tasks.metrics.compare import Matrix, compare
from tasks.metrics.evidence import Check, Evidence, Gate, Row
from tasks.metrics.identity import MEASURES
from tasks.metrics.margins import bounded
from tasks.metrics.significance import judged, scoring_of
from tasks.metrics.texts import Texts

OF_THE_MODEL = ("base_sha256", "contract_sha256")  # each is asked as it was trained: no part of how it is measured
WORDINGS = {"held_out": "_held_out_wording", "seen": "_seen_wording"}


def unlike(model: Evidence, champion: Evidence) -> str | None:
    """Why the two cannot be compared: what was not measured alike, as a clause."""
    if model.test != champion.test:
        return f"on other data ({champion.test[:12]}, not {model.test[:12]})"
    if found := differences(_measured(model.card), _measured(champion.card)):
        return f"in another way ({'; '.join(found[:3])})"
    return None


def _measured(card: Row) -> dict[str, Any]:
    alike = card.get(LIKE)
    if not isinstance(alike, Mapping):
        return {LIKE: alike}
    return {LIKE: {key: value for key, value in alike.items() if key not in OF_THE_MODEL}}


def beats_champion(model: Evidence, champion: Evidence, gate: Gate) -> Check:
    """Whether it is better than the champion, by the same examples scored in the same way."""
    who = f"Champion (version {champion.version})"
    if model.weights == champion.weights:
        return Check(False, f"{who} has the same weights.")
    if why := unlike(model, champion):
        return Check(None, f"{who} was scored {why}: evaluate it again.")
    row = _paired(model, champion, gate.primary)
    if row is None:
        return Check(None, f"{who} did not answer the same examples for {gate.primary}.")
    told = f"{who} has {gate.primary} {row['base']:.2f}, this {row['tuned']:.2f}"
    return judged(told, row, scoring_of(gate.primary))


def no_worse_than_champion(model: Evidence, champion: Evidence, gate: Gate) -> list[Check]:
    """The guards that are measured on answers to the test examples, against the champion's answers."""
    if model.weights == champion.weights or unlike(model, champion):
        return []  # said once
    against = f" against version {champion.version}"
    checks = []
    for name, allowed in gate.guards.items():
        if name.partition(".")[2] in MEASURES and _answers(model, name):
            row = _paired(model, champion, name)
            unknown = Check(None, f"{name}{against} is not known: not the same examples were answered.")
            checks.append(bounded(name, row, allowed, against) if row else unknown)
    return checks


def _paired(model: Evidence, champion: Evidence, name: str) -> Row | None:
    """Champion against challenger in one metric; None where they did not answer the same."""
    ours, theirs = _answers(model, name), _answers(champion, name)
    if not ours or [_asked(row) for row in ours] != [_asked(row) for row in theirs]:
        return None
    key = name.partition(".")[2]
    groups = [str(row["group"]) for row in ours]
    return compare(_statistics(theirs, key), _statistics(ours, key), groups, scoring_of(name), model.resampling)


def _asked(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("id", "target", "answer", "group"))


def _answers(model: Evidence, name: str) -> list[Row]:
    """The rows that a metric is made of, in the order of their ids."""
    section, _, key = name.partition(".")
    if key == "accuracy":
        rows = [row for row in model.choices if f"{row['suite']}_{row['shots']}shot" == section]
    else:
        rows = [row for row in model.generations if section in (row["family"], _by_wording(row))]
    return sorted(rows, key=lambda row: str(row["id"]))


def _by_wording(row: Row) -> str:
    return f"{row['family']}{WORDINGS.get(row.get('wording', ''), '')}"


def _statistics(rows: Sequence[Row], key: str) -> Matrix:
    if key == "accuracy":
        return np.array([[100.0 * (row["predicted"] == row["answer"]), 1.0] for row in rows])
    return MEASURES[key].statistics(Texts.of(rows))[key]
