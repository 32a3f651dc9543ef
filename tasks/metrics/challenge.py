"""Is a challenger better than the champion? Pair by pair, and only where both were scored alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics.cards import differences
from tasks.metrics.compare import Matrix, compare
from tasks.metrics.evidence import Check, Evidence, Gate, Row
from tasks.metrics.identity import MEASURES
from tasks.metrics.significance import judged, scoring_of
from tasks.metrics.texts import Texts


def beats_champion(model: Evidence, champion: Evidence, gate: Gate) -> Check:
    """Whether it is better than the champion, by the same examples scored in the same way."""
    who, key = f"Champion (version {champion.version})", gate.primary.partition(".")[2]
    if model.weights == champion.weights:
        return Check(False, f"{who} has the same weights.")
    if model.test != champion.test:
        return Check(None, f"{who} was scored on other data ({champion.test[:12]}, not {model.test[:12]}).")
    if unlike := differences(model.card, champion.card):
        return Check(None, f"{who} was scored in another way ({'; '.join(unlike[:3])}): evaluate it again.")
    ours, theirs = _answers(model, gate.primary), _answers(champion, gate.primary)
    if not ours or [_asked(row) for row in ours] != [_asked(row) for row in theirs]:
        return Check(None, f"{who} did not answer the same examples for {gate.primary}.")
    scoring = scoring_of(gate.primary)
    groups = [str(row["group"]) for row in ours]
    row = compare(_statistics(theirs, key), _statistics(ours, key), groups, scoring, model.resampling)
    return judged(f"{who} has {gate.primary} {row['base']:.2f}, this {row['tuned']:.2f}", row, scoring)


def _asked(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("id", "target", "answer", "group"))


def _answers(model: Evidence, primary: str) -> list[Row]:
    """The rows that the primary metric is made of, in the order of their ids."""
    section, _, key = primary.partition(".")
    rows = [row for row in model.generations if row["family"] == section]
    if key == "accuracy":
        rows = [row for row in model.choices if f"{row['suite']}_{row['shots']}shot" == section]
    return sorted(rows, key=lambda row: str(row["id"]))


def _statistics(rows: Sequence[Row], key: str) -> Matrix:
    if key == "accuracy":
        return np.array([[100.0 * (row["predicted"] == row["answer"]), 1.0] for row in rows])
    return MEASURES[key].statistics(Texts.of(rows))[key]
